"""Parquet files without someone's rows: the rest is as it was, and coded as it was."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.erasure import rows as rows_module
from star_features.erasure.rows import erase_rows, withhold_values
from star_features.erasure.subject import Subject

M1 = Subject("member", frozenset({"m1"}))


def written(path: Path, ids: list[str], **how: object) -> pa.Table:
    vectors = pa.array([[float(n), 1.0] for n in range(len(ids))], pa.list_(pa.float32()))
    times = pa.array(np.arange(len(ids)), pa.timestamp("us", tz="UTC"))
    table = pa.table({"member_id": pa.array(ids, pa.string()), "vector": vectors, "at": times})
    pq.write_table(table, path, **how)
    return table


@settings(deadline=None, max_examples=30)
@given(ids=st.lists(st.sampled_from(["m1", "m2", "m10"]), max_size=30), group=st.integers(1, 9))
def test_every_row_of_theirs_goes_and_every_other_stays_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], group: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "part.parquet"
    table = written(path, ids, row_group_size=group)
    found = erase_rows(path, M1, keep_empty=True)
    assert found.total() == ids.count("m1")
    kept = pq.read_table(path)
    assert kept.schema == table.schema
    others = pa.array([id != "m1" for id in ids], pa.bool_())
    assert kept.to_pylist() == table.filter(others).to_pylist()


def test_a_file_without_them_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    written(path, ["m2", "m10"])
    before = path.stat().st_ino
    assert not erase_rows(path, M1)
    assert path.stat().st_ino == before


def test_a_part_that_held_nobody_else_goes(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    written(path, ["m1", "m1"])
    assert erase_rows(path, M1) == {"m1": 2}
    assert not path.exists()


def test_columns_stay_coded_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    how = {"compression": {"member_id": "zstd", "vector.list.element": "none", "at": "snappy"}}
    written(path, ["m1", "m2", "m3"], use_dictionary=["member_id"], **how)
    erase_rows(path, M1)
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    codecs = {name: column.compression for name, column in columns.items()}
    assert codecs == {"member_id": "ZSTD", "vector.list.element": "UNCOMPRESSED", "at": "SNAPPY"}
    assert "RLE_DICTIONARY" in columns["member_id"].encodings
    assert "RLE_DICTIONARY" not in columns["vector.list.element"].encodings


def test_a_row_group_larger_than_memory_passes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.parquet"
    table = written(path, [f"m{n % 5}" for n in range(5000)])
    monkeypatch.setattr(rows_module, "PIECE_BYTES", 1)
    assert erase_rows(path, M1) == {"m1": 1000}
    kept = pq.ParquetFile(path)
    assert kept.num_row_groups == 5
    assert kept.read()["vector"].to_pylist() == [
        row["vector"] for row in table.to_pylist() if row["member_id"] != "m1"
    ]


def test_killed_while_writing_the_file_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.parquet"
    table = written(path, ["m1", "m2"])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rows_module.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            erase_rows(path, M1)
    assert pq.read_table(path).equals(table)
    assert erase_rows(path, M1) == {"m1": 1}


def test_the_quarantine_shows_no_value_that_may_be_theirs(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.parquet"
    shown = {
        ("interactions", "who", "unknown_member"): "m1",
        ("interactions", "who", "unknown_member "): "m2",
        ("members", "about", "text_too_long"): "whose is this",
        ("members+cv.csv", "age", "bad"): "17",
        ("members", "id", "duplicate_id"): "m2",
        ("jobs", "title", "control_characters"): "a job's",
        ("jobs", "", "wrong_field_count"): "m1;Ward nurse",
    }
    keys = list(shown)
    table = {
        "table": [key[0] for key in keys],
        "file": ["f"] * len(keys),
        "row": list(range(len(keys))),
        "column": [key[1] for key in keys],
        "reason": [key[2] for key in keys],
        "value": list(shown.values()),
    }
    pq.write_table(pa.table(table), path)
    assert withhold_values(path, M1) == 4
    assert pq.read_table(path)["value"].to_pylist() == [
        *(None, "m2", None, None, "m2", "a job's", None)
    ]
    assert withhold_values(path, M1) == 0
