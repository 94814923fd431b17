"""`star evaluate …`: how well jobs are found, and what each part of the graph tower is worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli import show
from pipelines.cli.shared import HomeOption, RepoOption, VersionOption, console, numbers
from pipelines.home import Home

if TYPE_CHECKING:  # scipy is slow to import, and every command would pay for it
    from star_features.evaluation.metrics import Interval
    from star_features.evaluation.study import Line

app = typer.Typer(
    name="evaluate",
    help="Retrieval over all jobs; and studies of the graph tower.",
    rich_markup_mode="markdown",
)

AtOption = Annotated[str, typer.Option(help="Cuts of recall and nDCG.")]


@app.callback(invoke_without_command=True)
def retrieval(
    context: typer.Context,
    protocol: Annotated[
        str, typer.Option(help="time-split, leave-last-out or leave-one-out.")
    ] = "time-split",
    at: AtOption = "10,100",
    version: VersionOption = "v1",
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Retrieval over all jobs: recall, nDCG, MRR and AUC, each signal alone and together.

    The leave-outs train a graph of their own the first time, which takes as long as `star graph`.
    """
    if context.invoked_subcommand:
        return
    from pipelines import evaluate as job
    from star_features.tables.canonical import Tables

    place = Home.find(home, repo)
    simulated = Tables(place.tables).simulated
    found = job.run(place, protocol, numbers("--at", at), version)
    show.retrieval(console, found, simulated)


@app.command()
def graph(
    study: Annotated[str, typer.Option(help="inputs, losses or neighbours.")] = "inputs",
    seeds: Annotated[str, typer.Option(help="Trainings of each row.")] = "0,1,2",
    at: AtOption = "10,100",
    version: VersionOption = "v1",
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Train the graph tower many ways, and show what each is worth on later interactions.

    `inputs` is the paper's table: categorical only, with text, without the categorical features,
    with id embeddings. Every row and seed is kept: killed and called again, it goes on.
    """
    from pipelines import study as job
    from star_features.evaluation.study import summary
    from star_features.tables.canonical import Tables

    place = Home.find(home, repo)
    asked = job.study(place, study, numbers("--seeds", seeds), numbers("--at", at), version)
    results = []
    for result in job.run(asked):
        results.append(result)
        console.print(f"{result['row']}, seed {result['seed']}: {result['seconds']:.0f} s")
    lines = summary(job.by_ranking(results))
    simulated = show.SIMULATED if Tables(place.tables).simulated else ""
    show_study(console, f"Graph {version}, {study}{simulated}", lines)


def show_study(console: Console, title: str, lines: "Sequence[Line]") -> None:
    """All figures of the whole test; then the AUC of each slice."""
    names = [name for line in lines for name in line.figures]
    figures = list(dict.fromkeys(names))
    whole = [line for line in lines if line.slice == "all"]
    table = Table("row", "seeds", *figures, title=title)
    for line in whole:
        cells = [_spread(line.figures.get(name)) for name in figures]
        table.add_row(line.row, str(line.seeds), *cells)
    console.print(table)
    slices = {line.slice: line.pairs for line in lines}
    of = {(line.row, line.slice): line.figures for line in lines}
    for figure in ("auc", next(name for name in figures if name.startswith("recall"))):
        heads = [f"{name} ({pairs:,})" for name, pairs in slices.items()]
        table = Table("row", *heads, title=f"{title}: {figure} by slice")
        for line in whole:
            cells = [_spread(of.get((line.row, part), {}).get(figure)) for part in slices]
            table.add_row(line.row, *cells)
        console.print(table)


def _spread(figure: "Interval | None") -> str:
    """The mean, and half the way from the least to the greatest."""
    if figure is None:
        return "–"
    reach = (figure.high - figure.low) / 2
    return f"{figure.value:.4f}" + (f" ±{reach:.4f}" if reach else "")
