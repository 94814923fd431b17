"""
What `online_read` and `write` share: real servers, one Feast store on each, and the bare drivers.

The floor keeps one packed float32 vector under one key, as somebody would who needs nothing else:
no space id beside it, no times, no order of writes.

Shapes: N rows, D width.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.servers import postgres_server, redis_server
from benchmarks.small_feast import embedding_view, entity, small_store

FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLOOR_BATCH = 1000


@dataclass(frozen=True)
class Floor:
    """The bare driver.

    Attributes:
        write: pairs, in batches.
        read: N vectors as one matrix, pipelined.
        clear: remove all.
        at_once: the same read as a single command, where the server has one (Redis: MGET). No
            layout with a row an entity and several features in it can be read so.
    """

    write: Callable[[Sequence[str], NDArray[np.float32]], None]
    read: Callable[[Sequence[str]], NDArray[np.float32]]
    clear: Callable[[], None]
    at_once: Callable[[Sequence[str]], NDArray[np.float32]] | None = None


@contextmanager
def servers(kinds: Sequence[str], root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Feast's `online_store` settings, without `type`, of freshly started stores."""
    start = {"redis": redis_server, "postgres": postgres_server}
    with ExitStack() as running:
        yield {
            kind: running.enter_context(start[kind](root))
            if kind in start
            else {"path": str(root / "online.db")}
            for kind in kinds
        }


def open_stores(kind: str, place: dict[str, Any], root: Path, width: int) -> tuple[Any, Any]:
    """A store with one view a side, opened with our class and with Feast's own."""
    folder = root / f"{kind}-{width}"
    folder.mkdir(parents=True, exist_ok=True)
    project = f"bench{width}"
    stock = small_store(folder, online={"type": kind, **place}, project=project)
    stock.apply(_definitions(folder))
    return small_store(folder, online={"type": FAST[kind], **place}, project=project), stock


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
        rows = db.execute(f"SELECT key, vector FROM floor WHERE key IN ({places})", ids)
        found: dict[str, bytes] = dict(rows.fetchall())
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

    def clear() -> None:
        client.flushdb()

    def at_once(ids: Sequence[str]) -> NDArray[np.float32]:
        found: Any = client.mget(ids)
        return _stacked(found)

    return Floor(write, read, clear, at_once)


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
        found: dict[str, bytes] = dict(cursor.fetchall())
        return _stacked([found[key] for key in ids])

    clear()
    return Floor(write, read, clear)


def _stacked(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)


def _definitions(folder: Path) -> list[Any]:
    """A view a side, and one more that is filled through a map: to a store just another view."""
    from feast import FeatureService

    sides = [entity(name) for name in ("member", "job")]
    found: list[Any] = [*sides]
    for service, version in (("ranker", "v1"), ("ranker_mapped", "v1_from_v2")):
        views = [
            embedding_view(e, f"{e.name}_{version}", folder / f"{e.name}.parquet") for e in sides
        ]
        member, job = (
            view.with_name(f"{e.name}_star") for view, e in zip(views, sides, strict=True)
        )
        found += [*views, FeatureService(name=service, features=[member, job])]
        if service == "ranker":
            found += [
                FeatureService(name="ranker_member", features=[member]),
                FeatureService(name="ranker_job", features=[job]),
            ]
    return found
