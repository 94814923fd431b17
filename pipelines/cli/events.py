"""`star events …`: from what happened to vectors that can be read, at once."""

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home

if TYPE_CHECKING:
    from pipelines.events.settings import EventSettings

app = typer.Typer(
    name="events",
    help="Changes and interactions in, new vectors out, within a fraction of a second.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
STOPPING = (signal.SIGTERM, signal.SIGINT)
SourceOption = Annotated[
    str | None, typer.Option("--source", help="outbox or kafka [$STAR_EVENTS_SOURCE or outbox].")
]


@app.command()
def work(
    once: Annotated[
        bool, typer.Option("--once", help="Work off what is there, say what came of it, end.")
    ] = False,
    source: SourceOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Work on events until stopped. SIGTERM ends it after the batch that it is at.

    Any number of workers may run; each has whole models in memory.
    """
    from pipelines.events.worker import Worker
    from pipelines.jobs import logs

    place = Home.find(home, repo)
    settings = _settings(place, source)
    stopped = threading.Event()
    before = {name: signal.signal(name, lambda *_: stopped.set()) for name in STOPPING}
    if not once:
        logs.start(worker=os.getpid())
    with Worker.open(place, settings) as worker:
        console.print(f"working on {settings.incoming} from {settings.source}")
        tally = worker.run(once=once, stop=stopped.is_set)
    for name, handler in before.items():
        signal.signal(name, handler)
    table = Table("what", "how many", title="Events", title_justify="left")
    for what, count in tally.events.items():
        if count:
            table.add_row(what, f"{count:,}")
    for view, count in sorted(tally.rows.items()):
        table.add_row(f"rows of {view}", f"{count:,}")
    console.print(table)


@app.command()
def send(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="One JSON object a line; - reads what is piped.")
    ],
    source: SourceOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Send events, as docs/events.schema.json describes them."""
    from pipelines.events import send as job

    place = Home.find(home, repo)
    settings = _settings(place, source)
    sent, new = job.send(place, settings, file)
    again = f", {sent - new:,} of them sent before" if sent > new else ""
    console.print(f"{sent:,} events to {settings.incoming}{again}")


@app.command()
def watch(
    once: Annotated[
        bool, typer.Option("--once", help="Print what went out so far, and end.")
    ] = False,
    source: SourceOption = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Print what goes out, one JSON object a line: which vectors are new."""
    from pipelines.events import send as job

    place = Home.find(home, repo)
    updates = job.watch(place, _settings(place, source), lambda: once, from_start=once)
    for update in updates:
        sys.stdout.write(json.dumps(update) + "\n")
        sys.stdout.flush()


def _settings(home: Home, source: str | None) -> "EventSettings":
    from pipelines.events import settings

    environ = dict(os.environ) | ({settings.SOURCE: source} if source else {})
    return settings.load(home, environ)
