"""Which slots are due: the same on every machine, none twice, and none lost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from pipelines.jobs import due as module
from pipelines.jobs.due import due_between, expect_due, next_slot
from pipelines.jobs.settings import EPOCH, Job
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Slot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERY = Job(steps=("write",), every="1h", catch_up="each")
LATEST = Job(steps=("write",), every="1h")
CRON = Job(steps=("write",), cron="15 */2 * * *")


def at(hour: float) -> datetime:
    return NOON + hour * HOUR


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


def look(ledger: Ledger, job: Job, now: datetime) -> int:
    with ledger.begin() as db:
        return expect_due(db, "j", job, now)


def slots(ledger: Ledger, state: str = "open") -> list[float]:
    """Hours after noon."""
    with ledger.read() as db:
        found = db.execute(select(Slot.slot_us).where(Slot.state == state).order_by(Slot.slot_us))
        times = [EPOCH + timedelta(microseconds=us) for us in found.scalars()]
    return [(time - NOON) / HOUR for time in times]


def test_a_job_that_was_never_seen_is_due_from_its_next_slot_on(ledger: Ledger) -> None:
    assert look(ledger, EVERY, at(0.5)) == 0
    assert slots(ledger) == []
    assert look(ledger, EVERY, at(1)) == 1
    assert slots(ledger) == [1]


def test_missed_slots_are_done_each_or_the_latest_only(ledger: Ledger) -> None:
    look(ledger, EVERY, at(0.5))
    assert look(ledger, EVERY, at(3.7)) == 3
    assert slots(ledger) == [1, 2, 3]
    assert look(ledger, LATEST, at(6.2)) == 1
    assert slots(ledger) == [1, 2, 3, 6]
    assert slots(ledger, "skipped") == [0.5, 4, 5]


def test_a_clock_that_goes_back_an_hour_makes_nothing_due_again(ledger: Ledger) -> None:
    look(ledger, EVERY, at(0))
    look(ledger, EVERY, at(2))
    assert [look(ledger, EVERY, at(hour)) for hour in (1, 1.5, 2)] == [0, 0, 0]
    assert look(ledger, EVERY, at(3)) == 1
    assert slots(ledger) == [1, 2, 3]


def test_very_many_missed_slots_are_written_down_over_several_looks(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 4)
    look(ledger, EVERY, at(0))
    assert [look(ledger, EVERY, at(10)) for _ in range(4)] == [4, 4, 2, 0]
    assert slots(ledger) == [*range(1, 11)]


def test_cron_is_read_in_utc() -> None:
    assert next_slot(CRON, at(0.1)) == NOON + timedelta(minutes=15)
    assert due_between(CRON, at(0), at(4.25)) == [at(0.25), at(2.25), at(4.25)]


MOMENTS = st.integers(0, 10**7).map(lambda s: NOON + timedelta(seconds=s))


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([EVERY, CRON]), MOMENTS, MOMENTS, MOMENTS)
def test_looking_in_two_steps_finds_what_one_look_finds(
    job: Job, a: datetime, b: datetime, c: datetime
) -> None:
    first, middle, last = sorted([a, b, c])
    in_steps = due_between(job, first, middle) + due_between(job, middle, last)
    assert in_steps[:1000] == due_between(job, first, last)
