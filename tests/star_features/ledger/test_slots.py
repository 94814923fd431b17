"""Slots: one holder at a time, none for ever, and no late writer."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from star_features.errors import Fenced
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Release, Run, Slot
from star_features.ledger.slots import (
    Claim,
    Watch,
    expect,
    finish,
    guarded,
    held_now,
    last_slot,
    renew,
    save,
    take,
)

LEASE = 100
ROW = {"kind": "graph", "version": "v1", "state": "current", "since_us": 1}


def due(ledger: Ledger, *slots_us: int, job: str = "nightly") -> int:
    with ledger.begin() as db:
        return expect(db, job, slots_us)


def taken(ledger: Ledger, who: str = "me", now: int = 1000, attempts: int = 3) -> Claim | None:
    with ledger.begin() as db:
        return take(db, {"nightly": attempts, "hourly": attempts}, who, now, LEASE)


def held(ledger: Ledger, who: str = "me", now: int = 1000) -> Claim:
    claim = taken(ledger, who, now)
    assert claim is not None
    return claim


def stolen(ledger: Ledger, who: str = "you", now: int = 2000, attempts: int = 3) -> Claim | None:
    """What the next one gets, once the holder is known to be dead."""
    with ledger.begin() as db:
        return take(db, {"nightly": attempts}, who, now, LEASE, held_now(db))


def ended(ledger: Ledger, claim: Claim, state: str = "done", again: int | None = None) -> None:
    with ledger.begin() as db:
        finish(db, claim, 1500, state, again_us=again)


def states(ledger: Ledger) -> dict[int, str]:
    with ledger.read() as db:
        return {slot: state for slot, state in db.execute(select(Slot.slot_us, Slot.state))}


def runs(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.read() as db:
        rows = db.execute(select(Run.holder, Run.state).order_by(Run.id))
        return [(holder, state) for holder, state in rows]


def test_a_slot_is_due_once_however_often_it_is_expected(ledger: Ledger) -> None:
    assert due(ledger, 1, 2) == 2
    assert due(ledger, 2, 3) == 1
    assert due(ledger) == 0
    with ledger.read() as db:
        assert (last_slot(db, "nightly"), last_slot(db, "hourly")) == (3, None)


def test_the_oldest_waiting_slot_is_taken_first_and_none_beside_it(ledger: Ledger) -> None:
    due(ledger, 20)
    due(ledger, 10, job="hourly")
    first = held(ledger)
    assert (first.job, first.slot_us, first.token, first.attempts) == ("hourly", 10, 1, 1)
    assert taken(ledger, "you") is None
    ended(ledger, first)
    assert held(ledger, "you").job == "nightly"


def test_a_slot_that_is_done_is_never_taken_again(ledger: Ledger) -> None:
    due(ledger, 1)
    ended(ledger, held(ledger))
    due(ledger, 1)
    assert taken(ledger) is None
    assert states(ledger) == {1: "done"}


def test_of_many_that_claim_at_once_one_gets_the_slot(ledger: Ledger) -> None:
    due(ledger, 1)
    start, found = threading.Barrier(4), []

    def claim(who: str) -> None:
        start.wait()
        found.append(taken(ledger, who))

    threads = [threading.Thread(target=claim, args=(f"{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim is None for claim in found) == [False, True, True, True]


def test_the_next_holder_goes_on_from_the_checkpoint_of_a_dead_one(ledger: Ledger) -> None:
    due(ledger, 1)
    mine = held(ledger)
    with ledger.begin() as db:
        save(db, mine, {"done": ["refresh"]})
    theirs = stolen(ledger)
    assert theirs is not None
    assert (theirs.token, theirs.attempts, theirs.checkpoint) == (2, 2, {"done": ["refresh"]})
    assert runs(ledger) == [("me", "lost"), ("you", "running")]


def test_a_zombie_can_neither_write_nor_renew_nor_finish(ledger: Ledger) -> None:
    due(ledger, 1)
    mine = held(ledger)
    zombie = guarded(ledger, mine)
    with zombie.begin() as db:
        db.execute(insert(Release), ROW)
    theirs = stolen(ledger)
    assert theirs is not None
    with pytest.raises(Fenced, match="try 1 of nightly"), zombie.begin() as db:
        db.execute(insert(Release), ROW | {"version": "v2"})
    for attempt in (
        lambda db: renew(db, mine, 9999),
        lambda db: save(db, mine, {}),
        lambda db: finish(db, mine, 9999, "done"),
    ):
        with pytest.raises(Fenced), ledger.begin() as db:
            attempt(db)
    with ledger.read() as db:
        assert db.execute(select(Release.version)).scalars().all() == ["v1"]
    ended(ledger, theirs)
    with pytest.raises(Fenced), zombie.begin():
        pass


def test_who_is_dead_is_told_by_a_lease_that_stands_still_whatever_the_clocks_say(
    ledger: Ledger,
) -> None:
    due(ledger, 1)
    mine, watch = held(ledger, now=10**15), Watch()  # a clock far ahead of everybody's

    def dead(steady_s: float) -> int:
        with ledger.read() as db:
            return len(watch.dead(held_now(db), steady_s, lease_s=10))

    assert [dead(at) for at in (0, 9, 10)] == [0, 0, 0]
    with ledger.begin() as db:
        renew(db, mine, 5)  # an hour back: it moved, so it lives
    assert [dead(at) for at in (11, 21)] == [0, 0]
    assert dead(21.5) == 1


def test_a_holder_that_moved_at_the_last_moment_is_not_robbed(ledger: Ledger) -> None:
    due(ledger, 1)
    mine = held(ledger)
    with ledger.read() as db:
        seen = held_now(db)
    with ledger.begin() as db:
        renew(db, mine, 5000)
    with ledger.begin() as db:
        assert take(db, {"nightly": 3}, "you", 2000, LEASE, seen) is None
    ended(ledger, mine)


def test_a_failed_try_waits_for_its_next_one(ledger: Ledger) -> None:
    due(ledger, 1)
    ended(ledger, held(ledger), "failed", again=3000)
    assert taken(ledger, now=2999) is None
    assert held(ledger, now=3000).attempts == 2


def test_a_slot_whose_holders_keep_dying_is_given_up(ledger: Ledger) -> None:
    due(ledger, 1, 2)
    held(ledger)
    assert stolen(ledger, attempts=2) is not None
    next_one = stolen(ledger, attempts=2)
    assert next_one is not None
    assert (next_one.slot_us, states(ledger)[1]) == (2, "failed")


def test_a_try_that_a_shutdown_stopped_does_not_count(ledger: Ledger) -> None:
    due(ledger, 1)
    for _ in range(5):
        claim = held(ledger)
        ended(ledger, claim, "stopped")
    assert claim.attempts == 1
    assert (claim.token, states(ledger)) == (5, {1: "open"})


def test_an_old_token_is_known_by_its_number_not_its_holder(ledger: Ledger) -> None:
    due(ledger, 1)
    first = held(ledger)
    ended(ledger, first, "failed", again=0)
    second = held(ledger)
    assert second == replace(first, token=2, attempts=2, run=second.run)
    with pytest.raises(Fenced), guarded(ledger, first).begin():
        pass
