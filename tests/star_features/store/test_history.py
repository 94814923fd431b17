"""History: appended to, never rewritten, whole or absent, and one space a view."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from star_features.errors import ArtefactError
from star_features.store import history as module
from star_features.store.history import TIME, History, as_lists, hash_inputs
from star_features.store.newest import newest_batches

START = datetime(2024, 1, 30, tzinfo=UTC)
Stored = tuple[str, int, str, int]  # whose, day, content, day of computation

few = settings(
    deadline=None,
    max_examples=15,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def table(rows: Sequence[Stored], space: str = "v1") -> pa.Table:
    vectors_N2 = np.array([[row[1], row[3]] for row in rows], np.float32).reshape(-1, 2)
    return pa.table(
        {
            "job_id": pa.array([row[0] for row in rows], pa.string()),
            "vector": as_lists(vectors_N2),
            "space": pa.array([space] * len(rows), pa.string()),
            "input_hash": pa.array([row[2] for row in rows], pa.string()),
            "event_timestamp": pa.array([day(row[1]) for row in rows], TIME),
            "created": pa.array([day(row[3]) for row in rows], TIME),
        }
    )


def held(history: History) -> list[tuple[Any, ...]]:
    columns = history.known().to_pydict()
    return sorted(zip(*columns.values(), strict=True))


def bytes_of(history: History) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in history.folder.rglob("*") if path.is_file()}


@pytest.fixture
def jobs(tmp_path: Path) -> History:
    return History.of_vectors(tmp_path, "job_text_v1")


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from("xy"), st.just(5)),
    max_size=8,
    unique=True,
)


def test_what_is_appended_twice_is_held_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    @few
    @given(ROWS, ROWS)
    def holds(first: list[Stored], second: list[Stored]) -> None:
        history = History.of_vectors(tmp_path_factory.mktemp("h"), "job_text_v1")
        assert history.append(table(first)) == len(first)
        assert history.append(table(second)) == len(set(second) - set(first))
        assert history.append(table(first + second)) == 0
        union = set(first) | set(second)
        assert held(history) == sorted((w, c, day(d), day(m)) for w, d, c, m in union)
        assert history.count() == len(union)

    holds()


def test_a_row_given_twice_in_one_call_is_held_once(jobs: History) -> None:
    assert jobs.append(table([("a", 1, "x", 5), ("b", 1, "x", 5), ("a", 1, "x", 5)])) == 2
    assert jobs.count() == 2


def test_nothing_that_is_stored_is_ever_touched(jobs: History) -> None:
    jobs.append(table([("a", 0, "x", 0)]))
    before = bytes_of(jobs)
    jobs.append(table([("a", 0, "x", 9), ("a", 1, "x", 9), ("b", 0, "x", 0)]))
    after = bytes_of(jobs)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1


def test_the_same_content_recomputed_later_is_not_new(jobs: History) -> None:
    assert jobs.append(table([("a", 0, "x", 0)])) == 1
    assert jobs.append(table([("a", 0, "x", 7)])) == 0
    assert jobs.append(table([("a", 0, "y", 7)])) == 1


def test_what_is_computed_after_the_clock_went_back_is_the_newest_all_the_same(
    jobs: History,
) -> None:
    jobs.append(table([("a", 0, "x", 9), ("b", 0, "x", 1)]))
    assert jobs.append(table([("a", 0, "y", 3), ("b", 0, "y", 3)])) == 2
    assert jobs.newest_hash() == {"a": "y", "b": "y"}
    assert jobs.append(table([("a", 0, "y", 4)])) == 0
    times = {(row[0], row[1]): row[3] for row in held(jobs)}
    assert times["a", "y"] == day(9) + timedelta(microseconds=1)
    assert times["b", "y"] == day(3)


def test_rows_lie_in_the_utc_month_of_their_event(jobs: History) -> None:
    jobs.append(table([("a", 0, "x", 9), ("a", 1, "x", 9), ("a", 2, "x", 9)]))
    months = {path.parent.name for path in jobs.folder.rglob("part-*.parquet")}
    assert months == {"month=1970-01", "month=2024-01", "month=2024-02"}


def test_killed_between_two_parts_and_run_again_nothing_is_lost_or_doubled(
    jobs: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("a", 0, "x", 9), ("b", 2, "x", 9), ("c", 40, "x", 9)]  # January, February, March
    jobs.ensure()
    real, done = os.replace, []

    def dies_at_the_second(aside: Path, path: Path) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(path)
        real(aside, path)

    monkeypatch.setattr(module.os, "replace", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        jobs.append(table(rows))
    monkeypatch.undo()
    assert jobs.count() == 1  # the half-written part is not read
    assert jobs.append(table(rows)) == 2
    assert [line[0] for line in held(jobs)] == ["a", "b", "c"]


def test_the_latest_row_is_the_newest_event_then_the_newest_computation(jobs: History) -> None:
    jobs.append(table([("b", 1, "x", 1), ("a", 2, "x", 2), ("a", 1, "y", 9)]))
    jobs.append(table([("a", 2, "z", 3), ("b", 0, "y", 9)]))
    latest = jobs.latest()
    assert (latest.space, latest.ids.tolist()) == ("v1", ["a", "b"])
    assert latest.vectors_ND.tolist() == [[2.0, 3.0], [1.0, 1.0]]
    assert jobs.newest_hash() == {"a": "z", "b": "x"}


def test_a_view_nobody_filled_can_be_read(jobs: History) -> None:
    assert jobs.count() == 0
    assert len(jobs.latest()) == 0
    assert jobs.newest_hash() == {}
    assert jobs.spaces() == []
    jobs.require_space("any")


def test_vectors_of_another_space_are_refused_by_name(jobs: History) -> None:
    jobs.append(table([("a", 0, "x", 0)], space="job_text_v1@aaa"))
    jobs.require_space("job_text_v1@aaa")
    with pytest.raises(ArtefactError, match="job_text_v1@aaa, and job_text_v1@bbb"):
        jobs.require_space("job_text_v1@bbb")


def test_a_folder_with_a_quote_in_its_name_is_read(tmp_path: Path) -> None:
    history = History.of_vectors(tmp_path / "o'neil", "job_text_v1")
    assert history.append(table([("a", 0, "x", 0)])) == 1
    assert history.append(table([("a", 0, "x", 0)])) == 0


def test_attributes_are_kept_with_their_gaps(tmp_path: Path) -> None:
    history = History.of_attributes(tmp_path, "job", ["city"])
    rows = {
        "job_id": ["a", "b"],
        "city": pa.array(["Rome", None], pa.string()),
        "input_hash": hash_inputs(["Rome", ""]),
        "event_timestamp": pa.array([day(0)] * 2, TIME),
        "created": pa.array([day(0)] * 2, TIME),
    }
    history.append(pa.table(rows))
    streamed = pa.Table.from_batches(newest_batches(history)).sort_by("job_id")
    assert streamed["city"].to_pylist() == ["Rome", None]


def test_equal_inputs_have_equal_hashes_and_others_do_not() -> None:
    first, again, other = hash_inputs(["a", "a", "b"])
    assert first == again != other
    assert len(first) == 32


def test_a_text_put_back_is_the_newest_again(jobs: History) -> None:
    assert [jobs.append(table([row])) for row in (("a", 1, "x", 5), ("a", 1, "y", 6))] == [1, 1]
    assert jobs.append(table([("a", 1, "x", 7)])) == 1
    assert jobs.append(table([("a", 1, "x", 8)])) == 0
    assert jobs.newest_hash() == {"a": "x"}


def test_a_column_that_older_parts_lack_is_null_in_them(tmp_path: Path) -> None:
    def rows(entity: str, **values: str) -> pa.Table:
        fixed = {"input_hash": [entity], "event_timestamp": [day(1)], "created": [day(2)]}
        return pa.table({"job_id": [entity]} | {k: [v] for k, v in values.items()} | fixed)

    History.of_attributes(tmp_path, "job", ["place"]).append(rows("a", place="Rome"))
    wider = History.of_attributes(tmp_path, "job", ["place", "zone"])
    wider.append(rows("b", place="Oslo", zone="n"))
    found = pa.Table.from_batches(newest_batches(wider)).sort_by("job_id").to_pylist()
    assert [(row["place"], row["zone"]) for row in found] == [("Rome", None), ("Oslo", "n")]
