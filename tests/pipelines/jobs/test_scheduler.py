"""Scheduler processes on one ledger: each slot once, whoever is killed, hung, or late."""

import os
import signal
import time

import pytest
from sqlalchemy import select

from pipelines.jobs.scheduler import Scheduler
from pipelines.recording import now_us, opened
from star_features.ledger.schema import Run, Secret
from star_features.ledger.slots import expect

TICK = '[jobs.tick]\nsteps = ["ticks:tick"]\nevery = "2s"\ncatch_up = "each"\n'
TWO = '[jobs.two]\nsteps = ["ticks:first", "ticks:second"]\nevery = "1d"\ncatch_up = "each"\n'


def scheduler(bench) -> Scheduler:
    return Scheduler(bench.home, bench.home.schedule)


def due_now(bench, name: str) -> None:
    """Make a slot of now due."""
    with opened(bench.home) as ledger, ledger.begin() as db:
        expect(db, name, [now_us()])


def child_of(pid: int) -> int:
    """The one child process that works on a claim."""
    for found in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{found}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{found}/cmdline") as file:
                command = file.read()
        except OSError:
            continue
        if parent == pid and "pipelines.jobs.work" in command:
            return found
    raise AssertionError(f"{pid} has no child")


def done(bench) -> list[int]:
    return [slot for slot, state in bench.slots().items() if state == "done"]


def effects(bench) -> dict[int, str]:
    """Which try of each slot had its effect: a second one finds it there."""
    with opened(bench.home) as ledger, ledger.read() as db:
        rows = db.execute(select(Secret.name, Secret.value)).all()
    return {int(name.split()[1]): token for name, token in rows}


@pytest.mark.parametrize("slots", [3, pytest.param(60, marks=pytest.mark.chaos)])
def test_three_schedulers_do_each_slot_once_while_one_is_killed_every_few(bench, slots) -> None:
    bench.plan(TICK)
    for _ in range(3):
        bench.star("schedule")
    for reached in range(1, slots, 4):
        bench.wait(lambda reached=reached: len(done(bench)) >= reached, seconds=300)
        bench.started.pop(0).kill()
        bench.star("schedule")
    bench.wait(lambda: len(done(bench)) >= slots, seconds=300)
    all_there = 3 + len(range(1, slots, 4))
    bench.wait(lambda: bench.logs().count("scheduler_started") == all_there)
    for process in bench.started:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(30) for process in bench.started] == [0, 0, 0]
    assert effects(bench).keys() >= set(done(bench))
    assert sum(state == "done" for _, state in bench.runs()) == len(done(bench))
    assert sorted(bench.slots())[: len(done(bench))] == sorted(done(bench))


def test_what_a_killed_scheduler_left_goes_on_elsewhere_from_its_checkpoint(bench) -> None:
    bench.plan(TWO)
    due_now(bench, "two")
    hold = bench.hold("second")
    first = bench.star("schedule")
    bench.wait(lambda: bench.notes("second"))
    first.kill()
    bench.star("schedule", "--once").wait()  # too soon: nobody knows yet that it is dead
    assert bench.notes("first") == bench.notes("first")[:1]
    hold.unlink()
    bench.star("schedule")
    bench.wait(lambda: list(bench.slots().values()) == ["done"])
    assert len(bench.notes("first")) == 1
    assert len(bench.notes("second")) == 2
    assert [state for _, state in bench.runs()] == ["lost", "done"]


def test_a_hung_job_is_stopped_at_its_timeout_and_given_up_in_the_end(bench) -> None:
    bench.plan('[jobs.deaf]\nsteps = ["ticks:deaf"]\nevery = "1d"\ntimeout = "3s"\nattempts = 1\n')
    due_now(bench, "deaf")
    scheduler(bench).turn()
    assert len(bench.notes("deaf")) == 1
    assert list(bench.slots().values()) == ["failed"]
    assert "timeout" in error_of(bench)


def test_a_failing_job_is_tried_again_later_and_its_error_quotes_no_text(bench, capfd) -> None:
    bench.plan('[jobs.bad]\nsteps = ["ticks:broken"]\nevery = "1d"\nattempts = 2\n')
    due_now(bench, "bad")
    scheduler(bench).turn()
    assert list(bench.slots().values()) == ["open"]
    assert error_of(bench).startswith("ValueError at ")
    printed = capfd.readouterr()
    assert "job_failed" in printed.err
    assert "nursing" not in printed.out + printed.err + error_of(bench)
    scheduler(bench).turn()  # not before its time
    assert len(bench.notes("broken")) == 1


def test_sigterm_stops_a_job_between_its_steps_work_and_it_goes_on_later(bench) -> None:
    bench.plan(TWO)
    due_now(bench, "two")
    hold = bench.hold("second")
    process = bench.star("schedule")
    bench.wait(lambda: bench.notes("second"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert list(bench.slots().values()) == ["open"]
    hold.unlink()
    scheduler(bench).turn()
    assert list(bench.slots().values()) == ["done"]
    assert [state for _, state in bench.runs()] == ["stopped", "done"]
    assert len(bench.notes("first")) == 1


def test_a_zombie_that_wakes_up_writes_nothing_and_ends(bench) -> None:
    bench.plan('[jobs.tick]\nsteps = ["ticks:tick"]\nevery = "1d"\ncatch_up = "each"\n')
    due_now(bench, "tick")
    hold = bench.hold("tick")
    bench.star("schedule")
    bench.wait(lambda: bench.notes("tick"))
    asleep = child_of(bench.started[0].pid)
    os.kill(asleep, signal.SIGSTOP)
    try:
        hold.unlink()
        bench.star("schedule")
        bench.wait(lambda: list(bench.slots().values()) == ["done"])
        assert len(bench.notes("ticked")) == 1
    finally:
        os.kill(asleep, signal.SIGCONT)
    bench.wait(lambda: not os.path.exists(f"/proc/{asleep}") or is_zombie(asleep))
    time.sleep(0.1)
    assert len(bench.notes("ticked")) == 1
    assert [state for _, state in bench.runs()] == ["lost", "done"]


def is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_job_by_hand_says_who_else_is_at_work(bench) -> None:
    bench.plan(TWO)
    due_now(bench, "two")
    hold = bench.hold("second")
    bench.star("schedule")
    bench.wait(lambda: bench.notes("second"))
    refused = bench.star("jobs", "run", "two")
    assert refused.wait(60) == 2
    assert "another job is at work: two" in bench.logs()
    hold.unlink()
    bench.wait(lambda: list(bench.slots().values()).count("done") == 1)
    assert bench.star("jobs", "run", "two").wait(60) == 0
    assert len(bench.notes("first")) == 2


def error_of(bench) -> str:
    with opened(bench.home) as ledger, ledger.read() as db:
        return str(db.execute(select(Run.error).order_by(Run.id.desc())).scalars().first())
