"""
Where the tables lie: a folder of Parquet or CSV files, or one DuckDB database.

    with open_folder(Path("data"), config) as folder:
        sources = folder.find(members_spec(config))
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from star_features.errors import DataError, UsageError
from star_features.tables.chunk import Source
from star_features.tables.config import FILE, Csv
from star_features.tables.csv_source import CsvSource
from star_features.tables.duckdb_source import parquet_source, table_source
from star_features.tables.spec import TableSpec

FORMATS = (".parquet", ".csv", ".tsv")


def config_beside(source: Path) -> Path | None:
    """The dataset.toml that stands in the folder, or beside the database."""
    path = (source if source.is_dir() else source.parent) / FILE
    return path if path.exists() else None


class Folder:
    """Files or tables, by the name that dataset.toml uses."""

    def __init__(self, root: Path, con: duckdb.DuckDBPyConnection, csv: Csv) -> None:
        self.root, self.con, self.csv = root, con, csv
        self.is_database = not root.is_dir()
        self.present = self._tables() if self.is_database else self._files()

    def find(self, spec: TableSpec) -> list[Source]:
        """The sources of one table; empty if dataset.toml names none and none is there."""
        names = self._matching(spec.file) if spec.file else self._by_default(spec.name)
        if spec.file and not names:
            raise DataError(
                self.root.name,
                f"has no {spec.file}; it has: {', '.join(self.present) or 'nothing'}",
                f'Name the file in {FILE}:\n{spec.section}\nfile = "{self._guess()}"',
            )
        return [self._open(name) for name in names]

    def require(self, spec: TableSpec) -> list[Source]:
        """The sources of a table without which there is nothing to do."""
        if found := self.find(spec):
            return found
        header = ",".join(slot.name for slot in spec.slots if not slot.optional)
        raise DataError(
            self.root.name,
            f"has no table {spec.name}; it has: {', '.join(self.present) or 'nothing'}",
            f'Say which one it is in {FILE}:\n{spec.section}\nfile = "{self._guess()}"\n'
            f"(or, where there are none, add a {spec.name}.csv with only the line {header})",
        )

    def _tables(self) -> list[str]:
        rows = self.con.execute("SELECT table_name FROM information_schema.tables").fetchall()
        return sorted(row[0] for row in rows)

    def _files(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        names = (path.relative_to(self.root).as_posix() for path in found)
        return sorted(name for name in names if name != FILE and not name.startswith("."))

    def _matching(self, wanted: str) -> list[str]:
        if wanted in self.present:
            return [wanted]
        if self.is_database:
            return []
        paths = self.root.glob(wanted)
        names = {path.relative_to(self.root).as_posix() for path in paths}
        return [name for name in self.present if name in names]

    def _by_default(self, table: str) -> list[str]:
        if self.is_database:
            return [table] if table in self.present else []
        files = [f"{place}{table}{end}" for end in FORMATS for place in ("", "nodes/")]
        found = [name for name in files if name in self.present]
        if len(found) > 1:
            raise DataError(
                self.root.name,
                f"has {' and '.join(found)}, which are both the table {table}",
                f"Remove one, or name the right one in {FILE}.",
            )
        return found or [name for name in self.present if name.startswith(f"{table}/")]

    def _guess(self) -> str:
        return next((name for name in self.present if self._readable(name)), "FILE")

    def _readable(self, name: str) -> bool:
        return self.is_database or name.lower().endswith(FORMATS)

    def _open(self, name: str) -> Source:
        if self.is_database:
            return table_source(self.con, name)
        if not self._readable(name):
            raise DataError(name, "is of no format we read", f"Wanted one of {', '.join(FORMATS)}.")
        path = self.root / name
        if path.stat().st_size == 0:
            raise DataError(name, "the file is empty", "Wanted a table with rows.")
        if name.lower().endswith(".parquet"):
            return parquet_source(self.con, path, name)
        if name.lower().endswith(".tsv"):
            return CsvSource(path, self.csv.model_copy(update={"delimiter": "\t"}), name)
        return CsvSource(path, self.csv, name)


@contextmanager
def open_folder(source: Path, csv: Csv) -> Iterator[Folder]:
    """Open a folder or a DuckDB database for reading; it is never written to."""
    if not source.exists():
        raise UsageError(f"{source.name}: there is no such folder or database")
    try:
        con = duckdb.connect() if source.is_dir() else duckdb.connect(str(source), read_only=True)
    except duckdb.Error as error:
        first = str(error).strip().splitlines()[0]
        wanted = "Wanted a folder of Parquet or CSV files, or a DuckDB database."
        raise DataError(source.name, f"cannot be opened: {first}", wanted) from error
    with con:
        con.execute("SET TimeZone = 'UTC'; SET threads = 2; SET memory_limit = '1GB'")
        yield Folder(source, con, csv)
