"""`star train`: teach a version's model, and say what came of it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, VersionOption, console
from pipelines.home import Home
from pipelines.receipts import Facts, only_one

app = typer.Typer(no_args_is_help=True, help="Train a version's model, once.")


@app.callback()
def group() -> None:
    """Train a version's model, once."""


@app.command()
def text(
    version: Annotated[
        str, typer.Option("--version", help="A text version of spaces.toml with a training table.")
    ],
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Forget this version's model and vectors first.")
    ] = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Fine-tune a text version on the history: LoRA and a Matryoshka head over its base model.

    Needs `star ingest`; `star encode` does it by itself where it has not been done.
    """
    from pipelines import train_text

    place = Home.find(home, repo)
    with only_one(place):
        report = train_text.run(place, version, retrain)
    show_text(console, version, report)


@app.command()
def graph(
    version: VersionOption = "v1",
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Forget this version's model and vectors first.")
    ] = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Train a graph version on the history, by link prediction; say how it went, pass by pass.

    Needs `star encode`; `star graph` does it by itself where it has not been done. Killed and
    called again, it goes on after the last whole pass.
    """
    from pipelines import graph as job

    place = Home.find(home, repo)
    with only_one(place):
        report = job.train(place, version, retrain)
    show_graph(console, version, report)


def show_graph(console: Console, version: str, report: Facts) -> None:
    """The passes of a graph training: what each read, and what it reached."""
    metric = {"auc": "AUC", "mrr": "MRR"}[report["metric"]]
    heads = ("pass", "loss", metric, "edges a label", "raises", "seconds")
    title = f"Graph {version}: {metric} on {report['validation']:,} later labels of the history"
    table = Table(*heads, title=title)
    for number, row in enumerate(report["curve"]):
        best = "[bold]" if number == report["best_epoch"] else ""
        figures = f"{row['loss']:.4f}", f"{row['value']:.4f}", f"{row.get('edges', 0):.0f}"
        counts = f"{row.get('raises', 0):.0f}", f"{row['seconds']:.1f}"
        table.add_row(*(f"{best}{cell}" for cell in (str(number + 1), *figures, *counts)))
    console.print(table)
    console.print(
        f"{report['parameters']:,} parameters; {report['labels']:,} labels, {report['taken']:,} "
        f"of them taken; seed {report['seed']}; {report['rescues']} rescues."
    )
    console.print(f"Figure: {report['figure']}", soft_wrap=True)


def show_text(console: Console, version: str, report: Facts) -> None:
    """AUC by width on the held-out pairs, and how the training went."""
    table = Table(
        *("width", "frozen, cut", "frozen, principal axes", "tuned"),
        title=f"Text {version}: AUC on the last {report['validation']:,} pairs of the history",
    )
    for row in report["widths"]:
        table.add_row(
            str(row["width"]), *(f"{row[k]:.4f}" for k in ("frozen_cut", "frozen_axes", "tuned"))
        )
    console.print(table)
    console.print(
        f"{report['steps']} steps on {report['pairs']:,} pairs; best at step "
        f"{report['best_step']}: {report['best_auc']:.4f}, frozen {report['frozen_auc']:.4f}."
    )
    halved = f"micro-batch halved {report['halvings']} times to {report['micro_tokens']} tokens"
    notes = [*report["notes"], *([halved] if report["halvings"] else [])]
    for note in ([f"stopped: {report['stopped']}"] if report["stopped"] else []) + notes:
        console.print(f"[yellow]{note}[/]")
