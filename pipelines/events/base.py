"""
The tables, warm in memory: what a member or job is where no event said anything newer.

    base = Base.load(home)
    base.find("job", "j1")          # its categories, lists, text hash and time; None: not there

Texts are not held, only their hashes: whether a text is the one that a vector was made from.
"""

import os
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.home import Home
from star_features.catalogue import ENTITIES
from star_features.store.history import hash_inputs
from star_features.tables.canonical import Tables
from star_features.tables.receipt import SCHEMA


@dataclass(frozen=True)
class Row:
    """A member or job as the tables hold it.

    Attributes:
        text_hash: of its text; None where it has none.
    """

    since_us: int
    text_hash: str | None
    company_id: str | None
    categories: dict[str, str]
    lists: dict[str, list[str]]


class Base:
    """Members and jobs by id."""

    def __init__(self, tables: Tables, stamp: tuple[int, int] | None) -> None:
        self.stamp = stamp
        self.categorical: dict[str, tuple[str, ...]] = {
            e: tables.categorical(f"{e}s") for e in ENTITIES
        }
        self.lists: dict[str, tuple[str, ...]] = {e: tables.lists(f"{e}s") for e in ENTITIES}
        self._hashes: dict[str, list[str | None]] = {}
        self._tables: dict[str, pa.Table] = {}
        self._since_us: dict[str, Any] = {}
        self._row_of: dict[str, dict[str, int]] = {}
        for entity in ENTITIES:
            self._read(tables, entity)

    @classmethod
    def load(cls, home: Home) -> "Base":
        """Read the tables.

        Raises:
            MissingStage: `star ingest` has not run.
        """
        stamp = stamp_of(home)  # before they are read: what is replaced meanwhile is read again
        return cls(Tables(home.tables), stamp)

    def find(self, entity: str, id: str) -> Row | None:
        row = self._row_of[entity].get(id)
        if row is None:
            return None
        held = self._tables[entity].slice(row, 1).to_pylist()[0]
        categories = {c: held[c] for c in self.categorical[entity] if held[c] is not None}
        return Row(
            since_us=int(self._since_us[entity][row]),
            text_hash=self._hashes[entity][row],
            company_id=held.get("company_id"),
            categories=categories,
            lists={name: held[name] or [] for name in self.lists[entity]},
        )

    def since_us(self, entity: str, id: str) -> int | None:
        """When the content of this row became true; None: there is no such row."""
        row = self._row_of[entity].get(id)
        return None if row is None else int(self._since_us[entity][row])

    def text_hash(self, entity: str, id: str) -> str | None:
        """Of the text of this row; None: it has none, or there is no such row."""
        row = self._row_of[entity].get(id)
        return None if row is None else self._hashes[entity][row]

    def _read(self, tables: Tables, entity: str) -> None:
        key = f"{entity}_id"
        company = ["company_id"] if entity == "job" else []
        columns = [key, *company, *self.categorical[entity], *self.lists[entity]]
        self._tables[entity] = tables.table(f"{entity}s", columns)
        times = tables.table(f"{entity}s", ["updated_at"])["updated_at"]
        self._since_us[entity] = times.cast(pa.int64()).to_numpy()
        texts = tables.table(f"{entity}s", ["text"])["text"].to_pylist()
        self._hashes[entity] = [hash_inputs([text])[0] if text else None for text in texts]
        ids = self._tables[entity][key].to_pylist()
        self._row_of[entity] = {id: row for row, id in enumerate(ids)}


def stamp_of(home: Home) -> tuple[int, int] | None:
    """Changes when the tables are replaced; None in the moment in which they are."""
    try:
        found = os.stat(home.tables / SCHEMA)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
