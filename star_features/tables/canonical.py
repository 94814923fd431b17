"""
Reads the canonical tables that `read_dataset` wrote.

    tables = Tables(home / "tables")
    tables.members(["member_id", "text"])          # an Arrow table with these columns
    for batch in tables.batches("interactions"):   # bounded memory
        ...
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from star_features.errors import DataError, MissingStage
from star_features.tables.receipt import SCHEMA, InputReceipt

TABLES = ("members", "jobs", "interactions", "edges", "quarantine")


class Tables:
    """A folder of canonical tables. Opening it reads only schema.json."""

    def __init__(self, folder: Path) -> None:
        if not (folder / SCHEMA).exists():
            raise MissingStage(folder / SCHEMA, "star ingest --data DIR")
        self.folder = folder
        self.receipt = InputReceipt.read(folder)

    @property
    def simulated(self) -> bool:
        """True where the rows are made up, as dataset.toml says."""
        return self.receipt.simulated

    @property
    def has_times(self) -> bool:
        """False where every interaction has the same time."""
        return self.receipt.has_times

    @property
    def has_labels(self) -> bool:
        """True where some interaction is labelled 0."""
        return self.receipt.has_labels

    @property
    def node_types(self) -> tuple[str, ...]:
        """Node types with a table of their own beside members and jobs."""
        return self.receipt.node_types

    def schema(self, table: str) -> pa.Schema:
        """The Arrow schema of a table."""
        return pq.read_schema(self.path(table))

    def categorical(self, table: str) -> tuple[str, ...]:
        """The categorical columns of members or jobs."""
        return self.receipt.tables[table].categorical

    def lists(self, table: str) -> tuple[str, ...]:
        """The list columns of members or jobs."""
        return self.receipt.tables[table].lists

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(pq.read_metadata(self.path(table)).num_rows)

    def members(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Members by `member_id`; all columns unless some are chosen."""
        return self.table("members", columns)

    def jobs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Jobs by `job_id`."""
        return self.table("jobs", columns)

    def interactions(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Interactions by time."""
        return self.table("interactions", columns)

    def edges(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Further relations; no rows where the input has none."""
        return self.table("edges", columns)

    def nodes(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The table of a node type that has one."""
        return self.table(f"nodes/{kind}s", columns)

    def quarantine(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows left out: table, file, row, column, reason, value."""
        return self.table("quarantine", columns)

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A whole table by name."""
        chosen = None if columns is None else list(columns)
        return pq.ParquetFile(self.path(name)).read(columns=chosen)

    def batches(
        self, table: str, columns: Sequence[str] | None = None, rows: int = 50_000
    ) -> Iterator[pa.RecordBatch]:
        """A table in pieces of at most `rows` rows, in its order."""
        chosen = None if columns is None else list(columns)
        with pq.ParquetFile(self.path(table)) as file:
            yield from file.iter_batches(batch_size=rows, columns=chosen)

    def path(self, table: str) -> Path:
        """Where a table lies: `members`, …, or `nodes/certificates`."""
        path = self.folder / f"{table}.parquet"
        if not path.exists():
            known = [*TABLES, *(f"nodes/{kind}s" for kind in self.node_types)]
            raise DataError(table, "there is no such table", f"Wanted one of {', '.join(known)}.")
        return path
