"""What `star release` and `star consumers` print."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.release.move import Moved
    from pipelines.release.status import Item, Status
    from star_features.ledger.consumers import Registered

COLOURS = {"current": "green", "shadow": "cyan", "retiring": "yellow", "retired": "dim"}


def status(console: Console, found: "Status", last: int) -> None:
    table = _table("Versions", "version", "state", "since", "what is read of it")
    for (kind, version), standing in found.versions.items():
        colour = COLOURS.get(standing.state, "none")
        since = found.since_us.get((kind, version))
        read = [
            f"{line.service}: {line.name} = {pair}"
            for line, pair in found.lines.items()
            if (pair.kind, pair.source) == (kind, version)
        ]
        table.add_row(
            f"{kind} {version}",
            f"[{colour}]{standing.state}[/]",
            _time(since) if since else "as spaces.toml has it",
            "\n".join(read),
        )
    console.print(table)
    for step in found.under_way:
        what = step.action.removeprefix("begin ")
        command = f"{what} {step.kind}" + (f" {step.version}" if what == "promote" else "")
        console.print(
            f"[yellow]A {what} of {step.kind} {step.version} was begun by {escape(step.who)} and "
            f"never ended.[/] Finish it: star release {command}"
        )
    for line in () if found.under_way else found.disagreements:
        console.print(f"[red]disagreement[/] {escape(line)}", soft_wrap=True)
    if found.steps and last:
        steps(console, found, last)


def steps(console: Console, found: "Status", last: int) -> None:
    """The audit: who, when, what, why."""
    table = _table("Steps", "when", "who", "step", "version", "state", "why")
    for step in found.steps[-last:]:
        moved = f"{step.from_state} → {step.to_state}"
        table.add_row(
            _time(step.at_us),
            escape(step.who),
            step.action + (" [red]--force[/]" if step.forced else ""),
            f"{step.kind} {step.version}",
            step.to_state if step.from_state in (None, step.to_state) else moved,
            escape(step.why),
        )
    console.print(table)


def plan(console: Console, kind: str, version: str, items: "Sequence[Item]") -> None:
    table = _table(f"{kind} {version}", "", "what", "command")
    for item in items:
        done = "[green]done[/]" if item.done else "to do"
        table.add_row(done, escape(item.what), "" if item.done else item.command)
    console.print(table)


def moved(console: Console, done: "Moved") -> None:
    """Which lines moved, and what was compared before."""
    table = _table("What readers read", "service", "name", "before", "now")
    for line, (before, after) in done.moves.items():
        table.add_row(line.service, line.name, str(before), str(after))
    console.print(table)
    rows = sum(view.rows for view in done.views)
    wrong = [problem for view in done.views for problem in view.problems()]
    console.print(
        f"{len(done.views)} views, {rows:,} vectors compared with the online store; "
        f"{len(done.services)} services moved in one transaction."
    )
    for problem in wrong:
        console.print(f"[red]forced past:[/] {escape(problem)}")


def consumers(console: Console, known: "Sequence[Registered]") -> None:
    table = _table("Consumers", "name", "service", "reads", "trained on", "scored by")
    for one in known:
        trained = "\n".join(f"{name} = {pair}" for name, pair in one.pairs.items())
        table.add_row(one.name, one.service, ", ".join(one.features), trained, escape(one.scorer))
    console.print(table if known else "Nobody is registered: star consumers add NAME --scorer …")


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table
