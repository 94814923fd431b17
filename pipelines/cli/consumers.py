"""`star consumers …`: who reads which stable names, and in which language."""

from typing import Annotated

import typer

from pipelines.cli import show_release as show
from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home
from star_features.errors import UsageError

app = typer.Typer(
    name="consumers",
    help="Who reads what: a release asks them first, and a version that one reads is not retired.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command("list")
def show_all(home: HomeOption = None, repo: RepoOption = None) -> None:
    """Every consumer: what it reads, in which language, and what staying there costs it today."""
    from pipelines.release import readers

    show.consumers(console, readers.known(Home.find(home, repo)))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    scorer: Annotated[
        str,
        typer.Option(
            help="How to load it: package.module:Class=FOLDER, with load(folder) and score(frame)."
        ),
    ],
    service: Annotated[str, typer.Option(help="The service it reads.")] = "ranker",
    feature: Annotated[
        list[str] | None, typer.Option(help="A stable name it reads; all of them unless given.")
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KIND.vN", help="The pair it was trained on; today's unless given."
        ),
    ] = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Register a consumer, or replace the one of this name; it is loaded, to see that it can be."""
    from pipelines.release import readers
    from star_features.ledger.consumers import Registered

    pairs = [text.partition("=") for text in trained_on or []]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise UsageError(f"--trained-on {wrong[0]}; wanted NAME=KIND.vN, such as star=graph.v1")
    trained = {name: pair for name, _, pair in pairs}
    wanted = Registered(name, service, feature or [], trained, scorer)
    show.consumers(console, [readers.register(Home.find(home, repo), wanted)])


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Forget a consumer that reads no more."""
    from pipelines.release import readers

    readers.forget(Home.find(home, repo), name)
    console.print(f"{name} is no longer registered.")
