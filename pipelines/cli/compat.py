"""`star compat …`: maps between versions, so that rankers of the old one can stay."""

from typing import Annotated

import typer

from pipelines.cli import show
from pipelines.cli.shared import ForceOption, HomeOption, RepoOption, console, run_stage
from pipelines.home import Home
from star_features.catalogue import SpacePair

app = typer.Typer(
    name="compat",
    help="Maps between versions: rankers of an old one read a new one's vectors in its language.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def fit(
    ends: Annotated[
        list[str],
        typer.Argument(metavar="KIND NEW OLD", help="graph v2 v1; or job_graph_v2 job_graph_v1"),
    ],
    pairs: Annotated[int | None, typer.Option(help="Entities of each side, at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draws them, and what is kept back.")] = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Fit the maps from a new version into an old one, and say what they keep.

    Both sides, members and jobs, unless two spaces of one side are named. Figures are taken of
    entities that the fit has not seen.
    """
    from pipelines import compat as job

    place = Home.find(home, repo)
    pair, sides = job.ends_of(ends)
    stage = job.fit_stage(place, pair, job.chosen(place, pair, pairs, seed), refit=sides)
    show.maps(console, [run_stage(place, stage, force=True)])


@app.command()
def apply(
    kind: Annotated[str, typer.Argument(help="text or graph")],
    version: Annotated[str, typer.Argument(help="The old version, whose language it will be.")],
    source: Annotated[str, typer.Option("--from", help="The new version, that fills it.")],
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Tell the new version's whole history in the old version's spaces: views of their own."""
    from pipelines import compat as job

    place = Home.find(home, repo)
    pair = SpacePair.parse(f"{kind}.{version}_from_{source}")
    run_stage(place, job.map_stage(place, pair), force)


@app.command()
def report(home: HomeOption = None, repo: RepoOption = None) -> None:
    """What the maps of this home keep, and how that grows with the number of pairs."""
    from pipelines import compat as job

    receipts = job.fitted(Home.find(home, repo))
    show.maps(console, receipts)
    show.curves(console, receipts)
