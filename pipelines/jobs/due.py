"""
Which slots are due: computed from the ledger's last one and the clock, never remembered.

    with ledger.begin() as db:
        expect_due(db, "nightly", job, now)
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from pipelines.jobs.settings import EPOCH, Job
from pipelines.recording import as_us
from star_features.ledger.slots import expect, last_slot

MOST_AT_ONCE = 1_000
"""Missed slots that are written down at one look; the next look goes on from there."""

STEP = timedelta(microseconds=1)


def expect_due(db: Connection, name: str, job: Job, now: datetime) -> int:
    """Write down the slots that have come since the last one; returns how many wait.

    A job that was never seen before is due from its next slot on. Slots that were missed are
    skipped, but for the last, where the job catches up with the latest only.
    """
    last_us = last_slot(db, name)
    if last_us is None:
        expect(db, name, [as_us(now)], state="skipped")
        return 0
    due = due_between(job, EPOCH + timedelta(microseconds=last_us), now)
    if job.catch_up == "latest" and due:
        expect(db, name, [as_us(slot) for slot in due[:-1]], state="skipped")
        due = due[-1:]
    return expect(db, name, [as_us(slot) for slot in due])


def due_between(job: Job, after: datetime, now: datetime) -> list[datetime]:
    """The slots after one moment and up to another, in order; at most MOST_AT_ONCE."""
    found: list[datetime] = []
    trigger, at = job.trigger(), after
    while len(found) < MOST_AT_ONCE:
        at = trigger.get_next_fire_time(None, at + STEP)
        if at is None or at > now:
            break
        found.append(at.astimezone(UTC))
    return found


def next_slot(job: Job, now: datetime) -> datetime | None:
    """When a job is due next."""
    at = job.trigger().get_next_fire_time(None, now + STEP)
    return at.astimezone(UTC) if at else None
