"""Whatever comes in, every row is kept or quarantined; bad rows say where and why."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.tables.canonical import Tables
from star_features.tables.config import DatasetConfig
from star_features.tables.read import read_dataset
from star_features.tables.receipt import explain


def read(source: Path) -> Tables:
    read_dataset(source, source.parent / "out")
    return Tables(source.parent / "out")


def faults(tables: Tables, table: str) -> list[tuple[int, str, str]]:
    rows = tables.quarantine().to_pylist()
    return [(r["row"], r["column"], r["reason"]) for r in rows if r["table"] == table]


def values(tables: Tables, table: str) -> list[str | None]:
    rows = tables.quarantine(["table", "value"]).to_pylist()
    return [row["value"] for row in rows if row["table"] == table]


def ids(tables: Tables, table: str = "members") -> list[str]:
    return tables.table(table).column(0).to_pylist()


def counts_agree(tables: Tables) -> bool:
    found = tables.quarantine(["table"]).column("table").to_pylist()
    return all(
        table.rows_in == table.kept + table.quarantined
        and table.quarantined == found.count(name)
        and (name not in ("members", "jobs", "interactions") or tables.count(name) == table.kept)
        for name, table in tables.receipt.tables.items()
    )


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (",cook,2024-01-01", "member_id", "null_id"),
        ("  ,cook,2024-01-01", "member_id", "null_id"),
        ("m1,cook,2024-01-01", "member_id", "duplicate_id"),
        ("m\x01,cook,2024-01-01", "member_id", "control_characters"),
        ("m" * 1001 + ",cook,2024-01-01", "member_id", "id_too_long"),
        ("m9,,2024-01-01", "text", "empty_text"),
        ("m9, ,2024-01-01", "text", "empty_text"),
        ("m9,co\x00ok,2024-01-01", "text", "control_characters"),
        ("m9,cook,", "updated_at", "null_time"),
        ("m9,cook,soon", "updated_at", "unparsable_time"),
        ("m9,cook,1969-12-31", "updated_at", "time_out_of_bounds"),
        ("m9,cook,2201-01-01", "updated_at", "time_out_of_bounds"),
        ("m9,,soon", "text; updated_at", "empty_text; unparsable_time"),
        ("m9,cook", "", "wrong_field_count"),
    ],
)
def test_a_bad_member_goes_to_quarantine_with_its_reason_and_the_rest_goes_on(
    dataset, row, column, reason
):
    members = f"member_id,text,updated_at\nm1,nurse,2024-01-01\n{row}\nm2,cook,2024-01-01\n"
    tables = read(dataset(members=members))
    assert faults(tables, "members") == [(2, column, reason)]
    assert ids(tables) == ["m1", "m2"]
    assert counts_agree(tables)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("m9,j1,view,2024-01-01,1,1", "member_id", "unknown_member"),
        ("m1,j9,view,2024-01-01,1,1", "job_id", "unknown_job"),
        ("m9,j9,view,2024-01-01,1,1", "member_id; job_id", "unknown_member; unknown_job"),
        ("m1,j1,,2024-01-01,1,1", "kind", "null_value"),
        ("m1,j1,view,2024-01-01,-1,1", "weight", "bad_weight"),
        ("m1,j1,view,2024-01-01,inf,1", "weight", "bad_weight"),
        ("m1,j1,view,2024-01-01,1e39,1", "weight", "bad_weight"),
        ("m1,j1,view,2024-01-01,much,1", "weight", "bad_weight"),
        ("m1,j1,view,2024-01-01,1,2", "label", "bad_label"),
        ("m1,j1,view,2024-01-01,1,", "label", "bad_label"),
    ],
)
def test_a_bad_interaction_goes_to_quarantine_with_its_reason(dataset, row, column, reason):
    head = "member_id,job_id,kind,at,weight,label\n"
    tables = read(dataset(interactions=f"{head}m1,j1,view,2024-01-01,,0\n{row}\n"))
    assert faults(tables, "interactions") == [(2, column, reason)]
    assert tables.interactions(["weight", "label"]).to_pylist() == [{"weight": 1.0, "label": 0}]
    assert counts_agree(tables)


def test_a_member_in_quarantine_is_unknown_to_interactions(dataset):
    tables = read(dataset(members="member_id,text,updated_at\nm1,nurse,2024-01-01\nm2,,2024\n"))
    assert faults(tables, "interactions") == [(2, "member_id", "unknown_member")]


def test_of_a_repeated_id_the_first_good_row_is_kept(dataset):
    rows = "m1,nurse,soon\nm1,cook,2024-01-01\nm1,clerk,2024-01-01\n"
    tables = read(dataset(members=f"member_id,text,updated_at\n{rows}"))
    assert tables.members(["text"]).to_pylist() == [{"text": "cook"}]
    assert faults(tables, "members") == [
        (1, "updated_at", "unparsable_time"),
        (3, "member_id", "duplicate_id"),
    ]


def test_a_text_of_five_megabytes_is_quarantined_and_shown_short(dataset):
    big = "m9," + "x" * 5_000_000 + ",2024-01-01\n"
    tables = read(dataset(members=f"member_id,text,updated_at\n{big}m1,nurse,2024-01-01\n"))
    assert faults(tables, "members") == [(1, "text", "text_too_long")]
    assert values(tables, "members") == ["x" * 120]


def test_the_longest_allowed_text_is_kept(dataset):
    source = dataset(
        "[limits]\nmax_text = 5\nmax_id = 5",
        interactions="member_id,job_id,kind,at\n",
        members="member_id,text,updated_at\nm1,nurse,2024-01-01\nm2,nurses,2024-01-01\n",
    )
    assert ids(read(source)) == ["m1"]


def test_a_value_in_quarantine_shows_its_control_characters(dataset):
    tables = read(dataset(members="member_id,text,updated_at\nm9,a\x07b,2024\nm1,a,2024-01-01\n"))
    assert values(tables, "members") == ["a\\x07b"]


def test_the_canonical_types_are_what_the_architecture_says(dataset):
    tables = read(dataset())
    time = pa.timestamp("us", tz="UTC")
    assert tables.schema("interactions").types == [
        pa.string(), pa.string(), pa.string(), time, pa.float32(), pa.int8(),
    ]  # fmt: skip
    assert tables.schema("jobs").names == ["job_id", "company_id", "text", "updated_at"]
    assert tables.schema("edges").names == [
        "src_type", "src_id", "relation", "dst_type", "dst_id", "at",
    ]  # fmt: skip
    assert tables.jobs(["company_id"]).column(0).null_count == 2


def test_tables_are_sorted_by_id_and_interactions_by_time_member_and_job(dataset):
    head = "member_id,job_id,kind,at\n"
    rows = "m2,j1,a,2024-01-01\nm1,j2,b,2024-01-01\nm1,j1,c,2024-01-01\nm2,j2,d,2023-01-01\n"
    members = "member_id,text,updated_at\nm2,cook,2024-01-01\nm1,nurse,2024-01-01\n"
    tables = read(dataset(members=members, interactions=head + rows))
    assert ids(tables) == ["m1", "m2"]
    assert tables.interactions(["kind"]).column("kind").to_pylist() == ["d", "c", "b", "a"]


def test_times_that_are_all_one_constant_and_labels_that_are_all_one_are_said_so(dataset):
    one = read(dataset('[interactions]\nat = { value = "2024-01-01" }'))
    assert (one.has_times, one.has_labels) == (False, False)
    head = "member_id,job_id,kind,at,label\n"
    rows = "m1,j1,view,2024-01-01,1\nm1,j1,view,2024-01-02,0\n"
    two = read(dataset("timezone = 'UTC'", interactions=head + rows))
    assert (two.has_times, two.has_labels) == (True, True)


def test_a_kind_has_its_weight_where_the_row_has_none(dataset):
    rows = "m1,j1,view,2024-01-01,\nm1,j1,apply,2024-01-02,\nm1,j1,apply,2024-01-03,7\n"
    source = dataset(
        "[interactions.kind_weights]\napply = 3",
        interactions=f"member_id,job_id,kind,at,weight\n{rows}",
    )
    assert read(source).interactions(["weight"]).column(0).to_pylist() == [1.0, 3.0, 7.0]


def test_no_interactions_are_fine_when_the_file_says_so(dataset):
    tables = read(dataset(interactions="member_id,job_id,kind,at\n"))
    assert tables.count("interactions") == 0
    assert tables.schema("interactions").field("at").type == pa.timestamp("us", tz="UTC")


def test_a_naive_time_is_read_in_the_zone_of_the_data_set(dataset):
    tables = read(dataset('timezone = "Asia/Seoul"'))
    first = tables.members(["updated_at"]).column(0)[0].as_py()
    assert first == datetime(2023, 12, 31, 15, tzinfo=UTC)


def test_a_rerun_replaces_the_tables_and_a_failed_one_leaves_them(dataset):
    source = dataset()
    before = read(source).receipt
    assert read(source).receipt == before
    (source / "members.csv").write_text("")
    with pytest.raises(Exception, match="empty"):
        read(source)
    assert Tables(source.parent / "out").receipt == before


def test_the_receipt_is_explained_line_by_line(dataset):
    lines = explain(
        read(dataset(members="member_id,text,updated_at\nm1,a,2024-01-01\n,,\n")).receipt
    )
    assert lines[0] == ("members", 2, 1, 1, "empty_text 1, null_id 1, null_time 1")


def test_parquet_and_duckdb_give_the_same_tables_as_csv(dataset, tmp_path):
    source = dataset()
    parquet, database = tmp_path / "parquet", tmp_path / "data.duckdb"
    parquet.mkdir()
    with duckdb.connect(str(database)) as con:
        for path in source.glob("*.csv"):
            pq.write_table(pyarrow.csv.read_csv(path), parquet / f"{path.stem}.parquet")
            con.execute(f"CREATE TABLE {path.stem} AS FROM read_csv('{path}')")
    wanted = read(source)
    for other in (parquet, database):
        read_dataset(other, tmp_path / "other")
        found = Tables(tmp_path / "other")
        for name in ("members", "jobs", "interactions"):
            assert found.table(name).equals(wanted.table(name)), (other.name, name)


def test_whole_numbers_that_pandas_made_floats_are_the_same_ids(dataset):
    source = dataset(members=None, interactions=None)
    rows = {"member_id": [1, 2], "text": ["a", "b"], "updated_at": ["2024-01-01"] * 2}
    pq.write_table(pa.table(rows), source / "members.parquet")
    events = {"member_id": [2.0, None], "job_id": ["j1"] * 2, "kind": ["view"] * 2}
    times = pa.array([datetime(2024, 1, 1)] * 2, pa.timestamp("ns"))
    pq.write_table(pa.table(events | {"at": times}), source / "interactions.parquet")
    tables = read(source)
    assert tables.interactions(["member_id"]).column(0).to_pylist() == ["2"]
    assert faults(tables, "interactions") == [(2, "member_id", "null_id")]


def test_a_table_may_lie_in_many_part_files(dataset):
    source = dataset(members=None)
    (source / "members").mkdir()
    for part, rows in enumerate(["m2,cook,2024-01-01", "m1,nurse,2024-01-01\nm2,again,2024-01-01"]):
        path = source / "members" / f"part-{part}.csv"
        path.write_text(f"member_id,text,updated_at\n{rows}\n")
    tables = read(source)
    assert ids(tables) == ["m1", "m2"]
    assert tables.quarantine(["file", "row"]).to_pylist() == [
        {"file": "members/part-1.csv", "row": 2}
    ]


dirty_ids = st.sampled_from(["m1", "m2", "m3", "", " ", "m\x02"])
dirty_times = st.sampled_from(["2024-01-01", "2024-05-01T10:00:00Z", "soon", "", "1066-10-14"])
dirty_rows = st.one_of(
    st.tuples(dirty_ids, st.sampled_from(["nurse", "", "x\x00"]), dirty_times).map(",".join),
    st.sampled_from(["m1", "a,b,c,d", 'm4,"open,2024-01-01', ",,"]),
)


def dirty_world(folder: Path, members: list[str], events: list[str], rows: int) -> Tables:
    source = folder / f"data{rows}"
    source.mkdir()
    head = "member_id,text,updated_at\n"
    people = ["m0,nurse,2024-01-01", *members]
    (source / "members.csv").write_text(head + "\n".join(people) + "\n")
    (source / "jobs.csv").write_text("job_id,text,updated_at\nj1,ward,2024-01-01\n")
    pairs = "\n".join(f"{event.replace(',', ',j1,', 1)}" for event in events)
    (source / "interactions.csv").write_text(f"member_id,job_id,kind,at\n{pairs}\n")
    (source / "dataset.toml").write_text(f"[limits]\nchunk_rows = {rows}\n")
    read_dataset(source, folder / f"out{rows}")
    return Tables(folder / f"out{rows}")


@settings(max_examples=8, deadline=None)
@given(st.lists(dirty_rows, max_size=8), st.lists(dirty_rows, max_size=8), st.integers(1, 9))
def test_rows_in_are_rows_kept_and_quarantined_at_every_chunk_size(members, events, rows):
    with tempfile.TemporaryDirectory() as folder:
        whole = dirty_world(Path(folder), members, events, 1000)
        pieces = dirty_world(Path(folder), members, events, rows)
        assert counts_agree(whole)
        for name in ("members", "interactions", "quarantine"):
            assert pieces.table(name).equals(whole.table(name)), name
        assert pieces.receipt == whole.receipt


def test_every_default_of_dataset_toml_is_valid_on_its_own():
    assert DatasetConfig.model_validate({}) == DatasetConfig()
