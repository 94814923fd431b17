"""
A scratch DuckDB: what an audit compares, one view at a time, in bounded memory.

    with Bench(folder, memory="512MB") as bench:
        bench.load("ledger", batches)
        bench.db.execute("SELECT … FROM ledger JOIN history USING (id)")

Ids are kept as they are; hashes, spaces and checksums as 64 bits, enough to tell them apart. Past
its memory it spills into the folder, which is removed with it: a database file would be bounded
too, and waits for the disk at every batch.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

TABLES = {
    "source": "id VARCHAR, input UBIGINT, at_us BIGINT, absent BOOLEAN, rank TINYINT",
    "ledger": "id VARCHAR, space UBIGINT, input UBIGINT, sum UBIGINT, content_us BIGINT,"
    " computed_us BIGINT, filed BOOLEAN",
    "history": "id VARCHAR, space UBIGINT, input UBIGINT, sum UBIGINT, content_us BIGINT,"
    " computed_us BIGINT, place BIGINT, intact BOOLEAN",
    "online": "id VARCHAR, space UBIGINT, sum UBIGINT, content_us BIGINT",
    "buried": "id VARCHAR, at_us BIGINT",
    "erased": "id VARCHAR, layer VARCHAR",
    "strange": "id VARCHAR, place BIGINT",
}
DIGESTED = ("space", "input", "sum")
"""Columns of which 64 bits are kept."""

FINDINGS = "view VARCHAR, id VARCHAR, kind VARCHAR, layer VARCHAR, cure VARCHAR, place BIGINT"
"""`place` is where the row lies that is to go, where one is."""


class Bench:
    """Tables of one view at a time, and the findings of all."""

    def __init__(self, folder: Path, memory: str = "512MB") -> None:
        self.folder, self.memory = folder, memory

    def __enter__(self) -> "Bench":
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        self.db.execute(f"SET memory_limit='{self.memory}'; SET preserve_insertion_order=false")
        spill = str(self.folder).replace("'", "''")
        self.db.execute(f"SET temp_directory='{spill}'")
        self.db.execute(f"CREATE TABLE finding ({FINDINGS})")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.db.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Empty tables for the next view."""
        for name, columns in TABLES.items():
            self.db.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")

    def load(self, table: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Append batches to a table; returns how many rows they had."""
        columns = [part.split()[0] for part in TABLES[table].split(", ")]
        chosen = ", ".join(_digested(name) if name in DIGESTED else name for name in columns)
        rows = 0
        for batch in batches:
            self.db.register("incoming", pa.Table.from_batches([batch]))
            self.db.execute(f"INSERT INTO {table} SELECT {chosen} FROM incoming")
            self.db.unregister("incoming")
            rows += batch.num_rows
        return rows

    def ask(self, ids: Iterable[str]) -> None:
        """Fill the table `asked`: the ids that a query is about."""
        self.db.register("incoming", pa.table({"id": pa.array(list(ids), pa.string())}))
        self.db.execute("CREATE OR REPLACE TABLE asked AS SELECT id FROM incoming")
        self.db.unregister("incoming")

    def stream(self, query: str, values: dict[str, object], rows: int) -> Iterator[pa.RecordBatch]:
        """A query's result in batches; others may run meanwhile."""
        with self.db.cursor() as cursor:
            yield from cursor.execute(query, values).to_arrow_reader(rows)

    def named(self, view: str, most: int) -> list[tuple[str, str, str, str]]:
        """The first findings of a view: id, kind, layer, cure."""
        rows = self.db.execute(
            "SELECT DISTINCT id, kind, layer, cure FROM finding WHERE view = $view "
            "ORDER BY ALL LIMIT $most",
            {"view": view, "most": most},
        )
        return list(rows.fetchall())

    def one(self, query: str, values: dict[str, object] | None = None) -> int:
        found = self.db.execute(query, values or {}).fetchone()
        return int(found[0]) if found and found[0] is not None else 0


def _digested(column: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN hash({column}) END AS {column}"
