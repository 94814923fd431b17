"""
Histories, labels and contestants of the point-in-time join, for `pit_join`.

Members and jobs, each with an embedding view, one Parquet part a month as
`star_features.store.history` writes them; labels name one of each at a random time. A contestant is
a function without arguments that returns the whole result as one Arrow table.

Shapes: N rows of a month.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from star_features.progress import bar
from star_features.store.history import TIME, History, as_lists

OURS = "star_features.offline.store.StarOfflineStore"
NAMES = {"ours": OURS, "Feast": "duckdb"}
PLAIN, KEYS_FIRST = "by hand, plain", "by hand, keys first"
CONTESTANTS = (*NAMES, PLAIN, KEYS_FIRST)
SETTINGS = {OURS: {"memory_limit": "512MB", "threads": 2}, "duckdb": {}}
MONTHS = np.arange("2023-01", "2024-01", dtype="datetime64[M]")
ENTITIES = ("member", "job")


@dataclass(frozen=True)
class Shape:
    """One case: width, rows of each view, versions of an entity, labels, rounds."""

    width: int
    rows: int
    depth: int
    labels: int
    rounds: int = 1

    @property
    def entities(self) -> int:
        return self.rows // self.depth

    def __str__(self) -> str:
        return f"{self.width}-d, {self.rows:,} × {self.labels:,} × 2"


def write_histories(root: Path, shape: Shape, seed: int) -> None:
    with bar(f"write {shape}", total=len(ENTITIES) * len(MONTHS), unit="part") as shown:
        for entity in ENTITIES:
            for number in range(len(MONTHS)):
                write_month(root, entity, number, shape, seed)
                shown.update()


def write_month(root: Path, entity: str, number: int, shape: Shape, seed: int) -> None:
    """One part, rows in any order, as a year of nightly runs leaves them."""
    history, month = History.of_vectors(root, f"{entity}_graph_v1"), MONTHS[number]
    rng = np.random.default_rng([seed, number, ENTITIES.index(entity)])
    rows = shape.rows // len(MONTHS)
    times_N = times(rng, rows, month, month + 1)
    columns = {
        history.key: names(entity, rng.integers(0, shape.entities, rows)),
        "vector": as_lists(rng.standard_normal((rows, shape.width), dtype=np.float32)),
        "space": pa.repeat(f"{entity}_graph_v1@bench", rows),
        "input_hash": pa.repeat("bench", rows),
        "event_timestamp": times_N,
        "created": times_N,
    }
    path = history.folder / f"month={month}" / f"part-{number:020x}.parquet"
    history._write(path, pa.table(columns).cast(history.schema))


def request(name: str, root: Path, labels: pd.DataFrame) -> Callable[[], object]:
    """A contestant, ready to go: its store is open."""
    if name in NAMES:
        store = open_store(root, NAMES[name])
        return lambda: asked(store, labels).to_arrow()
    return lambda: by_hand(root, labels, keys_first=name == KEYS_FIRST)


def label_frame(shape: Shape, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 99])
    columns = {
        f"{entity}_id": names(entity, rng.integers(0, shape.entities, shape.labels))
        for entity in ENTITIES
    }
    at = times(rng, shape.labels, MONTHS[0], MONTHS[-1] + 1)
    frame: pd.DataFrame = pa.table(columns | {"event_timestamp": at}).to_pandas()
    return frame


def times(rng: np.random.Generator, count: int, first: Any, end: Any) -> pa.Array:
    low, high = (int(np.datetime64(month, "us").astype(np.int64)) for month in (first, end))
    return pa.array(rng.integers(low, high, count), pa.int64()).cast(pa.timestamp("us")).cast(TIME)


def names(entity: str, numbers_N: Any) -> pa.Array:
    return pa.array([f"{entity}{number:08d}" for number in numbers_N], pa.string())


def open_store(root: Path, offline: str) -> Any:
    """Feast over the histories under `root`, with the offline store of that name."""
    from benchmarks.small_feast import embedding_view, entity, small_store

    store = small_store(root, offline={"type": offline} | SETTINGS[offline])
    for name in map(entity, ENTITIES):
        view = f"{name.name}_graph_v1"
        store.apply([name, embedding_view(name, view, root / view / "**" / "*.parquet")])
    return store


def asked(store: Any, labels: pd.DataFrame) -> Any:
    features = [f"{e}_graph_v1:{name}" for e in ENTITIES for name in ("vector", "space")]
    return store.get_historical_features(labels, features, full_feature_names=True)


def by_hand(root: Path, labels: pd.DataFrame, *, keys_first: bool) -> pa.Table:
    """Both views as one would write them in DuckDB."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone='UTC'")
        db.execute("SET enable_progress_bar=false")
        db.register("labels", labels)
        db.execute("CREATE TEMP TABLE l0 AS SELECT * FROM labels")
        seen = "".join(_seen(root, entity, keys_first) for entity in ENTITIES)
        columns = ", ".join(f"{e}.vector AS {e}_vector, {e}.space AS {e}_space" for e in ENTITIES)
        return db.execute(f"SELECT l0.*, {columns} FROM l0{seen}").to_arrow_table()


def _seen(root: Path, entity: str, keys_first: bool) -> str:
    stored = f"read_parquet('{root}/{entity}_graph_v1/*/*.parquet', hive_partitioning=false)"
    asof = f"p.{entity}_id = h.{entity}_id AND p.event_timestamp >= h.event_timestamp"
    if not keys_first:
        asof = asof.replace("p.", "l0.").replace("h.", f"{entity}.")
        return f" ASOF LEFT JOIN {stored} AS {entity} ON {asof}"
    places = f"SELECT {entity}_id, event_timestamp, file_index, file_row_number FROM {stored}"
    picks = (
        f"SELECT p.rowid AS label, file_index, file_row_number FROM l0 AS p"
        f" ASOF JOIN ({places}) AS h ON {asof}"
    )
    vectors = (
        f"SELECT label, vector, space FROM ({picks}) AS picked JOIN"
        f" (SELECT file_index, file_row_number, vector, space FROM {stored}) AS stored"
        " USING (file_index, file_row_number)"
    )
    return f" LEFT JOIN ({vectors}) AS {entity} ON {entity}.label = l0.rowid"
