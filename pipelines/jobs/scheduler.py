"""
The scheduler: one loop a process, any number of processes on one ledger.

    star schedule                       # until SIGTERM

A trigger only wakes the loop; what is due is computed from the ledger, and a slot belongs to
whoever claims it there. Each try runs in a process of its own, which can be killed at its timeout.
Slots that were missed, or left behind by a process that died, are found at the next look.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection

from pipelines.home import Home
from pipelines.jobs import logs
from pipelines.jobs.due import due_between, expect_due
from pipelines.jobs.metrics import Endpoint
from pipelines.jobs.settings import EPOCH, Job, Schedule, seconds
from pipelines.jobs.work import DONE, FAILED, LOST, STOPPED, fail, start_of, stop
from pipelines.recording import as_us, opened
from star_features.ledger.ledger import Ledger
from star_features.ledger.slots import (
    Claim,
    Held,
    Watch,
    forget,
    held_now,
    last_slot,
    take,
    waiting,
)

STILL_S = 60.0
"""A loop that has not turned for so long, and three polls more, is not alive."""

GLANCE_S = 0.1
"""How often a running try is looked at."""


class Scheduler:
    """Looks for what is due, claims it, and sees it through."""

    def __init__(
        self, home: Home, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.home, self.path, self.now = home, path, now
        self.schedule = Schedule.load(path)
        self.jobs = {name: job for name, job in self.schedule.jobs.items() if job.enabled}
        self.holder = f"{socket.gethostname()}:{os.getpid()}"
        self.stopping = threading.Event()
        self.watch = Watch()
        self.looked = time.monotonic()

    def run(self) -> None:
        """Until SIGTERM or SIGINT: then the try that runs is asked to stop, and may go on later."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        clock = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        poll = IntervalTrigger(seconds=seconds(self.schedule.poll), timezone=UTC)
        wakes = OrTrigger([poll, *(job.trigger() for job in self.jobs.values())])
        settings = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        clock.add_job(self.turn, wakes, next_run_time=datetime.now(UTC), **settings)
        clock.add_job(self.forget, IntervalTrigger(hours=1, timezone=UTC), **settings)
        server = self._endpoint()
        clock.start()
        logs.say("scheduler_started", holder=self.holder, jobs=list(self.jobs))
        self.stopping.wait()
        clock.shutdown(wait=True)
        if server:
            server.shutdown()
        logs.say("scheduler_stopped", holder=self.holder)

    def alive(self) -> bool:
        """Whether the loop has looked, or sees a try through, since not too long ago."""
        return time.monotonic() - self.looked < 3 * seconds(self.schedule.poll) + STILL_S

    def _endpoint(self) -> ThreadingHTTPServer | None:
        if not self.schedule.listen:
            return None
        return Endpoint(self.home, self.schedule, self.alive).start(self.schedule.listen)

    def turn(self) -> None:
        """Everything that is due now, one after the other."""
        try:
            with opened(self.home) as ledger:
                while not self.stopping.is_set():
                    self.looked = time.monotonic()
                    claim = self.look(ledger)
                    if claim is None:
                        return
                    self.see_through(ledger, claim)
        except Exception as error:  # a ledger that does not answer: the next look tries again
            logs.say("look_failed", error=logs.told(error))

    def look(self, ledger: Ledger) -> Claim | None:
        """A slot that is due and free, now ours; None where there is none."""
        with ledger.read() as db:
            dead = self._dead(db)
            if not dead and not waiting(db) and not self._is_due(db):
                return None
        now = self.now()
        with ledger.begin() as db:
            for name, job in self.jobs.items():
                expect_due(db, name, job, now)
            most = {name: job.attempts for name, job in self.jobs.items()}
            lease_us = round(seconds(self.schedule.lease) * 1e6)
            return take(db, most, self.holder, as_us(now), lease_us, dead)

    def forget(self) -> None:
        """What is over for long is remembered no longer."""
        before = self.now() - timedelta(seconds=seconds(self.schedule.keep))
        with opened(self.home) as ledger, ledger.begin() as db:
            forget(db, as_us(before))

    def see_through(self, ledger: Ledger, claim: Claim) -> int:
        """Run a try in a process of its own, and stop it where it must; its exit code."""
        job = self.jobs[claim.job]
        process = subprocess.Popen(
            start_of(self.home, claim, self.path), start_new_session=True, env=_environment()
        )
        error = self._watch_over(process, seconds(job.timeout))
        if process.returncode not in (DONE, FAILED, STOPPED, LOST):  # it could not say so itself
            if self.stopping.is_set():
                stop(ledger, claim, [])
            else:
                error = error or f"its process ended with {process.returncode}"
                fail(ledger, claim, error, job.attempts)
        return int(process.returncode)

    def _watch_over(self, process: "subprocess.Popen[bytes]", most_s: float) -> str | None:
        """Wait until it ends, or end it: why, where we did."""
        deadline, why = time.monotonic() + most_s, None
        while True:
            self.looked = time.monotonic()
            try:
                process.wait(GLANCE_S)
                return why
            except subprocess.TimeoutExpired:
                pass
            if self.stopping.is_set() and why is None:
                why = "the scheduler was stopped"
                process.terminate()
                deadline = time.monotonic() + seconds(self.schedule.grace)
            elif time.monotonic() > deadline:
                why = why or f"stopped at its timeout of {most_s:g} s"
                os.killpg(process.pid, signal.SIGKILL)

    def _dead(self, db: Connection) -> list[Held]:
        lease_s = seconds(self.schedule.lease)
        return self.watch.dead(held_now(db), time.monotonic(), lease_s)

    def _is_due(self, db: Connection) -> bool:
        return any(_due(db, name, job, self.now()) for name, job in self.jobs.items())


def _due(db: Connection, name: str, job: Job, now: datetime) -> bool:
    last_us = last_slot(db, name)
    if last_us is None:
        return True
    return bool(due_between(job, EPOCH + timedelta(microseconds=last_us), now))


def _environment() -> dict[str, str]:
    """What a try runs in: where this process found its packages, it finds them too."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
