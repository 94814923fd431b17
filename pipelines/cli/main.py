"""The command `star`: a function a command; pipelines says what it does, `show` what it prints."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from pipelines.cli import (
    compat,
    consumers,
    evaluate,
    events,
    jobs,
    quarantine,
    release,
    show,
    watch,
    weights,
)
from pipelines.cli.audit import audit
from pipelines.cli.erase import erase
from pipelines.cli.serve import serve
from pipelines.cli.shared import (
    ForceOption,
    HomeOption,
    RepoOption,
    VersionOption,
    console,
    run_stage,
)
from pipelines.home import Home
from pipelines.receipts import Receipt, find_receipt, read_receipt
from star_features.errors import StarError, UsageError

HELP = """\
Versioned text and graph embeddings for Feast.

- `star demo`: the whole job on a simulated job market
- `star run --data DIR`: the whole job on your tables
- `star status`: what this home holds

Exit codes: 0 done; 1 unexpected; 2 a wrong argument or setting; 3 an input that cannot be used;
4 an earlier stage is missing; 5 vectors of two spaces would mix; 6 a damaged artefact; 7 a store;
8 a release beyond the bounds of its gate; 9 another process took over;
130 interrupted: call it again, and it goes on.
"""

app = typer.Typer(
    name="star",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(compat.app, name="compat")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(release.app, name="release")
app.add_typer(consumers.app, name="consumers")
app.add_typer(events.app, name="events")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(jobs.app, name="jobs")
app.command()(jobs.schedule)
app.command("freshness")(watch.fresh)
app.command()(watch.metrics)
app.command()(serve)
app.command()(audit)
app.command()(erase)
app.command()(weights.convert)
errors = Console(stderr=True)

SOURCE_HELP = "A folder of Parquet or CSV tables, or a DuckDB file."


def main() -> None:
    """Run `star`, turning our errors into one readable message and an exit code that means it."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries, among themselves
    try:
        app()
    except StarError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]", end=": ")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except ValidationError as error:
        errors.print("[bold red]UsageError[/]", end=": ")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(UsageError.exit_code)


@app.command()
def demo(
    members: Annotated[
        int, typer.Option(help="Simulated members, such as 1000 or 1000000.")
    ] = 3_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 0,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """The whole main job on a job market that is *simulated* on real texts; ends in tables.

    Interrupted, it goes on where it stopped. Everything it makes lies in the home folder.
    """
    from pipelines import market

    place = Home.find(home, repo)
    receipts = [run_stage(place, market.stage(place, members, seed), force=False)]
    receipts += _main_job(place, place.market, None)
    show.results(console, place, receipts)


@app.command()
def run(
    data: Annotated[Path, typer.Option("--data", help=SOURCE_HELP)],
    config: Annotated[
        Path | None, typer.Option(help="A dataset.toml that does not lie beside the data.")
    ] = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """The whole main job on your tables: ingest, encode, graph, Feast, training set, ranker."""
    place = Home.find(home, repo)
    show.results(console, place, _main_job(place, data, config))


def _main_job(home: Home, source: Path, config: Path | None) -> list[Receipt]:
    from pipelines.run import stages

    return [run_stage(home, build(), force=False) for build in stages(home, source, config)]


@app.command()
def market(
    members: Annotated[
        int, typer.Option(help="Simulated members, such as 1000 or 1000000.")
    ] = 3_000,
    jobs: Annotated[int | None, typer.Option(help="Jobs [grows with the members].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 0,
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Write a *simulated* job market on real texts, as tables that `star run` could read."""
    from pipelines import market as job

    place = Home.find(home, repo)
    run_stage(place, job.stage(place, members, seed, jobs), force)
    console.print(f"Tables in {place.market}; go on with: star run --data {place.market}")


@app.command()
def ingest(
    data: Annotated[Path, typer.Option("--data", help=SOURCE_HELP)],
    config: Annotated[
        Path | None, typer.Option(help="A dataset.toml that does not lie beside the data.")
    ] = None,
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Check your tables at the door: good rows in, bad rows to quarantine with their reason."""
    from pipelines import ingest as job

    place = Home.find(home, repo)
    receipt = run_stage(place, job.stage(place, data, config, all_gone=force), force)
    show.ingested(console, receipt)


@app.command()
def encode(
    version: VersionOption = "v1",
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Text embeddings: a vector for every text that has none yet."""
    from pipelines import encode as job

    place = Home.find(home, repo)
    run_stage(place, job.stage(place, version), force)


@app.command()
def graph(
    version: VersionOption = "v1",
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Forget this version's model and vectors first.")
    ] = False,
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Graph embeddings: train the network once a version, then infer vectors as of each week."""
    from pipelines import graph as job

    place = Home.find(home, repo)
    run_stage(place, job.stage(place, version, retrain=retrain), force or retrain)


@app.command()
def apply(force: ForceOption = False, home: HomeOption = None, repo: RepoOption = None) -> None:
    """Register entities, feature views and services with Feast."""
    from pipelines import apply as job

    place = Home.find(home, repo)
    run_stage(place, job.stage(place), force)


@app.command()
def materialize(
    force: ForceOption = False, home: HomeOption = None, repo: RepoOption = None
) -> None:
    """Write to the online store what it does not hold yet; `--force`: everything."""
    from pipelines import materialize as job

    place = Home.find(home, repo)
    stage = job.stage(place, place.towers(), look=True, everything=force)
    run_stage(place, stage, force)


@app.command("training-set")
def training_set(
    as_served: Annotated[
        bool,
        typer.Option("--as-served", help="Only what had been computed when the label happened."),
    ] = False,
    backfilled: Annotated[
        bool,
        typer.Option(
            "--backfilled", help="What is served today, for the time before a release too."
        ),
    ] = False,
    max_labels: Annotated[int, typer.Option(help="Labels of each role, at most.")] = 40_000,
    out: Annotated[Path | None, typer.Option(help="Also copy it to this new folder.")] = None,
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Join labels with the features as they stood when each label happened."""
    import shutil

    from pipelines import training_set as job

    place = Home.find(home, repo)
    if out and out.exists():
        raise UsageError(f"--out {out} exists; wanted a folder that is not there yet")
    stage = job.stage(
        place, place.towers(), as_served=as_served, backfilled=backfilled, max_labels=max_labels
    )
    receipt = run_stage(place, stage, force)
    show.training_set(console, receipt)
    if out:
        shutil.copytree(place.training_set, out)


@app.command()
def rank(
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train it anew although a release moved its names.")
    ] = False,
    force: ForceOption = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Train the downstream ranker, take its AUC on later interactions, score jobs online.

    A ranker whose names a release has moved since is kept, and evaluated on what it reads now.
    """
    from pipelines import rank as job

    place = Home.find(home, repo)
    receipt = run_stage(place, job.stage(place, retrain=retrain), force or retrain)
    show.ranked(console, place, receipt)


@app.command()
def score(
    pairs: Annotated[
        Path, typer.Option("--pairs", help="CSV or Parquet with member_id and job_id.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write CSV here instead of printing.")] = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Score anyone's member-job pairs with the trained ranker, reading features online."""
    from pipelines import score as job

    show.scores(console, job.run(Home.find(home, repo), pairs), out)


@app.command()
def status(home: HomeOption = None, repo: RepoOption = None) -> None:
    """What this home holds: stages, rows, spaces, and how old they are."""
    place = Home.find(home, repo)
    show.status(console, place)


@app.command()
def report(home: HomeOption = None, repo: RepoOption = None) -> None:
    """Print the tables of the last run again."""
    place = Home.find(home, repo)
    read_receipt(place, "rank")
    found = [find_receipt(place, name) for name in place.stages()]
    show.results(console, place, [receipt for receipt in found if receipt])
