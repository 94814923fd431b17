"""Online is what is newest, on every store; only what is pending is written, and loss is seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureStore

from benchmarks.servers import postgres_server, redis_server
from benchmarks.small_feast import embedding_view, entity, small_store
from star_features.errors import StoreError
from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import counts
from star_features.online.remover import remove_entities
from star_features.online.stored import checksum_of
from star_features.online.writer import write_batches
from star_features.store import materialize as module
from star_features.store.history import TIME, History, as_lists
from star_features.store.materialize import Written, recheck, write_pending
from star_features.store.recording import follow

VIEW, HERE = "job_graph_v1", "here"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
    "stock": "sqlite",
}


@dataclass
class World:
    """A history of jobs, its ledger, and a store."""

    store: FeatureStore
    history: History
    ledger: Ledger

    def compute(self, numbers: dict[str, int], day: int = 0, later: int = 0) -> None:
        """Vectors of these jobs reach the history, and the ledger."""
        ids = list(numbers)
        made = START + timedelta(days=day, seconds=later)
        vectors_N2 = np.array([[numbers[key], 1] for key in ids], np.float32).reshape(-1, 2)
        rows = {
            "job_id": ids,
            "vector": as_lists(vectors_N2),
            "space": ["s@1"] * len(ids),
            "input_hash": [str(n) for n in numbers.values()],
            "event_timestamp": pa.array([START + timedelta(days=day)] * len(ids), TIME),
            "created": pa.array([made] * len(ids), TIME),
        }
        self.history.append(pa.table(rows))
        follow(self.ledger, self.history, 1)

    def write(self, place: str = HERE) -> Written:
        return write_pending(self.ledger, self.store, self.history, place, now_us=lambda: 7)

    def recheck(self) -> int:
        return recheck(self.ledger, self.store, VIEW, HERE)

    def online(self, ids: list[str]) -> dict[str, Any]:
        """What Feast's own client reads."""
        rows = [{"job_id": key} for key in ids]
        read = self.store.get_online_features([f"{VIEW}:vector"], rows).to_dict()
        vectors = zip(read["job_id"], read["vector"], strict=True)
        return {key: vector and vector[0] for key, vector in vectors}


@pytest.fixture(scope="module", params=["sqlite", "redis", "postgres", "stock"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeatureStore]:
    kind, root = request.param, tmp_path_factory.mktemp(request.param)
    servers = {"redis": redis_server, "postgres": postgres_server}
    context = servers[kind](root) if kind in servers else None
    place = context.__enter__() if context else {"path": str(root / "online.db")}
    store = small_store(root, online={"type": FAST[kind], **place})
    job = entity("job")
    store.apply([job, embedding_view(job, VIEW, root / "none.parquet", 2)])
    yield store
    if kind != "stock":
        store._get_provider().online_store.disconnect()
    if context:
        context.__exit__(None, None, None)


on_fast_stores = pytest.mark.parametrize("opened", ["sqlite", "redis", "postgres"], indirect=True)
"""Feast's own stores have no order, and cannot remove single rows."""


@pytest.fixture
def world(opened: FeatureStore, tmp_path: Path) -> World:
    """A store without one row, a history and a ledger."""
    views = [opened.get_feature_view(VIEW)]
    online = opened._get_provider().online_store
    online.teardown(opened.config, views, [])
    if hasattr(online, "_conn"):
        online._conn = None
    online.update(opened.config, [], views, [], [], False)
    history = History.of_vectors(tmp_path / "history", VIEW)
    return World(opened, history, Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}"))


def test_what_was_computed_is_written_once(world: World) -> None:
    world.compute({"a": 1, "b": 2})
    assert world.write() == Written(rows=2, lost=0)
    assert world.online(["a", "b", "c"]) == {"a": 1, "b": 2, "c": None}
    assert world.write() == Written(rows=0, lost=0)
    world.compute({"b": 3, "c": 4}, day=1)
    assert world.write() == Written(rows=2, lost=0)
    assert world.online(["a", "b", "c"]) == {"a": 1, "b": 3, "c": 4}
    assert world.recheck() == 0


def test_a_vector_computed_again_for_the_same_content_replaces_the_old_one(world: World) -> None:
    world.compute({"a": 1})
    world.write()
    world.compute({"a": 2}, later=1)
    assert world.write() == Written(rows=1, lost=0)
    assert world.online(["a"]) == {"a": 2}


def test_a_store_that_was_emptied_is_filled_again(world: World) -> None:
    world.compute({key: n for n, key in enumerate("abcdef")})
    world.write()
    views = [world.store.get_feature_view(VIEW)]
    online = world.store._get_provider().online_store
    online.teardown(world.store.config, views, [])
    if hasattr(online, "_conn"):
        online._conn = None
    online.update(world.store.config, [], views, [], [], False)
    assert world.recheck() == 6
    assert world.write() == Written(rows=6, lost=0)
    assert world.online(["a", "f"]) == {"a": 0, "f": 5}


def test_a_swapped_store_holds_nothing_yet(world: World) -> None:
    world.compute({"a": 1})
    world.write()
    assert world.write("elsewhere") == Written(rows=1, lost=0)


@on_fast_stores
def test_a_few_lost_rows_are_found_and_written_alone(world: World) -> None:
    world.compute({"a": 1, "b": 2, "c": 3})
    world.write()
    remove_entities(world.store, VIEW, ["b"])
    assert world.recheck() == 1
    assert world.write() == Written(rows=1, lost=0)
    assert world.online(["b"]) == {"b": 2}


def test_killed_between_two_chunks_only_the_rest_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.compute({f"j{n}": n for n in range(10)})
    real, calls = write_batches, []

    def dies_at_the_third(*args: Any) -> int:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(module, "batches_of", lambda history, rows: small(history, rows))
    monkeypatch.setattr(module, "write_batches", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        world.write()
    assert counts(world.ledger, VIEW, HERE).pending == 6
    monkeypatch.setattr(module, "write_batches", real)
    assert world.write() == Written(rows=6, lost=0)
    assert world.online(["j0", "j9"]) == {"j0": 0, "j9": 9}


def small(history: History, rows: Any) -> Iterator[pa.RecordBatch]:
    from star_features.store.newest import batches_of

    return batches_of(history, rows, batch_bytes=16)  # two rows of two numbers


def test_a_store_that_keeps_nothing_is_an_error_and_nothing_is_ticked_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.compute({"a": 1})
    monkeypatch.setattr(module, "write_batches", lambda *_: 1)
    with pytest.raises(StoreError, match=r"did not keep 1 of 1 rows.*\n.*star audit"):
        world.write()
    assert counts(world.ledger, VIEW, HERE).pending == 1


@on_fast_stores
def test_a_newer_row_that_another_writer_put_there_is_left_alone(world: World) -> None:
    world.compute({"a": 2}, day=2)
    world.write()
    with world.ledger.begin() as db:
        db.exec_driver_sql("DELETE FROM vector")
        db.exec_driver_sql("DELETE FROM part")
    for path in world.history.parts():
        path.unlink()
    world.compute({"a": 1}, day=1)
    assert world.write() == Written(rows=1, lost=0)
    assert world.online(["a"]) == {"a": 2}


def test_rows_that_no_part_holds_are_counted(world: World) -> None:
    world.compute({"a": 1})
    world.compute({"b": 2}, day=40)
    world.history.parts()[-1].unlink()
    assert world.write() == Written(rows=1, lost=1)
    assert counts(world.ledger, VIEW, HERE).pending == 1


@pytest.mark.parametrize("value", [b"", b"\x12", b"\x82\x01\x99\x99", b"nonsense", b"\x82\x01"])
def test_bytes_that_are_no_vector_have_no_checksum(value: bytes) -> None:
    assert checksum_of({"vector": value, "space": b"\x12\x03s@1"}) is None
