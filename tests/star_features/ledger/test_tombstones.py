"""Tombstones: who stays out, who may come back, and what is kept of an erased id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from star_features.ledger import tombstones
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Tombstone
from star_features.ledger.tombstones import buried, buried_ids, bury, erased_among, revive


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    ledger = Ledger.open(url)
    yield ledger
    ledger.close()


@pytest.fixture
def db(ledger: Ledger) -> Iterator[Connection]:
    """A transaction that is taken back, so that every test begins without a tombstone."""
    with ledger.engine.connect() as db, db.begin() as change:
        yield db
        change.rollback()


def delete(db: Connection, ids: list[str], at: int, entity: str = "job") -> int:
    return bury(db, entity, ids, kind="deleted", content_us=at, now_us=99, why="closed")


def erase(db: Connection, ids: list[str], at: int = 50) -> int:
    return bury(db, "job", ids, kind="erased", content_us=at, now_us=99, why="asked to")


def test_what_is_not_newer_than_a_deletion_stays_out(db: Connection) -> None:
    assert delete(db, ["j1", "j1"], at=10) == 1
    assert buried(db, "job", {"j1": 10, "j2": 10}) == {"j1": "deleted"}
    assert buried(db, "job", {"j1": 11}) == {}
    assert buried(db, "member", {"j1": 10}) == {}


def test_only_newer_content_brings_a_deleted_one_back(db: Connection) -> None:
    delete(db, ["j1", "j2"], at=10)
    assert revive(db, "job", {"j1": 10, "j2": 11, "j3": 11}) == 1
    assert buried_ids(db, "job") == {"j1": 10}


def test_a_later_deletion_moves_the_time_and_an_earlier_one_does_not(db: Connection) -> None:
    delete(db, ["j1"], at=10)
    assert delete(db, ["j1"], at=9) == 0
    assert buried_ids(db, "job") == {"j1": 10}
    assert delete(db, ["j1"], at=11) == 1
    assert buried_ids(db, "job") == {"j1": 11}


def test_each_id_may_have_its_own_time(db: Connection) -> None:
    times = {"j1": 3, "j2": 4}
    bury(db, "job", times, kind="deleted", content_us=times, now_us=9, why="gone from the tables")
    assert buried_ids(db, "job") == times


def test_an_erased_one_never_comes_back(db: Connection) -> None:
    delete(db, ["j1"], at=10)
    assert erase(db, ["j1"]) == 1
    assert buried(db, "job", {"j1": 2**60, "j2": 1}) == {"j1": "erased"}
    assert revive(db, "job", {"j1": 2**60}) == 0
    assert delete(db, ["j1"], at=2**60) == 0
    assert erased_among(db, "job", ["j1", "j2"]) == {"j1"}
    assert erased_among(db, "member", ["j1"]) == set()


def test_nothing_of_an_erased_id_is_kept_that_can_be_read(db: Connection) -> None:
    delete(db, ["anna@example.org"], at=10)
    erase(db, ["anna@example.org"])
    rows: list[Any] = list(db.execute(select(Tombstone.__table__)))
    assert len(rows) == 1
    assert "anna" not in str(rows)


def test_two_ledgers_know_the_same_erased_id_by_different_digests(tmp_path: Path) -> None:
    kept = set()
    for name in ("a", "b"):
        with Ledger.open(f"sqlite:///{tmp_path / name}").begin() as db:
            erase(db, ["j1"])
            kept.add(db.execute(select(Tombstone.entity_id)).scalar_one())
    assert len(kept) == 2


@pytest.fixture(scope="module")
def in_memory() -> Ledger:
    return Ledger.open("sqlite://")


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 5)), max_size=12)
)
def test_few_ids_and_many_are_looked_up_alike(
    in_memory: Ledger, steps: list[tuple[bool, str, int]]
) -> None:
    asked = {**{f"none{n}": 3 for n in range(tombstones.SCAN_FROM)}, "a": 3, "b": 3, "c": 3}
    with in_memory.engine.connect() as db, db.begin() as change:
        for erasing, id, at in steps:
            erase(db, [id]) if erasing else delete(db, [id], at)
        few = buried(db, "job", {"a": 3, "b": 3, "c": 3})
        assert buried(db, "job", asked) == few
        gone = {id for erasing, id, at in steps if erasing or at >= 3}
        assert set(few) == gone
        change.rollback()
