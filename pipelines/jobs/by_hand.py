"""
A job, or one step, run by hand: under a slot of its own, so that it never meets a scheduled one.

    star jobs run nightly
    star jobs run encode --force
"""

import os
import socket
import time
from pathlib import Path

from pipelines.home import Home
from pipelines.jobs.settings import STEPS, Job, Schedule, seconds
from pipelines.jobs.work import work
from pipelines.recording import now_us, opened
from star_features.errors import UsageError
from star_features.ledger.slots import Claim, Watch, expect, held_now, take

BY_HAND = " by hand"


def run(home: Home, path: Path, name: str, force: bool) -> int:
    """Run a job of the schedule, or a step, here and now; its exit code.

    Raises:
        UsageError: there is no such job, or another one is at work.
    """
    schedule = Schedule.load(path)
    job = _job(schedule, name)
    claim = _claim(home, name + BY_HAND, seconds(schedule.lease))
    held = Home(home.path, home.repo, claim, seconds(schedule.patience))
    return work(held, schedule, claim, job, force)


def _job(schedule: Schedule, name: str) -> Job:
    if name not in schedule.jobs and name in STEPS:
        return Job(steps=(name,), every="1d", attempts=1)
    return schedule.job(name).model_copy(update={"attempts": 1})


def _claim(home: Home, name: str, lease_s: float) -> Claim:
    """The slot of now. A holder that seems to be dead is given the length of a lease to move."""
    watch, until = Watch(), time.monotonic() + 1.5 * lease_s
    with opened(home) as ledger:
        with ledger.begin() as db:
            expect(db, name, [now_us()])
        while True:
            with ledger.begin() as db:
                held = held_now(db)
                dead = watch.dead(held, time.monotonic(), lease_s)
                holder = f"{socket.gethostname()}:{os.getpid()}"
                claim = take(db, {name: 1}, holder, now_us(), round(lease_s * 1e6), dead)
            if claim:
                return claim
            if time.monotonic() > until:
                who = ", ".join(f"{one.job} ({one.holder})" for one in held)
                raise UsageError(f"another job is at work: {who}.\nSee how far it is: star jobs")
            time.sleep(min(1.0, lease_s / 10))
