"""
One tiny Feast repository over Parquet that each test writes anew, asked through both stores.

Times are minutes since 2024-01-31 23:50 UTC, so that every example may cross into February.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView
from feast.types import Array, Float32, Int64, String

from benchmarks.small_feast import entity, small_store, view

START = datetime(2024, 1, 31, 23, 50, tzinfo=UTC)
TIME = pa.timestamp("us", tz="UTC")


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@dataclass(frozen=True)
class Row:
    """One stored row: whose, since when, computed when (unknown: None), and what it says."""

    member: str
    event: int
    created: int | None
    n: int
    vector: tuple[float, ...] | None = (0.0, 0.0)


@dataclass(frozen=True)
class World:
    """A repository, its history folder, and Feast over it with our store and with its own."""

    folder: Path
    ours: Any
    feasts: Any

    def write(self, *files: Sequence[Row]) -> None:
        """Replace the history by one file for each list of rows."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for number, rows in enumerate(files):
            self.put(f"{number}.parquet", table(rows))

    def put(self, name: str, rows: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self.folder / name, row_group_size=3)

    def ask(self, labels: pd.DataFrame | str, features: Any, *, as_served: bool = False) -> Any:
        return self.ours.get_historical_features(
            labels, features, full_feature_names=True, filter_by_created_timestamp=as_served
        )

    def ask_feast(self, labels: pd.DataFrame, features: Any, *, as_served: bool = False) -> Any:
        return self.feasts.get_historical_features(
            labels, features, full_feature_names=True, filter_by_created_timestamp=as_served
        )


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as the file has them; three columns carry the same number under awkward names."""
    ns = [row.n for row in rows]
    created = [None if row.created is None else at(row.created) for row in rows]
    return pa.table(
        {
            "member_id": pa.array([row.member for row in rows], pa.string()),
            "vector": pa.array([row.vector for row in rows], pa.list_(pa.float32())),
            "n": pa.array(ns, pa.int64()),
            "rn": pa.array(ns, pa.int64()),
            "score_y": pa.array([str(n) for n in ns], pa.string()),
            "event_timestamp": pa.array([at(row.event) for row in rows], TIME),
            "created": pa.array(created, TIME),
        }
    )


def labels_of(pairs: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """Labels with a number each, so that their order can be checked."""
    return pd.DataFrame(
        {
            "member_id": pd.Series([member for member, _ in pairs], dtype="object"),
            "event_timestamp": pd.Series(
                [at(minute) for _, minute in pairs], dtype="datetime64[us, UTC]"
            ),
            "label": range(len(pairs)),
        }
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    history = root / "history"
    ours = {"type": "star_features.offline.store.StarOfflineStore", "batch_rows": 3}
    world = World(history, small_store(root, offline=ours), small_store(root))
    world.write([Row("a", 0, 0, 0)])
    member = entity("member")

    def of_member(name: str, minutes: int, number: str = "n", **more: Any) -> FeatureView:
        features = {"vector": Array(Float32), number: Int64, "rn": Int64, "score_y": String}
        ttl = timedelta(minutes=minutes)
        return view(member, name, history / "*.parquet", features, ttl=ttl, **more)

    renamed = of_member("mapped", 0, "renamed", field_mapping={"n": "renamed"})
    world.ours.apply([member, of_member("ever", 0), of_member("short", 2), renamed])
    return world


@pytest.fixture(scope="session")
def row() -> type[Row]:
    return Row


@pytest.fixture(scope="session")
def labels() -> Any:
    return labels_of


@pytest.fixture(scope="session")
def stored() -> Any:
    return table
