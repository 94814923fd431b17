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
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Array, Float32, Int64, String

    root = tmp_path_factory.mktemp("world")
    history = root / "history"
    world = World(
        history,
        *(
            FeatureStore(
                config=RepoConfig(
                    project="world",
                    provider="local",
                    registry=str(root / "registry.db"),
                    online_store=None,
                    offline_store=offline,
                    entity_key_serialization_version=3,
                    repo_path=root,
                )
            )
            for offline in (
                {"type": "star_features.offline.store.StarOfflineStore", "batch_rows": 3},
                {"type": "duckdb"},
            )
        ),
    )
    world.write([Row("a", 0, 0, 0)])
    member = Entity(name="member", join_keys=["member_id"], value_type=ValueType.STRING)

    def view(name: str, ttl: int, **more: Any) -> FeatureView:
        source = FileSource(
            name=f"{name}_source",
            path=str(history / "*.parquet"),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
            **more,
        )
        numbers = ["renamed" if more else "n", "rn"]
        schema = [
            Field(name="member_id", dtype=String),
            Field(name="vector", dtype=Array(Float32)),
            *(Field(name=name, dtype=Int64) for name in numbers),
            Field(name="score_y", dtype=String),
        ]
        return FeatureView(
            name=name,
            entities=[member],
            ttl=timedelta(minutes=ttl),
            schema=schema,
            source=source,
        )

    views = [view("ever", 0), view("short", 2), view("mapped", 0, field_mapping={"n": "renamed"})]
    world.ours.apply([member, *views])
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
