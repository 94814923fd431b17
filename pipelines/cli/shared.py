"""What all commands share: their common options, where they print, and how a stage is run."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli import show
from pipelines.home import Home
from pipelines.receipts import Receipt, Stage
from star_features.errors import UsageError

console = Console(width=None if sys.stdout.isatty() else 120)

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Where everything computed lies [$STAR_HOME or .star]."),
]
RepoOption = Annotated[
    Path | None, typer.Option("--repo", help="The Feast repository folder [feature_repo].")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run even if nothing changed.")]
VersionOption = Annotated[str, typer.Option("--version", help="A version of spaces.toml.")]


def run_stage(home: Home, stage: Stage, force: bool) -> Receipt:
    """Run a stage, saying so before and after."""
    console.print(f"[bold]{stage.name}[/]", end=" … ")
    receipt = stage.run(home, force)
    console.print(show.outcome(receipt))
    return receipt


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers between commas; UsageError says which option had others."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r}; wanted whole numbers, such as 10,100") from None
