"""From tables to a graph: which nodes, which edges, and in which row."""

import numpy as np
import pyarrow as pa
import pytest

from star_features.errors import ArtefactError, DataError
from star_features.graph.build import build_graph
from star_features.graph.job_graph import ALWAYS, Nodes, Relation
from star_features.graph.settings import GraphSettings


def relation_of(graph, name):
    return next(r for r in graph.relations if r.name == name)


def edges_by_id(graph, name):
    """(source id, destination id) of every edge of a relation."""
    relation = relation_of(graph, name)
    src = graph.nodes[relation.src_type].ids[relation.src_E - graph.offset(relation.src_type)]
    dst_row = np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))
    return list(
        zip(src.tolist(), graph.nodes[relation.dst_type].ids[dst_row].tolist(), strict=True)
    )


def test_only_members_and_jobs_read_others(world):
    graph = world().graph()
    assert {r.name for r in graph.relations} == {
        "member>job", "job>member", "company>job", "skills>member", "skills>job",
    }  # fmt: skip


def test_a_shown_and_not_taken_job_is_no_edge(world):
    one = world()
    taken = [
        (row["member_id"], row["job_id"])
        for row in one.interactions.to_pylist()
        if row["label"] == 1
    ]
    assert sorted(edges_by_id(one.graph(), "member>job")) == sorted(taken)
    assert sorted(edges_by_id(one.graph(), "job>member")) == sorted((j, m) for m, j in taken)


def test_a_skill_of_a_member_and_of_a_job_is_one_node(world):
    graph = world().graph()
    assert graph.nodes["skills"].ids.tolist() == ["all", "s0", "s1", "s2"]
    assert ("s1", "m1") in edges_by_id(graph, "skills>member")
    assert ("s1", "j1") in edges_by_id(graph, "skills>job")


def test_a_skill_named_twice_is_one_edge(world):
    one = world()
    twice = one.jobs.set_column(2, "skills", pa.array([["s0", "s0", None]] * len(one.jobs)))
    assert len(relation_of(one.graph(jobs=twice), "skills>job")) == len(one.jobs)


def test_a_job_without_company_has_no_company_edge(world):
    assert "j0" not in {job for _, job in edges_by_id(world().graph(), "company>job")}


def test_jobs_without_a_company_column_are_a_graph_without_companies(world):
    one = world()
    graph = one.graph(jobs=one.jobs.drop_columns(["company_id"]))
    assert "company" not in graph.types


def test_no_skills_at_all_is_a_graph_with_no_skill_node(world):
    one = world()
    none = pa.array([[]] * len(one.jobs), pa.list_(pa.string()))
    bare = one.members.drop_columns(["skills"])
    graph = one.graph(members=bare, jobs=one.jobs.set_column(2, "skills", none))
    assert len(graph.nodes["skills"]) == 0


def test_in_edges_are_sorted_by_time(world):
    relation = relation_of(world().graph(), "member>job")
    for low, high in zip(relation.indptr_N1[:-1], relation.indptr_N1[1:], strict=True):
        assert (np.diff(relation.at_E[low:high]) >= 0).all()


def test_further_edges_bring_their_types_in_and_keep_their_times(world, on_days):
    edges = pa.table(
        {
            "src_type": ["member", "member", "course"],
            "src_id": ["m1", "m2", "x"],
            "relation": ["follows", "did", "part_of"],
            "dst_type": ["member", "course", "track"],
            "dst_id": ["m2", "x", "y"],
            "at": pa.array([on_days([3])[0].as_py(), None, None], pa.timestamp("us", "UTC")),
        }
    )
    graph = world().graph(edges=edges)
    assert edges_by_id(graph, "member-follows>member") == [("m1", "m2")]
    assert edges_by_id(graph, "member-~follows>member") == [("m2", "m1")]
    assert edges_by_id(graph, "course-~did>member") == [("x", "m2")]
    assert relation_of(graph, "member-follows>member").at_E[0] == on_days([3])[0].value
    assert relation_of(graph, "course-~did>member").at_E[0] == ALWAYS
    assert not any("part_of" in r.name for r in graph.relations)


def test_a_job_without_text_has_zeros_and_a_flag(world):
    one = world()
    text = one.text["job"]
    known = type(text)(text.space, text.ids[1:], text.vectors_ND[1:])
    nodes = one.graph(text=one.text | {"job": known}).nodes["job"]
    assert not nodes.has_text_N[0]
    assert nodes.has_text_N[1:].all()
    assert not nodes.text_ND[0].any()
    np.testing.assert_array_equal(nodes.text_ND[1:], text.vectors_ND[1:])


def test_a_category_has_its_own_value_and_a_null_has_none(world):
    one = world()
    column = one.graph().nodes["member"].categories["place"]
    read = [column.values[code] if code >= 0 else None for code in column.codes_N]
    assert read == one.members["place"].to_pylist()
    assert list(column.values) == sorted(column.values)


def test_an_unknown_id_is_named(world):
    with pytest.raises(DataError, match=r"1 unknown member ids, such as \['nobody'\]"):
        world().graph().rows("member", ["m1", "nobody"])


def test_an_interaction_with_an_unknown_job_is_refused(world):
    one = world()
    with pytest.raises(DataError, match="unknown job ids"):
        one.graph(jobs=one.jobs.slice(1))


def test_an_id_in_two_rows_is_refused(world):
    one = world()
    with pytest.raises(DataError, match="two rows"):
        one.graph(members=pa.concat_tables([one.members, one.members.slice(0, 1)]))


def test_a_shuffled_id_table_is_refused(world):
    graph = world().graph()
    jobs = graph.nodes["job"]
    swapped = Nodes(jobs.ids[::-1], jobs.text_ND, jobs.has_text_N, jobs.since_N)
    shuffled = type(graph)({**graph.nodes, "job": swapped}, graph.relations, graph.checksum)
    graph.verify()
    with pytest.raises(ArtefactError, match="checksum"):
        shuffled.verify()


def test_an_int32_relation_is_refused():
    small = np.zeros(2, np.int32)
    wide = np.zeros(1, np.int64)
    with pytest.raises(DataError, match="int64"):
        Relation("a>b", "a", "b", ("",), small, wide, wide, wide, wide)


def test_a_world_of_tables_only_is_a_graph(world):
    one = world()
    graph = build_graph(one.members, one.jobs, {})
    assert graph.edges() == 2 * 0 + len([c for c in one.jobs["company_id"].to_pylist() if c])


def test_an_unknown_setting_is_refused_and_so_are_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="extra"):
        GraphSettings(fanouts=(1, 2))
    with pytest.raises(ValueError, match="3 numbers, but there are 2 layers"):
        GraphSettings(fan_outs=(1, 2, 3))
    with pytest.raises(ValueError, match="no multiple of heads"):
        GraphSettings(hidden=30, heads=4)
