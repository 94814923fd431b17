"""A small Feast store on any of the online stores, and real servers to put behind it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureService, FeatureStore, FeatureView
from feast.types import Int64, String

from benchmarks.servers import postgres_server, redis_server
from benchmarks.small_feast import embedding_view, entity, small_store, view

WIDTH = 3
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}


def definitions(root: Path) -> list[Any]:
    """Two versions of job vectors, one of member vectors, attributes, and the ranker's services."""
    member, job = entity("member"), entity("job")
    views = {
        name: embedding_view(of, name, root / f"{name}.parquet", WIDTH)
        for of, name in ((member, "member_graph_v1"), (job, "job_graph_v1"), (job, "job_graph_v2"))
    }
    attributes = view(
        job, "job_attributes", root / "attributes.parquet", {"city": String, "openings": Int64}
    )
    for_member = [views["member_graph_v1"].with_name("member_star")]
    for_job = [views["job_graph_v1"].with_name("job_star"), attributes]
    services = [
        FeatureService(name="ranker_member", features=for_member),
        FeatureService(name="ranker_job", features=for_job),
        FeatureService(name="ranker", features=for_member + for_job),
    ]
    return [member, job, *views.values(), attributes, *services]


def batch(ids: list[str], vectors: Any, **columns: Any) -> pa.RecordBatch:
    """Rows of job_graph_v1; `event` and `created` are a time or one a row."""
    vectors_ND = np.asarray(vectors, dtype=np.float32).reshape(len(ids), -1)
    event, created = columns.get("event", NOON), columns.get("created", NOON)
    times = [t if isinstance(t, list) else [t] * len(ids) for t in (event, created)]
    utc = pa.timestamp("us", tz="UTC")
    return pa.record_batch(
        {
            columns.get("key", "job_id"): pa.array(ids, pa.string()),
            "vector": pa.array(list(vectors_ND), pa.list_(pa.float32())),
            "space": pa.array([columns.get("space", "job_graph_v1@a")] * len(ids), pa.string()),
            "event_timestamp": pa.array(times[0], utc),
            "created": pa.array(times[1], utc),
        }
    )


def vectors_of(store: FeatureStore, ids: list[str], name: str = "job_graph_v1") -> dict[str, Any]:
    """What Feast's own client reads, by id."""
    read = store.get_online_features([f"{name}:vector"], [{"job_id": key} for key in ids]).to_dict()
    return dict(zip(read["job_id"], read["vector"], strict=True))


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real Redis server, as Feast's connection settings."""
    with redis_server(tmp_path_factory.mktemp("redis")) as settings:
        yield settings


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real PostgreSQL server, as Feast's connection settings."""
    with postgres_server(tmp_path_factory.mktemp("pg")) as settings:
        yield settings


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Callable[[str, Path], dict[str, Any]]:
    """Feast's `online_store` settings of a kind, without its `type`."""

    def of(kind: str, root: Path) -> dict[str, Any]:
        if kind == "sqlite":
            return {"path": str(root / "online.db")}
        return dict(request.getfixturevalue(kind))

    return of


@pytest.fixture(scope="session", params=["sqlite", "redis", "postgres"])
def both(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    settings: Callable[..., dict[str, Any]],
) -> Iterator[SimpleNamespace]:
    """One store, opened with our class (`fast`) and with Feast's own (`stock`)."""
    kind, root = request.param, tmp_path_factory.mktemp(request.param)
    place = settings(kind, root)
    defined = definitions(root)
    stock = small_store(root, online={"type": kind, **place})
    stock.apply(defined)
    fast = small_store(root, online={"type": FAST[kind], **place})
    yield SimpleNamespace(
        kind=kind,
        fast=fast,
        stock=stock,
        definitions=defined,
        batch=batch,
        vectors_of=vectors_of,
        noon=NOON,
    )
    fast._get_provider().online_store.disconnect()
    if connection := getattr(stock._get_provider().online_store, "_conn", None):
        connection.close()


@pytest.fixture
def world(both: SimpleNamespace) -> SimpleNamespace:
    """`both`, without one row."""
    views = [found for found in both.definitions if isinstance(found, FeatureView)]
    online = both.stock._get_provider().online_store
    both.drop = lambda: online.teardown(both.stock.config, views, [])
    both.drop()
    both.fast._get_provider().online_store.disconnect()
    online.update(both.stock.config, [], views, [], [], False)
    return both
