"""A ranker's Feast store: two members, jobs in two versions, attributes; fast or Feast's own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Array, Float32, String

from star_features.online.writer import write_batches

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = "star_features.online.sqlite.FastSqliteOnlineStore"
Opener = Callable[[str], FeatureStore]


def view(entity: Entity, name: str, fields: dict[str, Any], root: Path) -> FeatureView:
    source = FileSource(
        name=name,
        path=str(root / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    schema = [Field(name=n, dtype=t) for n, t in {entity.join_key: String, **fields}.items()]
    return FeatureView(name=name, entities=[entity], ttl=timedelta(0), schema=schema, source=source)


def definitions(root: Path, job_version: str = "v1") -> list[Any]:
    member, job = (
        Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        for name in ("member", "job")
    )
    vectors = {"vector": Array(Float32), "space": String}
    members = view(member, "member_graph_v1", vectors, root)
    jobs = {v: view(job, f"job_graph_{v}", vectors, root) for v in ("v1", "v2")}
    attributes = view(job, "job_attributes", {"city": String}, root)
    for_member = [members.with_name("member_star")]
    for_job = [jobs[job_version].with_name("job_star"), attributes]
    return [
        *(member, job, members, *jobs.values(), attributes),
        FeatureService(name="ranker_member", features=for_member),
        FeatureService(name="ranker_job", features=for_job),
        FeatureService(name="ranker", features=for_member + for_job),
    ]


def rows(key: str, ids: list[str], **columns: Any) -> pa.RecordBatch:
    times = pa.array([NOON] * len(ids), pa.timestamp("us", tz="UTC"))
    return pa.record_batch({key: ids, **columns, "event_timestamp": times, "created": times})


def vectors(key: str, space: str, by_id: dict[str, list[float]]) -> pa.RecordBatch:
    lists = pa.array([np.float32(v) for v in by_id.values()], pa.list_(pa.float32()))
    return rows(key, list(by_id), vector=lists, space=[space] * len(by_id))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Open the store by its `type`; m1, j1..j3 and j4 (attributes only) are there, m9 is not."""

    def open_as(kind: str) -> FeatureStore:
        return FeatureStore(
            config=RepoConfig(
                project="p",
                provider="local",
                registry={"registry_type": "sql", "path": f"sqlite:///{tmp_path}/registry.db"},
                online_store={"type": kind, "path": str(tmp_path / "online.db")},
                offline_store={"type": "duckdb"},
                entity_key_serialization_version=3,
            )
        )

    store = open_as(FAST)
    store.apply(definitions(tmp_path))
    writes = {
        "member_graph_v1": vectors("member_id", "member_graph_v1@aa", {"m1": [1, 2]}),
        "job_graph_v1": vectors(
            "job_id", "job_graph_v1@aa", {"j1": [1, 0], "j2": [0, 1], "j3": [3, 4]}
        ),
        "job_graph_v2": vectors("job_id", "job_graph_v2@bb", {"j1": [9, 9, 9]}),
        "job_attributes": rows(
            "job_id", ["j1", "j2", "j4"], city=pa.array(["Ulm", None, "Köln"], pa.string())
        ),
    }
    for name, batch in writes.items():
        write_batches(store, name, [batch])
    yield open_as
    store._get_provider().online_store.close()


@pytest.fixture
def redefine(tmp_path: Path, opened: Opener) -> Callable[[str], None]:
    """Point `job_star` to another version, as a release does."""
    return lambda version: opened(FAST).apply(definitions(tmp_path, version))
