"""A file that cannot be used stops with one error that says which line to write."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from star_features.errors import DataError, EmptyInput, UsageError
from star_features.tables.read import read_dataset


def refusal(source, tmp_path, kind=DataError) -> str:
    with pytest.raises(kind) as caught:
        read_dataset(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    return str(caught.value)


def test_a_missing_column_is_named_with_the_columns_there_are_and_the_line_to_write(
    dataset, tmp_path
):
    source = dataset(members="person,text,updated_at\nm1,nurse,2024-01-01\n")
    said = refusal(source, tmp_path)
    assert "members.csv: has no column member_id; it has: person, text, updated_at" in said
    assert '[members]\nmember_id = "YOUR_COLUMN"' in said


def test_a_column_of_nearly_the_right_name_is_proposed(dataset, tmp_path):
    source = dataset(jobs="job_ID,text,updated_at\nj1,ward,2024-01-01\n")
    assert '[jobs]\njob_id = "job_ID"' in refusal(source, tmp_path)


def test_a_missing_time_may_be_one_constant(dataset, tmp_path):
    source = dataset(jobs="job_id,text\nj1,ward\n")
    assert 'updated_at = { value = "…" }' in refusal(source, tmp_path)


def test_an_optional_column_that_dataset_toml_names_must_be_there(dataset, tmp_path):
    source = dataset('[jobs]\ncompany_id = "firm"')
    assert "has no column firm" in refusal(source, tmp_path)


def test_a_wrong_delimiter_is_suspected(dataset, tmp_path):
    source = dataset(members="member_id;text;updated_at\nm1;nurse;2024-01-01\n")
    assert 'delimiter = ";"' in refusal(source, tmp_path)


def test_what_is_called_parquet_and_is_not_is_refused(dataset, tmp_path):
    source = dataset(members=None)
    (source / "members.parquet").write_text("member_id,text\n")
    assert "members.parquet: cannot be read as Parquet" in refusal(source, tmp_path)


def test_parquet_whose_strings_are_no_text_is_refused(dataset, tmp_path):
    source = dataset(members=None)
    bad = pa.array([b"\xff"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, bad.buffers())
    rows = {"member_id": ["m1"], "text": text, "updated_at": ["2024-01-01"]}
    pq.write_table(pa.table(rows), source / "members.parquet")
    assert "not valid UTF8" in refusal(source, tmp_path)


def test_an_empty_file_is_refused(dataset, tmp_path):
    assert "members.csv: the file is empty" in refusal(dataset(members=b""), tmp_path)


def test_an_unknown_format_is_refused(dataset, tmp_path):
    source = dataset('[members]\nfile = "people.xlsx"')
    (source / "people.xlsx").write_bytes(b"PK")
    assert "people.xlsx: is of no format we read" in refusal(source, tmp_path)


def test_a_table_that_is_nowhere_is_named_with_the_files_there_are(dataset, tmp_path):
    said = refusal(dataset(members=None), tmp_path)
    assert "has no table members; it has: interactions.csv, jobs.csv" in said
    assert "[members]\nfile =" in said


def test_two_files_for_one_table_are_refused(dataset, tmp_path):
    source = dataset()
    pq.write_table(pa.table({"member_id": ["m1"]}), source / "members.parquet")
    assert "both the table members" in refusal(source, tmp_path)


def test_nested_values_are_no_text(dataset, tmp_path):
    source = dataset(members=None)
    rows = {"member_id": ["m1"], "text": [{"a": 1}], "updated_at": ["2024-01-01"]}
    pq.write_table(pa.table(rows), source / "members.parquet")
    assert "the column text holds nested values" in refusal(source, tmp_path)


def test_nothing_left_says_why(dataset, tmp_path):
    source = dataset(members="member_id,text,updated_at\nm1,nurse,soon\nm2,cook,later\n")
    said = refusal(source, tmp_path, EmptyInput)
    assert "of 2 members none is left (unparsable_time 2)" in said


def test_a_join_that_meets_nobody_is_a_wrong_key(dataset, tmp_path):
    source = dataset(
        '[jobs]\njoin = [{ file = "firms.csv", on = "firm" }]', firms="firm,size\nx,3\n"
    )
    assert "not one value of firm is found in the column job_id" in refusal(source, tmp_path)


def test_a_source_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "data.duckdb"
    path.write_text("hello, this is no database, however long it may be")
    assert "data.duckdb: cannot be opened" in refusal(path, tmp_path)


def test_a_folder_with_other_things_in_it_is_not_overwritten(dataset, tmp_path):
    source, out = dataset(), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(UsageError, match="other files"):
        read_dataset(source, out)
    assert (out / "thesis.txt").read_text() == "irreplaceable"
