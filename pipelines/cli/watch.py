"""`star freshness`, `star metrics`: how far the online store is behind, and all else there is."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home

if TYPE_CHECKING:
    from pipelines.freshness import Freshness


def fresh(home: HomeOption = None, repo: RepoOption = None) -> None:
    """How far each view is behind its content: since the change, holes included.

    Objectives stand in `schedule.toml` under [freshness].
    """
    from pipelines.freshness import freshness
    from pipelines.jobs.settings import Schedule

    place = Home.find(home, repo)
    schedule = Schedule.load(place.schedule)
    show_freshness(console, list(freshness(place, schedule, datetime.now(UTC))))


def metrics(home: HomeOption = None, repo: RepoOption = None) -> None:
    """Everything that can be measured, in Prometheus' text format.

    A scheduler with `listen` in `schedule.toml` answers the same at /metrics.
    """
    from pipelines.jobs.metrics import exposition
    from pipelines.jobs.settings import Schedule

    place = Home.find(home, repo)
    print(exposition(place, Schedule.load(place.schedule), datetime.now(UTC)), end="")


def show_freshness(console: Console, lines: "list[Freshness]") -> None:
    heads = ("view", "entities", "behind", "holes", "late: p50", "p95", "most", "in time", "wanted")
    table = Table(*heads, title="Freshness online, since the content changed", title_justify="left")
    for line in lines:
        late = [age(seconds) if line.behind + line.holes else "" for seconds in line.late_s]
        table.add_row(
            line.view,
            *(f"{n:,}" for n in (line.entities, line.behind, line.holes)),
            *late,
            f"{'[green]' if line.met else '[red]'}{line.share:.2%}",
            f"{line.wanted:.0%} in {age(line.within_s)}",
        )
    console.print(table)


def age(seconds: float) -> str:
    """Seconds as an operator says them: 40 s, 12 min, 3.5 h, 8 d."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:,.4g} d"
