"""
Parquet files and DuckDB databases, both read through DuckDB: every scalar as text.

Whole floats are written without a fraction (3.0 as 3), because that is what an integer column with
a gap becomes on its way through pandas.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from star_features.errors import DataError
from star_features.tables.chunk import Chunk, Shape

NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "BIT")
ROW = "row number in its file"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A value as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


class DuckSource:
    """A Parquet file, or a table or view of a database, behind one SQL name."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, name: str, relation: str, number: str
    ) -> None:
        self.con, self.name, self.relation, self.number = con, name, relation, number
        self.types = {row[0]: row[1] for row in self._ask("DESCRIBE SELECT *").fetchall()}

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: _shape(kind) for name, kind in self.types.items()}

    def chunks(self, columns: Sequence[str], rows: int, cut: int) -> Iterator[Chunk]:
        """Read `columns` in pieces of at most `rows` rows, values cut to `cut` characters."""
        shown = [_as_text(name, self.types[name], cut) for name in columns]
        numbered = f"SELECT {self.number} AS {quoted(ROW)}, " + ", ".join(shown)
        reader = self._ask(numbered.rstrip(", ")).to_arrow_reader(rows)
        while (batch := self._next(reader)) is not None:
            table = pa.Table.from_batches([batch])
            numbers = table.column(ROW).to_numpy().astype(np.int64)
            yield Chunk(self.name, numbers, table.select(list(columns)))

    def _ask(self, select: str) -> duckdb.DuckDBPyConnection:
        try:
            return self.con.execute(f"{select} FROM {self.relation}")
        except duckdb.Error as error:
            raise self._cannot(error) from error

    def _next(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: Exception) -> DataError:
        first = str(error).strip().splitlines()[0]
        kind = "Parquet" if self.relation.startswith("read_parquet") else "a DuckDB table"
        return DataError(self.name, f"cannot be read as {kind}: {first}", f"Wanted {kind}.")


def parquet_source(con: duckdb.DuckDBPyConnection, path: Path, name: str) -> DuckSource:
    relation = f"read_parquet({literal(path)}, hive_partitioning=false)"
    return DuckSource(con.cursor(), name, relation, "file_row_number + 1")


def table_source(con: duckdb.DuckDBPyConnection, table: str) -> DuckSource:
    return DuckSource(con.cursor(), table, quoted(table), "row_number() OVER ()")


def _shape(kind: str) -> Shape:
    if kind.endswith("[]"):
        inner = kind.removesuffix("[]")
        return "nested" if inner.startswith(NESTED) or inner.endswith("]") else "list"
    return "nested" if kind.startswith(NESTED) or kind.endswith("]") else "text"


def _as_text(name: str, kind: str, cut: int) -> str:
    column = quoted(name)
    if kind.endswith("[]"):
        return f"list_transform({column}::VARCHAR[], lambda x: left(x, {cut})) AS {column}"
    if kind in ("DOUBLE", "FLOAT"):
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e15"
        text = f"CASE WHEN {whole} THEN {column}::BIGINT::VARCHAR ELSE {column}::VARCHAR END"
        return f"{text} AS {column}"
    return f"left({column}::VARCHAR, {cut}) AS {column}"
