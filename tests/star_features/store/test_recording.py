"""The ledger says what the history holds, whoever wrote it and whatever was killed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import checksum, newest
from star_features.store import recording
from star_features.store.history import TIME, History, as_lists
from star_features.store.recording import follow

START = datetime(2024, 1, 30, tzinfo=UTC)
Stored = tuple[str, int, str]  # whose, day, content


def table(rows: Sequence[Stored]) -> pa.Table:
    vectors_N2 = np.array([[row[1], ord(row[2])] for row in rows], np.float32)
    return pa.table(
        {
            "job_id": pa.array([row[0] for row in rows], pa.string()),
            "vector": as_lists(vectors_N2),
            "space": pa.array(["s@1"] * len(rows), pa.string()),
            "input_hash": pa.array([row[2] for row in rows], pa.string()),
            "event_timestamp": pa.array([START + timedelta(days=row[1]) for row in rows], TIME),
            "created": pa.array([START + timedelta(days=row[1]) for row in rows], TIME),
        }
    )


def known(ledger: Ledger, view: str = "job_text_v1") -> dict[str, tuple[str, str]]:
    rows = [row for page in newest(ledger, view) for row in page]
    return {row.entity_id: (row.input_hash, row.checksum) for row in rows}


def as_known(day: int, content: str) -> tuple[str, str]:
    return content, checksum("s@1", np.array([day, ord(content)], "<f4").tobytes())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def jobs(tmp_path: Path) -> History:
    return History.of_vectors(tmp_path / "history", "job_text_v1")


def test_every_part_is_taken_in_once_and_the_newest_row_is_known(
    ledger: Ledger, jobs: History
) -> None:
    jobs.append(table([("a", 1, "x"), ("b", 1, "x"), ("a", 40, "y")]))  # two months, two parts
    assert follow(ledger, jobs, 1) == 3
    jobs.append(table([("b", 2, "z"), ("a", 2, "z")]))
    assert follow(ledger, jobs, 2) == 2
    assert follow(ledger, jobs, 3) == 0
    assert known(ledger) == {"a": as_known(40, "y"), "b": as_known(2, "z")}


def test_killed_between_the_rows_of_a_part_and_its_name_it_is_taken_in_again(
    ledger: Ledger, jobs: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.append(table([("a", 1, "x")]))
    monkeypatch.setattr(recording, "_remember", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        follow(ledger, jobs, 1)
    monkeypatch.undo()
    assert follow(ledger, jobs, 2) == 1
    assert known(ledger) == {"a": as_known(1, "x")}


def test_a_view_that_was_removed_and_began_anew_is_forgotten(ledger: Ledger, jobs: History) -> None:
    import shutil

    jobs.append(table([("a", 9, "x"), ("b", 9, "x")]))
    follow(ledger, jobs, 1)
    shutil.rmtree(jobs.folder)
    jobs.append(table([("a", 1, "y")]))
    follow(ledger, jobs, 2)
    assert known(ledger) == {"a": as_known(1, "y")}


def test_one_part_that_is_lost_forgets_nothing(ledger: Ledger, jobs: History) -> None:
    jobs.append(table([("a", 1, "x"), ("b", 40, "x")]))
    follow(ledger, jobs, 1)
    jobs.parts()[-1].unlink()
    assert follow(ledger, jobs, 2) == 0
    assert known(ledger).keys() == {"a", "b"}


def test_attributes_are_known_by_their_values_whichever_columns_were_there(
    ledger: Ledger, tmp_path: Path
) -> None:
    def rows(entity: str, **values: str | None) -> pa.Table:
        times = {"event_timestamp": [START], "created": [START]}
        filled = {name: pa.array([value], pa.string()) for name, value in values.items()}
        return pa.table({"job_id": [entity], **filled, "input_hash": [entity], **times})

    narrow = History.of_attributes(tmp_path, "job", ["place"])
    narrow.append(rows("a", place="Rome"))
    narrow.append(rows("b", place="Oslo"))
    wide = History.of_attributes(tmp_path, "job", ["place", "zone"])
    wide.append(rows("c", place="Rome", zone=None))
    wide.append(rows("d", place=None, zone="Rome"))
    follow(ledger, wide, 1)
    sums = {key: found[1] for key, found in known(ledger, "job_attributes").items()}
    assert sums["a"] == sums["c"]
    assert len(set(sums.values())) == 3
