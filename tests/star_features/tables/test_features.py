"""Further columns become features; edges, nodes and joined files come in without code."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from star_features.errors import UsageError
from star_features.tables.canonical import Tables
from star_features.tables.choice import Profile
from star_features.tables.config import Limits
from star_features.tables.read import read_dataset


def read(source) -> Tables:
    read_dataset(source, source.parent / "out")
    return Tables(source.parent / "out")


def members_with(**columns: list) -> pa.Table:
    rows = len(next(iter(columns.values())))
    base = {
        "member_id": [f"m{row:02d}" for row in range(rows)],
        "text": ["nurse"] * rows,
        "updated_at": ["2024-01-01"] * rows,
    }
    return pa.table(base | columns)


def test_repeating_words_and_numbers_are_categories_and_times_and_fractions_are_not(dataset):
    source = dataset(members=None)
    rows = members_with(
        city=["Graz", " Basel "] * 30,
        age=[30, 31, None] * 20,
        remote=[True, False] * 30,
        wage=[1.5, 2.0] * 30,
        seen=["2024-01-01", "2024-01-02"] * 30,
        name=[f"name {row}" for row in range(60)],
        nothing=pa.array([None] * 60, pa.string()),
        Working_Place=[{"floor": 1}] * 60,
    )
    pq.write_table(rows, source / "members.parquet")
    tables = read(source)
    assert tables.categorical("members") == ("age", "city", "remote")
    first = tables.members(["age", "city", "remote"]).to_pylist()[1]
    assert first == {"age": "31", "city": "Basel", "remote": "false"}
    ignored = tables.receipt.tables["members"].ignored
    assert {column: why.split(";")[0] for column, why in ignored.items()} == {
        "wage": "fractions",
        "seen": "times",
        "name": "60 distinct values in 60 rows",
        "nothing": "no values",
        "Working_Place": "nested values",
    }


def test_named_categories_are_taken_whatever_they_hold_and_the_others_are_not(dataset):
    source = dataset(
        '[members]\ntext = ["title", "about"]\ncategorical = ["Wage Class", "title"]',
        members="member_id,title,about,updated_at,Wage Class,city\n"
        "m1,nurse,kind,2024-01-01,1.50,Graz\n",
        interactions="member_id,job_id,kind,at\n",
    )
    tables = read(source)
    assert tables.receipt.tables["members"].ignored["city"] == "not in categorical"
    assert tables.members().drop_columns("updated_at").to_pylist() == [
        {"member_id": "m1", "text": "nurse\nkind", "title": "nurse", "wage_class": "1.50"}
    ]


@pytest.mark.parametrize(
    ("distinct", "filled", "taken"),
    [(20, 20, True), (21, 21, False), (21, 42, True), (1000, 5000, True), (1001, 5000, False)],
)
def test_how_many_distinct_values_make_a_category(distinct, filled, taken):
    profile = Profile(filled, distinct, longest=5, fractions=False, times=False)
    assert (profile.why_not(Limits()) is None) == taken


def test_lists_are_split_cleaned_and_found_in_parquet_by_themselves(dataset):
    source = dataset(
        '[jobs]\nlists = { skills = "|" }',
        members=None,
        jobs="job_id,text,updated_at,skills\nj1,ward,2024-01-01, a|b||a |\nj2,x,2024-01-01,\n",
    )
    rows = members_with(tags=[["x", None, " x ", "y\x01"], None], codes=[[1, 2], []])
    pq.write_table(rows, source / "members.parquet")
    tables = read(source)
    assert tables.lists("jobs") == ("skills",)
    assert tables.jobs(["skills"]).column(0).to_pylist() == [["a", "b"], []]
    assert tables.members(["tags", "codes"]).to_pylist() == [
        {"tags": ["x", "y"], "codes": ["1", "2"]},
        {"tags": [], "codes": []},
    ]


def test_a_text_is_joined_from_columns_and_from_a_joined_file(dataset):
    source = dataset(
        '[members]\ntext = ["text", "about"]\njoin = [{ file = "more.csv", on = "id" }]',
        more="id,about,size\nm2,bakes,big\n,lost,x\nm2,again,x\n",
    )
    tables = read(source)
    assert tables.members(["text", "size"]).to_pylist() == [
        {"text": "nurse", "size": None},
        {"text": "cook\nbakes", "size": "big"},
    ]
    more = tables.receipt.tables["members+more.csv"]
    assert (more.rows_in, more.kept, more.reasons) == (3, 1, {"null_id": 1, "duplicate_id": 1})


def test_a_file_is_joined_by_another_column_than_the_id(dataset):
    source = dataset(
        '[jobs]\njoin = [{ file = "firms.csv", on = "firm", key = "company_id" }]',
        jobs="job_id,text,updated_at,company_id\nj1,a,2024-01-01,x\nj2,b,2024-01-01,x\n",
        firms="firm,branch\nx,health\n",
    )
    assert (
        read(source).jobs(["company_id", "branch"]).to_pylist()
        == [{"company_id": "x", "branch": "health"}] * 2
    )


def test_a_row_without_text_is_kept_with_null_when_that_is_allowed(dataset):
    source = dataset(
        "[members]\nallow_empty_text = true",
        members="member_id,text,updated_at\nm1, ,2024-01-01\nm2,cook,2024-01-01\n",
    )
    assert read(source).members(["text"]).column(0).to_pylist() == [None, "cook"]


EDGES = """
[[edges]]
file = "certs.csv"
src_type = { value = "member" }
src_id = "who"
relation = { value = "has_certificate" }
dst_type = { value = "certificate" }
dst_id = "what"

[[edges]]
file = "firms.csv"
src_type = { value = "job" }
src_id = "job"
relation = { value = "offered_by" }
dst_type = { value = "firm" }
dst_id = "firm"
at = "since"
"""


def test_several_files_become_edges_and_their_ends_are_checked_where_there_is_a_table(dataset):
    source = dataset(
        EDGES + '[nodes.certificate]\nfile = "kinds.csv"\nid = "code"\ntext = "label"\n',
        certs="who,what\nm1,c1\nm9,c1\nm1,c9\nm9,c9\n",
        firms="job,firm,since\nj1,f1,2024-01-01\nj9,f1,\nj2,f1,\nj2,f1,soon\n",
        kinds="code,label\nc1,First aid\nc2,\nc1,Again\n",
    )
    tables = read(source)
    found = tables.edges(["src_id", "relation", "dst_id", "at"]).to_pylist()
    assert [(e["src_id"], e["relation"], e["dst_id"], e["at"] is None) for e in found] == [
        ("j1", "offered_by", "f1", False),
        ("j2", "offered_by", "f1", True),
        ("m1", "has_certificate", "c1", True),
    ]
    assert tables.node_types == ("certificate",)
    assert tables.nodes("certificate").to_pylist() == [
        {"certificate_id": "c1", "text": "First aid"},
        {"certificate_id": "c2", "text": None},
    ]
    edges = tables.receipt.tables["edges"]
    assert (edges.rows_in, edges.kept, edges.quarantined) == (8, 3, 5)
    assert edges.reasons == {
        "unknown_member": 2, "unknown_job": 1, "unknown_node": 1, "unparsable_time": 1,
    }  # fmt: skip


def test_canonical_edges_and_node_tables_need_no_dataset_toml(dataset):
    source = dataset(
        edges="src_type,src_id,relation,dst_type,dst_id\nmember,m1,has,skill,s1\n"
        "member,m1,has,skill,s2\nskill,s1,near,topic,t1\n",
        skills="skill_id,text\ns1,Triage\n",
    )
    tables = read(source)
    assert tables.node_types == ("skill",)
    assert tables.edges(["dst_id"]).column(0).to_pylist() == ["s1", "t1"]


def test_one_file_may_give_two_kinds_of_edges_and_a_bad_row_costs_only_its_own(dataset):
    source = dataset(
        EDGES.replace("firms.csv", "certs.csv"), certs="who,what,job,firm,since\nm9,c1,j1,f1,\n"
    )
    tables = read(source)
    assert tables.edges(["src_id"]).column(0).to_pylist() == ["j1"]


def test_two_columns_of_one_canonical_name_are_refused_when_both_are_named(dataset):
    source = dataset(
        '[members]\ncategorical = ["City", "city"]',
        members="member_id,text,updated_at,City,city\nm1,a,2024-01-01,x,y\n",
    )
    with pytest.raises(UsageError, match="'city' would be called city"):
        read(source)


def test_files_nobody_asked_for_are_named(dataset):
    assert read(dataset(memebrs="a\n1\n")).receipt.unused_files == ("memebrs.csv",)


def test_a_list_that_is_too_long_or_holds_a_value_that_is_goes_to_quarantine(dataset):
    source = dataset(
        "[limits]\nmax_list = 3\nmax_list_value = 5\n[members]\nlists = { skills = '|' }",
        members="member_id,text,updated_at,skills\n"
        "m1,nurse,2024-01-01,abcde|b|c\n"
        "m2,cook,2024-01-01,abcdef\n"
        "m3,cook,2024-01-01,a|b|c|d\n"
        "m4,cook,2024-01-01,\n",
        jobs="job_id,text,updated_at\nj1,ward,2024-01-01\n",
        interactions="member_id,job_id,kind,at\nm1,j1,view,2024-02-01\nm4,j1,view,2024-02-02\n",
    )
    tables = read(source)
    assert tables.members(["member_id"])["member_id"].to_pylist() == ["m1", "m4"]
    assert tables.quarantine(["row", "column", "reason", "value"]).to_pylist() == [
        {"row": 2, "column": "skills", "reason": "list_value_too_long", "value": "abcdef"},
        {"row": 3, "column": "skills", "reason": "list_too_long", "value": "4 values"},
    ]
