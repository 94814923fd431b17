"""
The workbench: an in-memory DuckDB where rows wait until all of them are known.

Its memory is bounded: past MEMORY it spills into a folder beside the output, which is removed when
the tables are written. A database file would be bounded too, but commits every chunk to disk:
twice as slow for millions of rows, three times for ten.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from star_features.tables.chunk import Fault
from star_features.tables.duckdb_source import literal, quoted

MEMORY = "1GB"
SHOWN = 120  # characters of a bad value that the quarantine keeps
QUARANTINE = "quarantine"
FAULT = pa.schema(
    [("table", pa.string()), ("file", pa.string()), ("row", pa.int64())]
    + [(name, pa.string()) for name in ("column", "reason", "value")]
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Work:
    """Tables that grow chunk by chunk. Every one has `_file` and `_row`, where a row came from."""

    def __init__(self, spill: Path) -> None:
        self.con = duckdb.connect()
        self.con.execute(f"SET memory_limit = {literal(MEMORY)}; SET threads = 2")
        self.con.execute(f"SET temp_directory = {literal(spill)}; SET TimeZone = 'UTC'")
        self.create(QUARANTINE, FAULT)

    def __enter__(self) -> "Work":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.con.close()

    def create(self, table: str, schema: pa.Schema) -> None:
        """Make an empty table unless there is one of that name."""
        self.con.register("rows_to_add", schema.empty_table())
        self.con.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} AS SELECT * FROM rows_to_add")
        self.con.unregister("rows_to_add")

    def columns(self, table: str) -> pa.Schema:
        """The columns of a table, as Arrow has them."""
        return self.con.execute(f"SELECT * FROM {quoted(table)} LIMIT 0").to_arrow_table().schema

    def add(self, table: str, rows: pa.Table) -> None:
        """Append rows; a column they lack is null."""
        self.con.register("rows_to_add", rows)
        self.con.execute(f"INSERT INTO {quoted(table)} BY NAME SELECT * FROM rows_to_add")
        self.con.unregister("rows_to_add")

    def quarantine(self, table: str, faults: Iterable[Fault]) -> None:
        """Put unreadable or faulty rows aside, each with its reason and a short look at it."""
        rows = [
            (table, f.file, f.row, f.column, f.reason, None if f.value is None else short(f.value))
            for f in faults
        ]
        if rows:
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*rows, strict=True), FAULT, strict=True)
            ]
            self.add(QUARANTINE, pa.table(columns, schema=FAULT))

    def move_to_quarantine(self, table: str, faulty: str) -> None:
        """Take rows out of `table`: `faulty` selects their rowid as `origin`, and why."""
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE faulty AS {faulty}")
        self.con.execute(
            f"INSERT INTO {QUARANTINE} SELECT {literal(table)}, t._file, t._row, f.column,"
            f" f.reason, left(f.value, {SHOWN}) FROM faulty f"
            f" JOIN {quoted(table)} t ON t.rowid = f.origin"
        )
        self.con.execute(f"DELETE FROM {quoted(table)} WHERE rowid IN (SELECT origin FROM faulty)")

    def write(self, table: str, columns: list[str], order: list[str], path: Path) -> None:
        """Write a table as Parquet, in an order that does not depend on how it was read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen, keys = ", ".join(map(quoted, columns)), ", ".join(map(quoted, order))
        rows = f"SELECT {chosen} FROM {quoted(table)} ORDER BY {keys}"
        how = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480"
        self.con.execute(f"COPY ({rows}) TO {literal(path)} ({how})")

    def count(self, table: str) -> int:
        return self.one(f"SELECT count(*) FROM {quoted(table)}")

    def quarantined(self, table: str) -> int:
        """Rows of a table in quarantine."""
        where = f'"table" = {literal(table)}'
        return self.one(f"SELECT count(*) FROM {QUARANTINE} WHERE {where}")

    def one(self, select: str) -> int:
        """The single value a query gives."""
        found = self.con.execute(select).fetchone()
        return int(found[0]) if found else 0

    def reasons(self, table: str) -> dict[str, int]:
        """How many rows of a table each reason holds for, most frequent first."""
        rows = self.con.execute(
            "SELECT r, count(*) AS n FROM (SELECT unnest(string_split(reason, '; ')) AS r"
            f' FROM {QUARANTINE} WHERE "table" = {literal(table)}) GROUP BY r ORDER BY n DESC, r'
        )
        return {reason: int(count) for reason, count in rows.fetchall()}


def short(value: str) -> str:
    """A value as the quarantine shows it: cut, and with control characters spelt out."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", value[:SHOWN])[:SHOWN]
