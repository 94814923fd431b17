"""`star quarantine …`: what was set aside, why, and what becomes of it."""

from typing import Annotated

import typer
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home
from star_features.events.said import moment

app = typer.Typer(
    name="quarantine",
    help="Events and rows that could not be used: their reasons, and a second chance.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of `star quarantine list`.")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="All of one reason, such as unknown_job.")
]
Every = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_(
    reason: Reason = None,
    most: Annotated[int, typer.Option(help="Events shown, the oldest first.")] = 20,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Count what is set aside by its reason, and show the oldest events."""
    from pipelines import quarantine as job

    held = job.look(Home.find(home, repo), reason=reason, most=most)
    counts = Table("from", "reason", "how many", title="Set aside", title_justify="left")
    for word, count in held.reasons.items():
        counts.add_row("events", word, f"{count:,}")
    for (table, why), count in held.rows.items():
        counts.add_row(f"ingest of {table}", why, f"{count:,}")
    console.print(counts if counts.row_count else "Nothing is set aside.")
    if held.events:
        rows = Table("number", "since", "whose", "reason", "replayed")
        for row in held.events:
            whose = f"{row.entity} {row.entity_id}" if row.entity else ""
            since = f"{moment(row.at_us):%Y-%m-%d %H:%M:%S}"
            rows.add_row(str(row.id), since, whose, row.reason, str(row.replays or ""))
        console.print(rows)


@app.command()
def show(
    id: Annotated[int, typer.Argument(help="A number of `star quarantine list`.")],
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Print one event as it came. It may hold personal text."""
    from pipelines import quarantine as job

    row = job.one(Home.find(home, repo), id)
    console.print(f"[bold]{id}[/] from {row.source}: ", end="")
    console.print(row.reason, markup=False)
    kept = "(too large to keep: have it sent again)" if row.payload is None else row.payload
    console.print(kept, markup=False, highlight=False, soft_wrap=True)


@app.command()
def replay(
    ids: Ids = None,
    reason: Reason = None,
    every: Every = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Send events again, after whatever was wrong has been mended."""
    from pipelines import quarantine as job
    from pipelines.events import settings

    place = Home.find(home, repo)
    sent, lost = job.replay(place, settings.load(place), ids or [], reason, every)
    console.print(f"{sent:,} events sent again; star events work takes them up")
    if lost:
        console.print(f"[yellow]{lost:,} were too large to keep: have their source send them[/]")


@app.command()
def drop(
    ids: Ids = None,
    reason: Reason = None,
    every: Every = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Give events up: their content is removed."""
    from pipelines import quarantine as job

    console.print(f"{job.drop(Home.find(home, repo), ids or [], reason, every):,} dropped")
