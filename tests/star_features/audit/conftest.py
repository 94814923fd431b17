"""Ten jobs whose source, history, ledger and online store agree, on every fast store."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureStore

from benchmarks.servers import postgres_server, redis_server
from benchmarks.small_feast import embedding_view, entity, small_store
from star_features.audit.bench import Bench
from star_features.audit.judge import Asked, ViewReport, audit_view, confirm
from star_features.audit.mend import Mender
from star_features.ledger.ledger import Ledger
from star_features.online.columns import Rows
from star_features.online.wire import entity_keys, string_values, vector_values
from star_features.store.history import TIME, History, as_lists
from star_features.store.materialize import write_pending
from star_features.store.recording import follow

VIEW, HERE, WIDTH, SPACE = "job_graph_v1", "here", 4, "job_graph_v1@right"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}


@dataclass
class Home:
    """Where everything of one view is.

    Attributes:
        source: of every entity, what it should be made from, and since when.
    """

    root: Path
    kind: str
    store: FeatureStore
    history: History
    ledger: Ledger
    source: dict[str, tuple[str | None, datetime]] = field(default_factory=dict)
    dated: bool = False

    def compute(self, numbers: dict[str, float], day: int = 0, **wrong: Any) -> None:
        """Vectors of these jobs reach source, history, ledger and online store.

        Args:
            wrong: another `space`, `width`, `input`, or `later` (computed so many seconds later).
        """
        ids, at = list(numbers), START + timedelta(days=day)
        vectors = np.array([[n] * wrong.get("width", WIDTH) for n in numbers.values()], np.float32)
        rows = {
            "job_id": ids,
            "vector": as_lists(vectors.reshape(len(ids), -1)),
            "space": [wrong.get("space", SPACE)] * len(ids),
            "input_hash": [wrong.get("input", str(n)) for n in numbers.values()],
            "event_timestamp": pa.array([at] * len(ids), TIME),
            "created": pa.array([at + timedelta(seconds=wrong.get("later", 0))] * len(ids), TIME),
        }
        self.history.append(pa.table(rows))
        self.source |= {id: (str(n), at) for id, n in numbers.items()}
        follow(self.ledger, self.history, 1)
        write_pending(self.ledger, self.store, self.history, HERE, now_us=lambda: 7)

    def asked(self) -> Asked:
        return Asked(self.history, SPACE, WIDTH, self._rows, self.dated)

    def audit(self, ids: Collection[str] | None = None) -> list[tuple[str, str, str, str]]:
        """Findings: id, kind, layer, cure."""
        with self.bench() as bench:
            report = audit_view(bench, self.ledger, self.store, self.asked(), ids)
            confirm(bench, self.ledger, self.store, self.asked(), report)
            return self.findings(bench)

    def repair(self, compute: Callable[[Collection[str]], None] = lambda ids: None) -> Counter[str]:
        """What was mended; `compute` is what the stages would do for these ids."""
        with self.bench() as bench:
            report = audit_view(bench, self.ledger, self.store, self.asked())
            report = confirm(bench, self.ledger, self.store, self.asked(), report)
            aside = self.root / "damaged"
            mender = Mender(bench, self.ledger, self.store, HERE, 9, aside)
            done = mender.mend(self.asked(), report)
            missing = {id for id, _, _, cure in self.findings(bench) if cure == "compute"}
            if missing:
                compute(missing)
                follow(self.ledger, self.history, 9)
            return done + mender.finish(self.asked())

    def report(self) -> ViewReport:
        with self.bench() as bench:
            return audit_view(bench, self.ledger, self.store, self.asked())

    def bench(self) -> Bench:
        return Bench(self.root / "bench", memory="200MB")

    def findings(self, bench: Bench) -> list[tuple[str, str, str, str]]:
        rows = bench.db.execute("SELECT DISTINCT id, kind, layer, cure FROM finding ORDER BY ALL")
        return list(rows.fetchall())

    def sql(self, statement: str) -> None:
        """Edit the ledger."""
        with self.ledger.begin() as db:
            assert db.exec_driver_sql(statement).rowcount > 0

    def part_of(self, id: str) -> Path:
        """The file in which the only row of a job lies."""
        import pyarrow.parquet as pq

        (path,) = (p for p in self.history.parts() if id in pq.read_table(p)["job_id"].to_pylist())
        return path

    def put_online(
        self, id: str, numbers: list[float], *, space: str = SPACE, at: datetime = START
    ) -> None:
        """Put a row into the online store past every check."""
        view, config = self.store.get_feature_view(VIEW), self.store.config
        online = self.store._get_provider().online_store
        keys, us = entity_keys("job_id", [id]), np.array([int(at.timestamp() * 1e6)])
        online.delete_rows(config, view, keys)
        values = vector_values(np.array([numbers], np.float32))
        row = {"vector": values, "space": string_values([space])}
        online.write_rows(config, view, Rows(keys, row, us, us))

    def flip_online(self, id: str) -> None:
        """Flip one bit of a vector where it lies, with the store's own client."""
        (key,) = entity_keys("job_id", [id])
        {"sqlite": flip_sqlite, "redis": flip_redis, "postgres": flip_postgres}[self.kind](
            self, key
        )

    def _rows(self, ids: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        rows = {id: row for id, row in self.source.items() if ids is None or id in ids}
        yield pa.record_batch(
            {
                "id": pa.array(list(rows), pa.string()),
                "input": pa.array([hashed for hashed, _ in rows.values()], pa.string()),
                "at_us": pa.array([int(at.timestamp() * 1e6) for _, at in rows.values()]),
                "absent": pa.array([False] * len(rows), pa.bool_()),
                "rank": pa.array([0] * len(rows), pa.int8()),
            }
        )


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def flip_sqlite(home: Home, key: bytes) -> None:
    import sqlite3

    with closing(sqlite3.connect(home.store.config.online_store.path)) as db, db:
        where = "WHERE entity_key = ? AND feature_name = 'vector'"
        (value,) = db.execute(f"SELECT value FROM p_{VIEW} {where}", [key]).fetchone()
        db.execute(f"UPDATE p_{VIEW} SET value = ? {where}", [flipped(value), key])


def flip_redis(home: Home, key: bytes) -> None:
    import redis
    from feast.infra.online_stores.helpers import _mmh3

    host, port = home.store.config.online_store.connection_string.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        field = _mmh3(f"{VIEW}:vector")
        value = client.hget(key + b"p", field)
        client.hset(key + b"p", field, flipped(value))


def flip_postgres(home: Home, key: bytes) -> None:
    import psycopg
    from psycopg.conninfo import make_conninfo

    place = home.store.config.online_store
    info = make_conninfo(
        host=place.host, port=place.port, user=place.user, password=place.password,
        dbname=place.database,
    )  # fmt: skip
    with psycopg.connect(info, autocommit=True) as db:
        where = "WHERE entity_key = %s AND feature_name = 'vector'"
        (value,) = db.execute(f"SELECT value FROM p_{VIEW} {where}", [key]).fetchone() or (b"",)
        db.execute(f"UPDATE p_{VIEW} SET value = %s {where}", [flipped(bytes(value)), key])


FLIPS = {"sqlite": flip_sqlite, "redis": flip_redis, "postgres": flip_postgres}


@pytest.fixture(scope="session", params=["sqlite", "redis", "postgres"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, FeatureStore]]:
    kind, root = request.param, tmp_path_factory.mktemp(request.param)
    servers = {"redis": redis_server, "postgres": postgres_server}
    context = servers[kind](root) if kind in servers else None
    place = context.__enter__() if context else {"path": str(root / "online.db")}
    store = small_store(root, online={"type": FAST[kind], **place})
    job = entity("job")
    store.apply([job, embedding_view(job, VIEW, root / "none.parquet", WIDTH)])
    yield kind, store
    store._get_provider().online_store.disconnect()
    if context:
        context.__exit__(None, None, None)


@pytest.fixture
def home(opened: tuple[str, FeatureStore], tmp_path: Path) -> Home:
    """Ten jobs j0 … j9, each in agreement everywhere."""
    kind, store = opened
    views = [store.get_feature_view(VIEW)]
    online = store._get_provider().online_store
    online.teardown(store.config, views, [])
    online.update(store.config, [], views, [], [], False)
    history = History.of_vectors(tmp_path / "history", VIEW)
    made = Home(tmp_path, kind, store, history, Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}"))
    made.compute({f"j{n}": n for n in range(8)})
    made.compute({"j8": 8, "j9": 9}, day=40)
    return made
