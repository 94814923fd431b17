"""
Auditing a view: source, ledger, history and online store compared, against a bare read of them.

    python -m benchmarks.audit [--quick] [--seed N]

One view of 200 numbers, on SQLite 100,000 and then 1,000,000 entities, on Redis and Postgres
100,000; a hundred of them damaged, all of which must be found and nobody else:

- audit: all four places, every byte of the history's files, every stored value, findings twice
- floor: the same rows read and thrown away: SELECTs of the bare drivers, Parquet batches by pyarrow
- by hand: what a team without it would write: `get_online_features` in batches of 1,000, compared
  with the newest rows of the history by pandas; neither ledger, nor orphans, nor bytes of files

Memory is the peak of a process that does nothing but the audit, above what it has after its
imports; at 1,000,000 it must be about what it is at 100,000. `--quick`: 4,000 and 20,000 entities.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, resident
from benchmarks.online_stores import FAST, servers
from benchmarks.small_feast import embedding_view, entity, small_store
from star_features.audit.bench import Bench
from star_features.audit.judge import Asked, audit_view, confirm
from star_features.ledger.ledger import Ledger
from star_features.online.remover import remove_entities
from star_features.store.history import TIME, History, as_lists
from star_features.store.materialize import write_pending
from star_features.store.recording import follow

VIEW, SPACE, WIDTH = "job_graph_v1", "job_graph_v1@bench", 200
PART, DAMAGED = 50_000, 100
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000
MOST_MEMORY = 1_024.0  # MiB, at a million
MEMORY_GROWS = 2.0  # from a tenth of the entities


@dataclass(frozen=True)
class World:
    """One view in agreement everywhere but for DAMAGED rows, in a folder and a store."""

    folder: Path
    kind: str
    place: dict[str, Any]
    entities: int

    def open(self) -> tuple[FeatureStore, History, Ledger]:
        store = small_store(self.folder, online={"type": FAST[self.kind], **self.place})
        history = History.of_vectors(self.folder / "history", VIEW)
        return store, history, Ledger.open(f"sqlite:///{self.folder / 'ledger.db'}")

    def build(self, seed: int) -> None:
        store, history, ledger = self.open()
        job = entity("job")
        store.apply([job, embedding_view(job, VIEW, self.folder / "none.parquet", WIDTH)])
        generator = np.random.default_rng(seed)
        for start in range(0, self.entities, PART):
            stop = min(start + PART, self.entities)
            history.append(_rows(range(start, stop), generator))
        follow(ledger, history, 1)
        write_pending(ledger, store, history, "here", now_us=lambda: 1)
        remove_entities(store, VIEW, [_id(n) for n in self.damaged()])
        ledger.close()

    def damaged(self) -> range:
        return range(0, self.entities, self.entities // DAMAGED)[:DAMAGED]

    def audit(self) -> int:
        """Findings, after all of them were looked at twice."""
        store, history, ledger = self.open()
        asked = Asked(history, SPACE, WIDTH, self.source)
        with closing(ledger), Bench(self.folder / "bench") as bench:
            first = audit_view(bench, ledger, store, asked)
            found = confirm(bench, ledger, store, asked, first).findings
        assert first.entities == self.entities
        assert set(found) == {("missing", "online", "rewrite")}
        return found.total()

    def source(self, ids: Collection[str] | None) -> Iterator[pa.RecordBatch]:
        every = [_id(n) for n in range(self.entities)] if ids is None else sorted(ids)
        for start in range(0, len(every), PART):
            some = every[start : start + PART]
            yield pa.record_batch(
                {
                    "id": pa.array(some, pa.string()),
                    "input": pa.array([f"text of {id}" for id in some], pa.string()),
                    "at_us": pa.array([NOON_US] * len(some), pa.int64()),
                    "absent": pa.array([False] * len(some), pa.bool_()),
                    "rank": pa.array([0] * len(some), pa.int8()),
                }
            )

    def bare(self) -> None:
        """The same rows, read and thrown away."""
        store, history, ledger = self.open()
        for _ in self.source(None):
            pass
        with ledger.engine.connect() as db:
            cursor = db.connection.cursor()
            cursor.execute("SELECT * FROM vector")
            while cursor.fetchmany(10_000):
                pass
        for path in history.parts():
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches(10_000):
                    pass
        BARE[self.kind](store)
        ledger.close()

    def by_hand(self) -> None:
        """Feast's own client against the newest rows of the history."""
        store, history, ledger = self.open()
        ledger.close()
        frame = pd.read_parquet(history.folder).sort_values(["event_timestamp", "created"])
        newest = frame.drop_duplicates("job_id", keep="last").set_index("job_id")["vector"]
        wrong = 0
        for start in range(0, len(newest), 1_000):
            some = newest.iloc[start : start + 1_000]
            read = store.get_online_features(
                [f"{VIEW}:vector"], [{"job_id": id} for id in some.index]
            ).to_dict()
            for vector, wanted in zip(read["vector"], some, strict=True):
                wrong += vector is None or not np.array_equal(np.float32(vector), wanted)
        assert wrong == DAMAGED


def main() -> None:
    if "--child" in sys.argv:
        _child(World(Path(sys.argv[2]), "sqlite", json.loads(sys.argv[3]), int(sys.argv[4])))
        return
    settings = arguments(__doc__)
    few, many = (4_000, 20_000) if settings.quick else (100_000, 1_000_000)
    table: list[list[Any]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, servers(list(FAST), Path(folder)) as places:
        memory = []
        for kind, entities in [*((kind, few) for kind in FAST), ("sqlite", many)]:
            home = Path(folder) / f"{kind}-{entities}"
            home.mkdir()
            place = {"path": str(home / "online.db")} if kind == "sqlite" else places[kind]
            world = World(home, kind, place, entities)
            world.build(settings.seed)
            peak = _memory(world) if kind == "sqlite" else None
            memory += [peak] if peak is not None else []
            _compare(world, peak, entities == many, table, claims)
        claims["memory_at_most"] = Claim(memory[-1], "MiB", MOST_MEMORY, at_most=True)
        grows = memory[-1] / max(1.0, memory[0])
        claims["memory_grows"] = Claim(grows, "times", MEMORY_GROWS, at_most=True)
    heads = ["store", "entities", "audit/s", "floor/s", "by hand/s", "audit / floor", "MiB"]
    report(
        "auditing one view of 200 numbers: entities a second", heads, table, claims, settings.seed
    )


def _compare(
    world: World, peak: float | None, large: bool, table: list[list[Any]], claims: dict[str, Claim]
) -> None:
    found = world.audit()
    contestants: dict[str, Callable[[], object]] = {"audit": world.audit, "floor": world.bare}
    if not large:
        contestants["hand"] = world.by_hand
    taken = interleaved(contestants, 1 if large else 3)
    rate = {name: world.entities / sorted(times)[len(times) // 2] for name, times in taken.items()}
    over = median_ratio(taken["audit"], taken["floor"])
    row = [world.kind, f"{world.entities:,}", f"{rate['audit']:,.0f}", f"{rate['floor']:,.0f}"]
    row += [f"{rate['hand']:,.0f}" if "hand" in rate else "–", f"{over:.2f}"]
    table.append([*row, f"{peak:.0f}" if peak is not None else "–"])
    name = f"{world.kind}_{world.entities}"
    claims[f"{name}_entities_a_second"] = Claim(rate["audit"], "entities/s")
    claims[f"{name}_over_floor"] = Claim(over, "times")
    claims[f"{name}_found"] = Claim(found / DAMAGED, "of the damaged", 1.0)
    if "hand" in taken:
        faster = median_ratio(taken["hand"], taken["audit"])
        claims[f"{name}_faster_than_by_hand"] = Claim(faster, "times", 1.0)


def _memory(world: World) -> float:
    """MiB at the peak of a process of its own, above what it has after its imports."""
    words = ["--child", str(world.folder), json.dumps(world.place), str(world.entities)]
    command = [sys.executable, "-m", "benchmarks.audit", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _child(world: World) -> None:
    store, _, ledger = world.open()
    store.get_feature_view(VIEW)
    ledger.close()
    before = resident("VmHWM")
    assert world.audit() == DAMAGED
    print((resident("VmHWM") - before) / 1024)


def _rows(numbers: range, generator: np.random.Generator) -> pa.Table:
    ids = [_id(n) for n in numbers]
    vectors_ND = generator.standard_normal((len(ids), WIDTH)).astype(np.float32)
    return pa.table(
        {
            "job_id": ids,
            "vector": as_lists(vectors_ND),
            "space": [SPACE] * len(ids),
            "input_hash": [f"text of {id}" for id in ids],
            "event_timestamp": pa.array([NOON] * len(ids), TIME),
            "created": pa.array([NOON] * len(ids), TIME),
        }
    )


def _id(number: int) -> str:
    return f"j{number:07d}"


def _bare_sqlite(store: FeatureStore) -> None:
    import sqlite3

    with closing(sqlite3.connect(store.config.online_store.path)) as db:
        cursor = db.execute(f'SELECT * FROM "p_{VIEW}"')
        while cursor.fetchmany(10_000):
            pass


def _bare_redis(store: FeatureStore) -> None:
    import redis

    host, _, port = store.config.online_store.connection_string.partition(":")
    with redis.Redis(host=host, port=int(port)) as client:
        keys = list(client.scan_iter(count=5_000))
        for start in range(0, len(keys), 5_000):
            with client.pipeline(transaction=False) as pipe:
                for key in keys[start : start + 5_000]:
                    pipe.hgetall(key)
                pipe.execute()


def _bare_postgres(store: FeatureStore) -> None:
    import psycopg

    place = store.config.online_store
    with psycopg.connect(
        host=place.host, port=place.port, user=place.user, password=place.password,
        dbname=place.database,
    ) as db, db.cursor("all", binary=True) as cursor:  # fmt: skip
        cursor.execute(f'SELECT * FROM "p_{VIEW}"')
        while cursor.fetchmany(10_000):
            pass


BARE = {"sqlite": _bare_sqlite, "redis": _bare_redis, "postgres": _bare_postgres}

if __name__ == "__main__":
    main()
