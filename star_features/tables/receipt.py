"""
The receipt of the input stage: what came in, what was kept, what was left out and why.

It is what `schema.json` holds; `explain` turns it into rows for a table on the screen.
"""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from star_features.files import Settings, read_json, write_json

SCHEMA = "schema.json"
FIRST = ("members", "jobs", "interactions", "edges")


class TableReceipt(Settings):
    """One table. Always rows_in + told = kept + quarantined + superseded."""

    files: tuple[str, ...] = ()
    """The files or database tables it was read from."""
    rows_in: int = 0
    """Data rows found in them."""
    kept: int = 0
    """Rows in the canonical table."""
    quarantined: int = 0
    """Rows in quarantine.parquet."""
    reasons: dict[str, int] = Field(default_factory=dict)
    """Rows per reason; a row with two faults counts under both."""
    told: int = 0
    """Rows that an event told, and that the source does not have yet."""
    superseded: int = 0
    """Rows of the source of which an event told something newer."""
    categorical: tuple[str, ...] = ()
    """Further columns with one category per row."""
    lists: tuple[str, ...] = ()
    """Further columns with a list per row."""
    ignored: dict[str, str] = Field(default_factory=dict)
    """Source columns that are not used, and why."""


class InputReceipt(Settings):
    """The whole input stage."""

    name: str = ""
    """What the data set is called."""
    simulated: bool = False
    """True where the rows are made up."""
    tables: dict[str, TableReceipt]
    """By name: members, jobs, interactions, edges, node tables and joined files."""
    has_times: bool
    """False where every interaction has the same time."""
    has_labels: bool
    """True where some interaction is labelled 0: shown and not taken."""
    node_types: tuple[str, ...] = ()
    """Node types with a table of their own beside members and jobs."""
    unused_files: tuple[str, ...] = ()
    """Files or database tables of the source that nobody asked for."""

    def write(self, folder: Path) -> None:
        write_json(folder / SCHEMA, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "InputReceipt":
        return cls.model_validate(read_json(folder / SCHEMA))


class Line(NamedTuple):
    """One line of the receipt as shown: `kept + quarantined = rows_in`."""

    table: str
    rows_in: int
    kept: int
    quarantined: int
    top_reasons: str


def explain(receipt: InputReceipt, reasons: int = 3) -> list[Line]:
    """The receipt as rows, each with its most frequent `reasons`."""
    lines = []
    for name, table in sorted(receipt.tables.items(), key=_rank):
        by_count = sorted(table.reasons.items(), key=lambda item: (-item[1], item[0]))
        top = ", ".join(f"{reason} {count:,}" for reason, count in by_count[:reasons])
        lines.append(Line(name, table.rows_in, table.kept, table.quarantined, top))
    return lines


def _rank(item: tuple[str, TableReceipt]) -> tuple[int, str]:
    """The four canonical tables first, then the others by name."""
    name, _ = item
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)
