"""Rows found by their keys and fetched from their places: whole, each once, in any batches."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from star_features.ledger.vectors import Newest
from star_features.store.history import TIME, History, as_lists
from star_features.store.newest import batches_of, newest_batches

START = datetime(2024, 1, 30, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DAY_US = 86_400_000_000
Stored = tuple[str, int, str, int]  # whose, day, content, day of computation

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from("xy"), st.integers(4, 6)),
    min_size=1,
    max_size=10,
)


def table(rows: Sequence[Stored]) -> pa.Table:
    vectors_N3 = np.array([[r[1], r[3], ord(r[2])] for r in rows], np.float32).reshape(-1, 3)
    return pa.table(
        {
            "job_id": pa.array([row[0] for row in rows], pa.string()),
            "vector": as_lists(vectors_N3),
            "space": pa.array(["s@1"] * len(rows), pa.string()),
            "input_hash": pa.array([row[2] for row in rows], pa.string()),
            "event_timestamp": pa.array([START + timedelta(days=r[1]) for r in rows], TIME),
            "created": pa.array([START + timedelta(days=r[3]) for r in rows], TIME),
        }
    )


def newest(key: str, day: int, content: str, made: int) -> Newest:
    times = (START_US + day * DAY_US, START_US + made * DAY_US)
    return Newest(key, "s@1", content, "-", *times)


@pytest.fixture
def jobs(tmp_path: Path) -> History:
    history = History.of_vectors(tmp_path, "job_text_v1")
    history.append(table([("b", 1, "x", 4), ("a", 2, "x", 4), ("a", 1, "y", 5)]))
    history.append(table([("a", 2, "z", 5), ("b", 0, "y", 6), ("c", 40, "x", 4)]))
    return history


@pytest.mark.parametrize("batch_bytes", [1, 30, 1 << 20])
def test_the_newest_row_of_everyone_is_the_newest_event_then_the_newest_computation(
    jobs: History, batch_bytes: int
) -> None:
    found = pa.Table.from_batches(newest_batches(jobs, batch_bytes)).sort_by("job_id")
    assert found["job_id"].to_pylist() == ["a", "b", "c"]
    assert found["vector"].to_pylist() == [[2, 5, ord("z")], [1, 4, ord("x")], [40, 4, ord("x")]]
    assert found.schema.names == jobs.schema.names


def test_a_batch_is_no_larger_than_asked(jobs: History) -> None:
    assert [b.num_rows for b in newest_batches(jobs, 2 * 12)] == [2, 1]


def test_a_view_without_rows_has_no_batches(tmp_path: Path) -> None:
    empty = History.of_vectors(tmp_path, "job_text_v1")
    assert list(newest_batches(empty)) == []
    assert list(batches_of(empty, [newest("a", 1, "x", 4)])) == []


def test_rows_are_found_by_all_that_the_ledger_knows_of_them(jobs: History) -> None:
    right = [newest("a", 2, "z", 5), newest("c", 40, "x", 4), newest("a", 1, "y", 5)]
    wrong = [newest("a", 2, "q", 5), newest("a", 2, "z", 6), newest("a", 3, "z", 5)]
    found = pa.Table.from_batches(batches_of(jobs, right + wrong))
    assert sorted(
        zip(found["job_id"].to_pylist(), found["input_hash"].to_pylist(), strict=True)
    ) == [("a", "y"), ("a", "z"), ("c", "x")]


def test_the_newest_by_places_is_the_newest_by_sql(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    few = settings(
        deadline=None,
        max_examples=15,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    @few
    @given(st.lists(ROWS, min_size=1, max_size=3))
    def holds(appends: list[list[Stored]]) -> None:
        history = History.of_vectors(tmp_path_factory.mktemp("h"), "job_text_v1")
        for rows in appends:
            history.append(table(rows))
        by_places = pa.Table.from_batches(newest_batches(history, 24)).sort_by("job_id")
        by_sql = history.latest()
        assert by_places["job_id"].to_pylist() == by_sql.ids.tolist()
        assert by_places["vector"].to_pylist() == by_sql.vectors_ND.tolist()

    holds()
