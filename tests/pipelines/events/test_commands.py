"""The commands, with the real encoder: send, work, watch, quarantine; stopped and killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.home import Home
from star_features.ledger import journal, outbox, vectors
from star_features.store.history import History

ROOT = Path(__file__).parents[3]
MAY = "2026-05-01T00:00:00Z"
TOPIC = "star.changes"


@pytest.fixture(scope="module")
def home(copied: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copied(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def star(home: Home) -> Callable[..., str]:
    def run(*words: str, input: str | None = None) -> str:
        place = ["--home", str(home.path), "--repo", str(home.repo)]
        done = CliRunner().invoke(app, [*words, *place], input=input, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def job(id: str, text: str = "Night nurse in Graz, triage") -> str:
    return json.dumps({"type": "job_changed", "job_id": id, "at": MAY, "text": text}) + "\n"


def test_an_event_goes_in_and_an_update_comes_out(star: Callable[..., str], home: Home) -> None:
    assert "2 events to star.changes" in star("events", "send", "-", input=job("a") + "{\n")
    again = star("events", "send", "-", input=job("a"))
    assert "1 events to star.changes, 1 of them sent before" in again
    worked = star("events", "work", "--once")
    assert "rows of job_text_v1" in worked
    assert "set aside" in worked
    updates = [json.loads(line) for line in star("events", "watch", "--once").splitlines()]
    assert {update["view"] for update in updates} == {"job_text_v1", "job_graph_v1"}
    spaces = {view: History.of_vectors(home.history, view).spaces() for view in
              ("job_text_v1", "job_graph_v1")}  # fmt: skip
    assert {update["view"]: [update["space"]] for update in updates} == spaces


def test_what_was_set_aside_is_listed_shown_replayed_and_dropped(star: Callable[..., str]) -> None:
    star("events", "send", "-", input='{"type": "job_moved"}\n')
    star("events", "work", "--once")
    listed = star("quarantine", "list", "--reason", "unknown_type")
    assert "ingest of members" in listed
    number = next(line.split()[1] for line in listed.splitlines() if "docs/events" in line)
    assert '{"type": "job_moved"}' in star("quarantine", "show", number)
    assert "1 events sent again" in star("quarantine", "replay", number)
    star("events", "work", "--once")
    assert "1 dropped" in star("quarantine", "drop", "--reason", "unknown_type")
    assert "unknown_type" not in star("quarantine", "list")


def start(home: Home) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "pipelines", "events", "work", "--home", str(home.path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*words, "--repo", str(home.repo)], cwd=home.path, env=environ,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait(process: "subprocess.Popen[bytes]", home: Home, until: Callable[[int], bool]) -> int:
    """Until so many events are left, or the process is gone; how many are."""
    ledger = home.ledger()
    while True:
        with ledger.read() as db:
            left = outbox.waiting(db, TOPIC)
        if until(left) or process.poll() is not None:
            ledger.close()
            return left
        time.sleep(0.1)


def test_a_worker_that_is_told_to_stop_finishes_what_it_is_at(
    star: Callable[..., str], home: Home
) -> None:
    star("events", "send", "-", input=job("b", text="private words"))
    process = start(home)
    wait(process, home, lambda left: left == 0)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert b"rows of job_text_v1" in out
    line = json.loads(err.decode().strip().splitlines()[-1])
    assert (line["event"], line["events"], line["changed"]) == ("events", 1, 1)
    assert b"private words" not in out + err


@pytest.mark.slow
def test_killed_again_and_again_all_is_done_once(star: Callable[..., str], home: Home) -> None:
    rng = random.Random(5)
    star("events", "send", "-", input="".join(job(f"k{n}", f"job {n}") for n in range(400)))
    for _ in range(12):
        process = start(home)
        began = wait(process, home, lambda left: True)
        wait(process, home, lambda left, began=began: left < began)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
        if not wait(process, home, lambda left: True):
            break
    star("events", "work", "--once")
    ledger = home.ledger()
    ids = [f"k{n}" for n in range(400)]
    with ledger.read() as db:
        assert outbox.waiting(db, TOPIC) == journal.count(db) == 0
        for view in ("job_text_v1", "job_graph_v1"):
            assert len(vectors.newest_of(db, view, ids)) == 400
            rows: list[Any] = History.of_vectors(home.history, view).known().to_pylist()
            assert sorted(r["job_id"] for r in rows if r["job_id"].startswith("k")) == sorted(ids)
    ledger.close()
