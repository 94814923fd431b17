"""Reading vectors past the Parquet reader: what it fills in is what the reader would have."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from star_features.offline import pages
from star_features.offline.pages import read_rows, width_of

WRITERS = [
    {"compression": "zstd"},
    {"compression": "none", "use_dictionary": False},
    {"compression": "snappy", "data_page_size": 64, "write_batch_size": 8},
    {"compression": "gzip", "dictionary_pagesize_limit": 64, "write_batch_size": 4},
]


def read(path: Path, row_R: NDArray[np.int64], width: int) -> NDArray[Any] | None:
    """The wanted rows of the first row group, in their order; None where it declines."""
    meta = pq.read_metadata(path)
    out_RD = np.full((len(row_R), width), np.nan, np.float32)
    done = read_rows(path, meta, 0, "vector", row_R, np.arange(len(row_R)), out_RD, set())
    return out_RD if done else None


def write(path: Path, lists: Any, **options: Any) -> None:
    vector = lists if isinstance(lists, pa.Array) else pa.array(lists, pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": ["x"] * len(vector), "vector": vector}), path, **options)


@pytest.mark.parametrize("writer", range(len(WRITERS)))
@settings(
    deadline=None,
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.integers(1, 60),
    width=st.integers(1, 40),
    values=st.sampled_from([2, 10_000]),
    wanted=st.lists(st.integers(0, 59), min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
def test_every_wanted_row_is_the_row_that_was_written(
    tmp_path: Path, writer: int, rows: int, width: int, values: int, wanted: list[int], seed: int
) -> None:
    vectors_ND = np.random.default_rng(seed).integers(0, values, (rows, width)).astype(np.float32)
    write(tmp_path / "x.parquet", vectors_ND.tolist(), **WRITERS[writer])
    row_R = np.array(sorted(row % rows for row in wanted))
    found = read(tmp_path / "x.parquet", row_R, width)
    assert found is not None
    assert np.array_equal(found, vectors_ND[row_R])


@pytest.mark.parametrize(
    "lists",
    [
        [[1.0], [2.0, 3.0, 4.0]],
        [[1.0, 2.0], None],
        [[1.0, 2.0, 3.0], []],
        [[1.0, None], [3.0, 4.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    ],
    ids=["two-lengths", "null", "empty", "null-number", "other-width"],
)
@pytest.mark.parametrize("writer", range(len(WRITERS)))
def test_lists_that_are_no_matrix_are_declined(tmp_path: Path, lists: Any, writer: int) -> None:
    write(tmp_path / "x.parquet", lists * 20, **WRITERS[writer])
    assert read(tmp_path / "x.parquet", np.arange(40), 2) is None


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_version": "2.0"},
        {"compression": "brotli"},
        {"use_dictionary": False, "column_encoding": {"vector.list.element": "BYTE_STREAM_SPLIT"}},
        {"write_statistics": False},
    ],
    ids=["second-page-format", "unknown-codec", "unknown-encoding", "nulls-not-counted"],
)
def test_pages_of_another_kind_are_declined(tmp_path: Path, options: Any) -> None:
    write(tmp_path / "x.parquet", [[1.0, 2.0]] * 9, **options)
    assert read(tmp_path / "x.parquet", np.arange(9), 2) is None


def test_a_flat_column_is_declined(tmp_path: Path) -> None:
    pq.write_table(pa.table({"vector": pa.array([1.0, 2.0], pa.float32())}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", np.arange(2), 1) is None


def test_a_width_that_the_metadata_tells_needs_no_page(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [[1.0, 2.0, 3.0]] * 4)
    assert width_of(pq.read_metadata(tmp_path / "x.parquet"), 0, "vector") == 3
    write(tmp_path / "x.parquet", [[1.0], [2.0, 3.0, 4.0], []])
    assert width_of(pq.read_metadata(tmp_path / "x.parquet"), 0, "vector") is None
    write(tmp_path / "x.parquet", [[1.0], None])
    assert width_of(pq.read_metadata(tmp_path / "x.parquet"), 0, "vector") is None


def test_rows_are_found_on_both_sides_of_every_mapped_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows smaller than a page, and pages that begin anywhere in the file."""
    monkeypatch.setattr(pages, "WINDOW_BYTES", 1)
    vectors_ND = np.random.default_rng(0).standard_normal((3000, 33)).astype(np.float32)
    write(tmp_path / "x.parquet", vectors_ND.tolist(), **WRITERS[1], data_page_size=20_000)
    row_R = np.arange(0, 3000, 7)
    found = read(tmp_path / "x.parquet", row_R, 33)
    assert found is not None
    assert np.array_equal(found, vectors_ND[row_R])
