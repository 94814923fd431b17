"""`star train`: teach a version's model, and say what came of it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, console
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
