"""A home with steps of its own that a test can watch, hold up, and count."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from pipelines.home import Home
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Run, Slot

ROOT = Path(__file__).parents[3]

TICKS = '''
"""Steps for tests: they write what they do to a file, and hold on while another one is there."""
import os, time
from pathlib import Path
from sqlalchemy import text

def note(turn, what):
    claim = turn.home.claim
    with open(turn.home.path / "notes", "a") as file:
        file.write(f"{what} {claim.slot_us} {claim.token}\\n")

def held(turn, name):
    while (turn.home.path / f"hold-{name}").exists():
        time.sleep(0.02)

def tick(turn):
    """Exactly once, if fencing holds: a second one would break the primary key."""
    note(turn, "tick")
    held(turn, "tick")
    claim = turn.home.claim
    ledger = turn.home.ledger()
    with ledger.begin() as db:
        db.execute(text("INSERT INTO secret VALUES (:name, :value) ON CONFLICT DO NOTHING"),
                   {"name": f"{claim.job} {claim.slot_us}", "value": str(claim.token)})
    note(turn, "ticked")
    return {}

def first(turn):
    note(turn, "first")
    return {"rows": 1}

def second(turn):
    note(turn, "second")
    held(turn, "second")
    return {}

def broken(turn):
    note(turn, "broken")
    raise ValueError("I have been nursing in Leeds since 1998")

def deaf(turn):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(turn, "deaf")
    time.sleep(600)
'''


@dataclass
class Bench:
    """A home, its schedule, and the scheduler processes that a test started in it."""

    home: Home
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def plan(self, text: str) -> None:
        (self.home.repo / "schedule.toml").write_text(
            'lease = "2s"\npoll = "0.2s"\ngrace = "1s"\n'
            "[jobs.nightly]\nenabled = false\n[jobs.hourly]\nenabled = false\n" + text
        )

    def star(self, *words: str) -> "subprocess.Popen[bytes]":
        """A `star` process."""
        command = [sys.executable, "-m", "pipelines", *words]
        where = ["--home", str(self.home.path), "--repo", str(self.home.repo)]
        logs = (self.home.path / "logs").open("ab")
        process = subprocess.Popen([*command, *where], env=environment(self), stderr=logs)
        self.started.append(process)
        return process

    def notes(self, what: str = "") -> list[str]:
        path = self.home.path / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(what)]

    def logs(self) -> str:
        return (self.home.path / "logs").read_text()

    def hold(self, name: str) -> Path:
        path = self.home.path / f"hold-{name}"
        path.touch()
        return path

    def slots(self) -> dict[int, str]:
        """State by slot, without those that were skipped."""
        ledger = Ledger.open(self.home.ledger_url)
        with ledger.read() as db:
            rows = db.execute(select(Slot.slot_us, Slot.state).where(Slot.state != "skipped"))
            found = {slot: state for slot, state in rows}
        ledger.close()
        return found

    def runs(self) -> list[tuple[int, str]]:
        ledger = Ledger.open(self.home.ledger_url)
        with ledger.read() as db:
            rows = db.execute(select(Run.token, Run.state).order_by(Run.id))
            found = [(token, state) for token, state in rows]
        ledger.close()
        return found

    def wait(self, until: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something to be so; the limit is for a test that would never end."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"{self.notes()}\n{self.logs()}"
            time.sleep(0.05)


def environment(bench: Bench) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(bench.home.path)])}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(tmp_path / "home")  # for a scheduler in this process
    home = Home(tmp_path / "home", tmp_path / "repo")
    home.path.mkdir()
    home.repo.mkdir()
    (home.repo / "spaces.toml").write_text("")
    (home.path / "ticks.py").write_text(TICKS)
    bench = Bench(home)
    yield bench
    for process in bench.started:
        process.kill()
        process.wait()
