"""`star jobs …` and `star schedule`: what is due when, and what came of it."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.cli.shared import ForceOption, HomeOption, RepoOption, console
from pipelines.home import Home

if TYPE_CHECKING:
    from pipelines.jobs.listing import Line

app = typer.Typer(
    name="jobs",
    help="Jobs on a schedule: list them, or run one by hand.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)


@app.callback()
def jobs(context: typer.Context, home: HomeOption = None, repo: RepoOption = None) -> None:
    """Every job: its steps, when it is due, what came of its last run, and what waits."""
    if context.invoked_subcommand is None:
        from pipelines.jobs.listing import listing

        show(listing(Home.find(home, repo), datetime.now(UTC)))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A job of the schedule, or a step: encode, write, …")],
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Run a job, or one step of it, here and now.

    Steps: refresh, encode, graph, map, write, verify, publish. Each can be killed and run again.
    """
    from pipelines.jobs import by_hand, logs

    place = Home.find(home, repo)
    logs.start(job=name)
    sys.exit(by_hand.run(place, place.schedule, name, force))


def schedule(
    once: Annotated[bool, typer.Option("--once", help="What is due now; then end.")] = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Run jobs when they are due, until SIGTERM. Any number of processes share one ledger.

    When is written in `schedule.toml`, beside `spaces.toml`.
    """
    from pipelines.jobs import logs
    from pipelines.jobs.scheduler import Scheduler

    place = Home.find(home, repo)
    logs.start()
    scheduler = Scheduler(place, place.schedule)
    if once:
        scheduler.turn()
    else:
        scheduler.run()


def show(lines: "Sequence[Line]") -> None:
    table = Table(
        *("job", "steps", "due", "last run", "state", "seconds", "waiting", "next"),
        title="Jobs (times are UTC)",
        title_justify="left",
    )
    for line in lines:
        table.add_row(*line.cells())
    console.print(table)
