"""`star erase`: remove everything of a member or job, for good, and say what was removed."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home
from star_features.catalogue import ENTITIES, Entity
from star_features.errors import UsageError

if TYPE_CHECKING:
    from pipelines.erase import Erasure


def erase(
    entity: Annotated[str, typer.Argument(help="member or job")],
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="One id, or several.")],
    why: Annotated[
        str, typer.Option(help="For the operator; it stays, so nothing personal.")
    ] = "asked for",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Bar ids too that this home does not know.")
    ] = False,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Remove everything of a member or job, for good; nothing brings an erased id back.

    From tables, histories, the online store, the ledger with its events, receipts and models; then
    every file of the home is searched. Killed half-way, the same command finishes it.
    """
    from pipelines import erase as job

    place = Home.find(home, repo)
    if not yes:
        typer.confirm(f"Erase {len(ids)} {entity}(s) from {place.path}, for good?", abort=True)
    for erasure in job.run(place, known_entity(entity), ids, why=why, anyway=anyway):
        show_erasure(console, place, erasure)


def known_entity(word: str) -> Entity:
    for entity in ENTITIES:
        if word == entity:
            return entity
    raise UsageError(f"{word!r} is no entity; wanted {' or '.join(ENTITIES)}")


def show_erasure(console: Console, home: Home, erasure: "Erasure") -> None:
    """What was removed from where, what remains, and where the receipt lies."""
    table = Table(title=f"Erased: one {erasure.entity}", title_justify="left", header_style="")
    table.add_column("place")
    table.add_column("removed", justify="right")
    for where, count in sorted(erasure.removed.items()):
        table.add_row(where, f"{count:,}")
    console.print(table)
    searched = erasure.searched
    console.print(
        f"{searched['files']:,} files searched ({searched['bytes'] / 1e6:.1f} MB): nothing left."
    )
    for line in erasure.remains:
        console.print(f"Remains: {line}", markup=False, highlight=False, soft_wrap=True)
    from pipelines.erase import receipt_path

    console.print(f"Receipt: {receipt_path(home, erasure.digest)}", soft_wrap=True)
