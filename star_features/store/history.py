"""
History: every row a feature view ever had, as Parquet, appended to and never rewritten.

    history = History(home / "history", "job_text_v1", key="job_id", vector=True)
    history.append(rows)                     # only rows it does not hold yet
    history.latest()                         # the newest row of every entity

Layout: `<root>/<view>/month=YYYY-MM/part-<digest>.parquet`. Columns: the entity's id, the
features, `input_hash` (what the row was computed from), `event_timestamp` (when the content
became true) and `created` (when we computed it), both UTC microseconds. A part is written aside
and renamed, and its name is the digest of its rows: killed and run again, nothing is doubled.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from star_features.errors import ArtefactError, SpaceMismatch
from star_features.spaces import VectorTable

TIME = pa.timestamp("us", tz="UTC")
EMPTY = "month=1970-01/part-empty.parquet"
NEWEST = "event_timestamp DESC, created DESC, input_hash"
"""An entity's newest row is the first in this order: the ledger's, and that of every store."""


@dataclass(frozen=True)
class History:
    """One feature view's Parquet history.

    Attributes:
        root: the folder of all histories.
        view: the feature view's name.
        key: the entity's id column, `member_id` or `job_id`.
        features: feature columns and their types; `vector` and `space` for an embedding.
    """

    root: Path
    view: str
    key: str
    features: pa.Schema

    @classmethod
    def of_vectors(cls, root: Path, view: str) -> "History":
        """The history of an embedding space: `vector` (list of float32) and `space` (its id)."""
        fields = [("vector", pa.list_(pa.float32())), ("space", pa.string())]
        return cls(root, view, f"{view.split('_')[0]}_id", pa.schema(fields))

    @classmethod
    def of_attributes(cls, root: Path, entity: str, columns: Sequence[str]) -> "History":
        """The history of an entity's categorical features, strings all."""
        fields = [(column, pa.string()) for column in columns]
        return cls(root, f"{entity}_attributes", f"{entity}_id", pa.schema(fields))

    @property
    def folder(self) -> Path:
        return self.root / self.view

    @property
    def schema(self) -> pa.Schema:
        tail = [("input_hash", pa.string()), ("event_timestamp", TIME), ("created", TIME)]
        return pa.schema([(self.key, pa.string()), *self.features, *tail])

    def parts(self) -> list[Path]:
        """The Parquet files, by name."""
        return sorted(self.folder.glob("*/*.parquet"))

    def ensure(self) -> None:
        """Lay down a part without rows, so that a view nobody filled yet can be joined."""
        if not any(self.folder.rglob("*.parquet")):
            self._write(self.folder / EMPTY, self._empty())

    def append(self, rows: pa.Table) -> int:
        """Add the rows that say something new; returns how many they were.

        A row whose input hash is that of the newest computation for its entity and event time is
        there already: the same content is never stored twice in a row, and nothing stored is ever
        changed.
        """
        self.ensure()
        rows = self._unseen(rows.select(self.schema.names).cast(self.schema))
        months = pc.strftime(rows["event_timestamp"], "%Y-%m")
        for month in pc.unique(months).to_pylist():
            part = rows.filter(pc.equal(months, month)).combine_chunks()
            name = f"part-{_digest(part, self.key)}.parquet"
            self._write(self.folder / f"month={month}" / name, part)
        return int(rows.num_rows)

    def known(self) -> pa.Table:
        """Id, input hash and times of every stored row, without its features."""
        return self._select(f"{self.key}, input_hash, event_timestamp, created")

    def newest_hash(self) -> dict[str, str]:
        """Entity id -> what its newest row was computed from."""
        newest = self._newest(f"{self.key}, input_hash")
        return dict(
            zip(newest[self.key].to_pylist(), newest["input_hash"].to_pylist(), strict=True)
        )

    def spaces(self) -> list[str]:
        """The space ids that stand beside its vectors: one, unless something went wrong."""
        return sorted(self._select("DISTINCT space")["space"].to_pylist())

    def count_entities(self) -> int:
        """How many entities have a row."""
        return int(self._select(f"count(DISTINCT {self.key}) AS n")["n"][0].as_py())

    def count(self) -> int:
        return int(self._select("count(*) AS n")["n"][0].as_py())

    def require_space(self, space: str) -> None:
        """Refuse to add vectors of another space under the same name.

        Raises:
            ArtefactError: the view already holds vectors of a different identity.
        """
        if others := [other for other in self.spaces() if other != space]:
            raise ArtefactError(
                self.folder,
                f"holds vectors of {others[0]}, and {space} was about to be added",
                "a version that keeps its identity: add the next one to spaces.toml, or remove this"
                " folder to begin the version anew",
            )

    def latest(self) -> VectorTable:
        """The newest vector of every entity, sorted by id."""
        return self._as_vectors(self._newest(f"{self.key}, vector, space").sort_by(self.key))

    def latest_of(self, inputs: pa.Table) -> VectorTable:
        """The vector that was made last from this input of each entity, sorted by id.

        Args:
            inputs: id and `input_hash`; an entity without a vector of that input is left out.
        """
        self.ensure()
        with self._database() as db:
            db.register("inputs", inputs)
            found = db.execute(
                f"SELECT {self.key}, vector, space FROM {self.stored} "
                f"SEMI JOIN inputs USING ({self.key}, input_hash) "
                f"QUALIFY row_number() OVER (PARTITION BY {self.key} "
                f"ORDER BY {NEWEST}) = 1 ORDER BY {self.key}"
            ).to_arrow_table()
        return self._as_vectors(found)

    def like(self, rows: pa.Table) -> pa.Table:
        """The stored rows of the same entities, times and inputs, without their features; of those
        that were computed more than once the last."""
        known = f"{self.key}, event_timestamp, input_hash"
        with self._database() as db:
            db.register("wanted", rows.select([self.key, "event_timestamp", "input_hash"]))
            return db.execute(
                f"SELECT {known}, max(created) AS created FROM {self.stored} "
                f"SEMI JOIN wanted USING ({known}) GROUP BY {known}"
            ).to_arrow_table()

    def _as_vectors(self, rows: pa.Table) -> VectorTable:
        spaces = pc.unique(rows["space"]).to_pylist()
        if len(spaces) > 1:
            raise SpaceMismatch(got=spaces[1], wanted=spaces[0])
        vectors = rows["vector"].combine_chunks()
        return VectorTable(
            space=spaces[0] if spaces else self.view,
            ids=np.asarray(rows[self.key].to_pylist(), dtype=np.str_),
            vectors_ND=as_matrix(vectors, rows.num_rows),
        )

    def _unseen(self, rows: pa.Table) -> pa.Table:
        """Rows that say something new, each once: a text put back is new, the same text is not.

        What is computed later says so: where the clock went back, by a microsecond.
        """
        moment = f"{self.key}, event_timestamp"
        with self._database() as db:
            db.register("incoming", rows)
            said = (
                f"SELECT {moment}, input_hash, created FROM {self.stored} "
                f"SEMI JOIN incoming USING ({moment}) QUALIFY rank() OVER "
                f"(PARTITION BY {moment} ORDER BY created DESC) = 1"
            )
            return (
                db.execute(
                    f"WITH said AS MATERIALIZED ({said}), "
                    f"last AS (SELECT DISTINCT {moment}, created AS at FROM said) "
                    f"SELECT DISTINCT ON ({moment}, input_hash) incoming.* REPLACE ("
                    "  CASE WHEN incoming.created < last.at THEN last.at + INTERVAL 1 MICROSECOND"
                    "  ELSE incoming.created END AS created) "
                    f"FROM incoming LEFT JOIN last USING ({moment}) "
                    f"ANTI JOIN said USING ({moment}, input_hash) ORDER BY {moment}, input_hash"
                )
                .to_arrow_table()
                .cast(self.schema)
            )

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect() as db:
            db.execute("SET TimeZone='UTC'")
            db.register("blank", self._empty())
            yield db

    @property
    def stored(self) -> str:
        """Every part as one SQL relation; a column that older parts lack is null in them."""
        files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in self.parts())
        if "vector" in self.features.names:  # always the same columns
            return f"read_parquet([{files}], hive_partitioning=false)"
        columns = ", ".join(f'"{name}"' for name in self.schema.names)
        parts = f"read_parquet([{files}], hive_partitioning=false, union_by_name=true)"
        return f"(SELECT {columns} FROM (FROM {parts} UNION ALL BY NAME FROM blank))"

    def _newest_sql(self, columns: str) -> str:
        return (
            f"SELECT {columns} FROM {self.stored} "
            f"QUALIFY row_number() OVER (PARTITION BY {self.key} "
            f"ORDER BY {NEWEST}) = 1"
        )

    def _newest(self, columns: str) -> pa.Table:
        self.ensure()
        with self._database() as db:
            return db.execute(self._newest_sql(columns)).to_arrow_table()

    def _select(self, columns: str) -> pa.Table:
        self.ensure()
        with self._database() as db:
            return db.execute(f"SELECT {columns} FROM {self.stored}").to_arrow_table()

    def _empty(self) -> pa.Table:
        return self.schema.empty_table()

    def _write(self, path: Path, table: pa.Table) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        # Vectors are as good as random bits: coding them costs every reader time and saves nothing.
        columns = [name for name in self.schema.names if name != "vector"]
        pq.write_table(
            table,
            aside,
            compression=dict.fromkeys(columns, "zstd") | {"vector.list.element": "none"},
            use_dictionary=columns,
            coerce_timestamps="us",
        )
        os.replace(aside, path)


def hash_inputs(values: Sequence[str]) -> list[str]:
    """The `input_hash` of each input: SHA-256, 32 hex digits."""
    return [hashlib.sha256(value.encode()).hexdigest()[:32] for value in values]


def hash_categories(columns: Sequence[str], values: Sequence[str | None]) -> str:
    """The `input_hash` of one row of categorical features."""
    return hash_inputs([json.dumps([list(columns), list(values)])])[0]


def as_lists(vectors_ND: np.ndarray) -> pa.Array:
    """A float32 matrix as an Arrow list column, without touching single numbers."""
    flat = pa.array(np.ascontiguousarray(vectors_ND, dtype=np.float32).reshape(-1))
    n, width = vectors_ND.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1) * width, pa.int32()), flat)


def as_matrix(lists: pa.Array, rows: int) -> np.ndarray:
    """An Arrow list column of equal lengths as a float32 matrix; the inverse of `as_lists`."""
    if rows == 0:
        return np.zeros((0, 0), dtype=np.float32)
    return np.asarray(lists.flatten(), dtype=np.float32).reshape(rows, -1)


def _digest(part: pa.Table, key: str) -> str:
    hasher = hashlib.sha256()
    for column in (key, "input_hash", "event_timestamp"):
        hasher.update("\n".join(map(str, part[column].to_pylist())).encode())
    return hasher.hexdigest()[:20]
