"""
One try of one job, in a process of its own: its steps in order, under the lease of its slot.

    python -m pipelines.jobs.work '{"home": …, "repo": …, "claim": {…}}'      # by the scheduler

A heartbeat renews the lease; who finds it gone stops at once. After each step the checkpoint is
saved, so that whoever takes the slot next goes on with the step after it. SIGTERM ends the try
cleanly; SIGKILL is what everything here is made to survive.
"""

import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from pipelines.home import Home
from pipelines.jobs import logs
from pipelines.jobs.settings import Job, Schedule, seconds
from pipelines.jobs.steps import Turn, step_of
from pipelines.receipts import Facts
from pipelines.recording import now_us
from star_features.errors import Fenced
from star_features.ledger.ledger import Ledger
from star_features.ledger.slots import Claim, finish, renew, save

DONE, FAILED, STOPPED, LOST = 0, 1, 3, Fenced.exit_code
FIRST_WAIT_S = 10.0
"""Before the second try; each further one waits twice as long, and up to half of it more."""

Beat = Callable[[], None]


class Stopped(BaseException):
    """Somebody asked this process to end."""


def work(home: Home, schedule: Schedule, claim: Claim, job: Job, force: bool = False) -> int:
    """Do what is left of a claimed slot, and say in the ledger how it ended; an exit code."""
    ledger = Ledger.open(home.ledger_url)
    done: list[list[Any]] = [list(step) for step in claim.checkpoint.get("done", [])]
    started = time.monotonic()
    try:
        with heartbeat(ledger, claim, seconds(schedule.lease)):
            for name in job.steps[len(done) :]:
                done.append([name, _step(Turn(home, schedule, force), name)])
                with ledger.begin() as db:
                    save(db, claim, {"done": done})
            with ledger.begin() as db:
                finish(db, claim, now_us(), "done", facts={"steps": done})
        logs.say("job_done", seconds=round(time.monotonic() - started, 1))
        return DONE
    except Fenced:
        logs.say("job_lost", error="the slot has passed to another")
        return LOST
    except (Stopped, KeyboardInterrupt):
        stop(ledger, claim, done)
        return STOPPED
    except Exception as error:
        fail(ledger, claim, logs.told(error), job.attempts, steps=done)
        return FAILED
    finally:
        ledger.close()


def fail(ledger: Ledger, claim: Claim, error: str, attempts: int, **facts: Any) -> None:
    """The try failed: the slot waits for its next one, or is given up."""
    last = claim.attempts >= attempts
    wait_s = FIRST_WAIT_S * 2 ** (claim.attempts - 1) * (1 + random.random() / 2)
    again_us = None if last else now_us() + round(wait_s * 1e6)
    logs.say("job_failed", error=error, attempt=claim.attempts, given_up=last)
    _end(ledger, claim, "failed", error=error, again_us=again_us, **facts)


@contextmanager
def heartbeat(ledger: Ledger, claim: Claim, lease_s: float) -> Iterator[None]:
    """Renew the lease while the block runs; end the process at once where it is lost.

    A ledger that does not answer for as long as a lease lasts is a lost lease too.
    """
    over = threading.Event()

    def beat() -> None:
        last, parent = time.monotonic(), os.getppid()
        while not over.wait(lease_s / 3):
            if os.getppid() != parent:
                _leave("orphaned")
            try:
                with ledger.begin() as db:
                    renew(db, claim, now_us() + round(lease_s * 1e6))
                last = time.monotonic()
            except Fenced:
                if not over.is_set():
                    _leave("fenced")
            except Exception as error:
                logs.say("lease_not_renewed", error=logs.told(error))
                if time.monotonic() - last > lease_s:
                    _leave("no ledger")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def start_of(home: Home, claim: Claim, schedule: Path) -> list[str]:
    """The command that works on a claim."""
    told = {
        "home": str(home.path),
        "repo": str(home.repo),
        "schedule": str(schedule),
        "claim": asdict(claim),
        "parent": os.getpid(),
    }
    return [sys.executable, "-m", "pipelines.jobs.work", json.dumps(told)]


def main(told: dict[str, Any]) -> int:
    _die_with(told["parent"])
    signal.signal(signal.SIGTERM, _stop)
    claim = Claim(**told["claim"])
    logs.start(job=claim.job, slot=claim.slot_us, run=claim.run, token=claim.token)
    schedule = Schedule.load(Path(told["schedule"]))
    home = Home(Path(told["home"]), Path(told["repo"]), claim, seconds(schedule.patience))
    logs.say("job_started", attempt=claim.attempts)
    return work(home, schedule, claim, schedule.job(claim.job))


def _step(turn: Turn, name: str) -> Facts:
    logs.say("step_started", step=name)
    started = time.monotonic()
    facts = step_of(name)(turn)
    logs.say("step_done", step=name, seconds=round(time.monotonic() - started, 2), facts=facts)
    return facts


def stop(ledger: Ledger, claim: Claim, steps: list[Any]) -> None:
    """The try was stopped from outside: it does not count, and the slot waits."""
    logs.say("job_stopped")
    _end(ledger, claim, "stopped", steps=steps)


def _end(ledger: Ledger, claim: Claim, state: str, **more: Any) -> None:
    steps = more.pop("steps", [])
    try:
        with ledger.begin() as db:
            finish(db, claim, now_us(), state, facts={"steps": steps}, **more)
    except Fenced:
        logs.say("job_lost", error="the slot has passed to another")


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _leave(why: str) -> NoReturn:
    """At once: not even what is open is flushed."""
    logs.say("job_lost", error=why)
    sys.stderr.flush()
    os._exit(LOST)


def _die_with(parent: int) -> None:
    """On Linux the kernel kills this process with its scheduler; else the heartbeat sees it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(LOST)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
