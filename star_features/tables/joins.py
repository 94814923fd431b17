"""
Attribute files: one row per member or job (or company, …), whose columns are added by key.

    join = [{ file = "company.csv", on = "job" }]

To the receipt each is a table of its own: rows without a key and repeated keys go to quarantine.
A column that the joined-to table already has keeps that table's values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from star_features.errors import DataError
from star_features.tables.chunk import Shape
from star_features.tables.duckdb_source import quoted
from star_features.tables.work import Work


@dataclass
class Joined:
    """A file waiting on the workbench to be joined.

    Attributes:
        table: its name on the workbench and in the receipt.
        file: its name in dataset.toml.
        on: its key column.
        key: the column of the other table that is looked up in it.
        shapes: the columns it adds.
        met: whether any row has found its partner yet.
    """

    work: Work
    table: str
    file: str
    on: str
    key: str
    shapes: Mapping[str, Shape]
    met: bool = False

    def add_to(self, rows: pa.Table) -> pa.Table:
        """The rows with this file's columns, null where it has nothing; order is kept."""
        added = [name for name in self.shapes if name not in rows.column_names]
        keyed = pa.table({"key": rows.column(self.key), "place": np.arange(rows.num_rows)})
        self.work.con.register("rows_to_join", keyed)
        columns = "".join(f", j.{quoted(name)}" for name in added)
        found = self.work.con.execute(
            f"SELECT j._row IS NOT NULL{columns} FROM rows_to_join r LEFT JOIN"
            f" {quoted(self.table)} j ON r.key = j.{quoted(self.on)} ORDER BY r.place"
        ).to_arrow_table()
        self.work.con.unregister("rows_to_join")
        self.met = self.met or any(found.column(0).to_pylist())
        for place, name in enumerate(added, start=1):
            rows = rows.append_column(name, found.column(place))
        return rows

    def require_met(self) -> None:
        """Stop when not one row found a partner: the key is the wrong one."""
        if not self.met and self.work.count(self.table):
            line = f'join = [{{ file = "{self.file}", on = "{self.on}", key = "…" }}]'
            raise DataError(
                self.file,
                f"not one value of {self.on} is found in the column {self.key}",
                f"Say in dataset.toml which column it is looked up by:\n{line}",
            )
