"""A graph brought up to date is the one that all rows together would have built."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import ArtefactError, DataError, SpaceMismatch
from star_features.graph.build import build_graph
from star_features.graph.infer import infer
from star_features.graph.job_graph import JobGraph
from star_features.graph.update import updated
from star_features.spaces import VectorTable

NOW = np.datetime64("2026-01-25", "us")
COLUMNS = {"categorical": {"member": ["place"]}, "lists": {"member": ["skills"], "job": ["skills"]}}


def by_id(graph):
    """Everything a graph says, by id: the order of rows left out."""
    edges, ids = set(), {}
    for name, nodes in graph.nodes.items():
        for row, key in enumerate(nodes.ids.tolist()):
            ids[graph.offset(name) + row] = (name, key)
    for relation in graph.relations:
        dst = np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))
        low = graph.offset(relation.dst_type)
        for src, row, at, after, kind in zip(
            relation.src_E, dst, relation.at_E, relation.after_E, relation.kind_E, strict=True
        ):
            ends = ids[int(src)], ids[int(row) + low]
            edges.add((relation.name, *ends, int(at), int(after), relation.kinds[kind]))
    nodes = {
        (name, key): (
            int(each.since_N[row]),
            bool(each.has_text_N[row]),
            tuple(each.text_ND[row].round(5).tolist()) if each.has_text_N[row] else (),
            tuple(
                (column, c.values[c.codes_N[row]] if c.codes_N[row] >= 0 else None)
                for column, c in sorted(each.categories.items())
            ),
        )
        for name, each in graph.nodes.items()
        for row, key in enumerate(each.ids.tolist())
    }
    return nodes, edges


def sorted_within_rows(graph):
    return all(
        (np.diff(r.after_E[low:high]) >= 0).all()
        for r in graph.relations
        for low, high in zip(r.indptr_N1[:-1], r.indptr_N1[1:], strict=True)
    )


def edge_table(on_days, rows):
    names = ("src_type", "src_id", "relation", "dst_type", "dst_id")
    table = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    return pa.table(table | {"at": on_days([row[5] for row in rows])})


def day_one(world, on_days, seed):
    """The small world with times, and with some members following each other."""
    one = world(seed=seed, rows=60)
    rng = np.random.default_rng(seed)
    members = one.members.append_column("updated_at", on_days(rng.integers(0, 20, 12)))
    jobs = one.jobs.append_column("updated_at", on_days(rng.integers(0, 20, 9)))
    follows = [("member", f"m{a}", "follows", "member", f"m{b}", 3) for a, b in ((1, 2), (3, 4))]
    return one, members, jobs, edge_table(on_days, follows)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), data=st.data())
def test_updating_by_any_part_of_the_rows_is_building_from_all(world, on_days, seed, data):
    one, members, jobs, edges = day_one(world, on_days, seed)
    late_member = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    late_job = np.array(data.draw(st.lists(st.booleans(), min_size=9, max_size=9)))
    late_ids = {f"m{i}" for i in np.flatnonzero(late_member)}
    late_ids |= {f"j{i}" for i in np.flatnonzero(late_job)}
    pairs = zip(*(one.interactions[c].to_pylist() for c in ("member_id", "job_id")), strict=True)
    late_row = np.array([bool({*pair} & late_ids) for pair in pairs]) | (
        np.random.default_rng(seed).random(len(one.interactions)) < 0.3
    )
    ends = zip(edges["src_id"].to_pylist(), edges["dst_id"].to_pylist(), strict=True)
    late_edge = np.array([bool({*pair} & late_ids) for pair in ends])
    first = build_graph(
        members.filter(pa.array(~late_member)),
        jobs.filter(pa.array(~late_job)),
        one.text,
        interactions=one.interactions.filter(pa.array(~late_row)),
        edges=edges.filter(pa.array(~late_edge)),
        **COLUMNS,
    )
    found = updated(
        first,
        members=members.filter(pa.array(late_member)),
        jobs=jobs.filter(pa.array(late_job)),
        text=one.text,
        interactions=one.interactions.filter(pa.array(late_row)),
        edges=edges.filter(pa.array(late_edge)),
        **COLUMNS,
    )
    wanted = build_graph(
        members, jobs, one.text, interactions=one.interactions, edges=edges, **COLUMNS
    )
    assert by_id(found) == by_id(wanted)
    assert sorted_within_rows(found)
    found.verify()


def test_a_changed_member_brings_its_new_content_and_keeps_its_interactions(
    world, model_of, tiny, on_days
):
    one, members, jobs, edges = day_one(world, on_days, 0)
    before = build_graph(
        members, jobs, one.text, interactions=one.interactions, edges=edges, **COLUMNS
    )
    rows = members.to_pylist()
    rows[3] |= {"place": "Lima", "skills": ["s0", "new"], "updated_at": on_days([22])[0].as_py()}
    changed = pa.Table.from_pylist(rows, members.schema)
    vectors = one.text["member"].vectors_ND.copy()
    vectors[3] = -vectors[3]
    text = one.text | {"member": VectorTable("member_text_v1@t", one.text["member"].ids, vectors)}
    found = updated(before, members=changed.slice(3, 1), text=text, **COLUMNS)
    wanted = build_graph(changed, jobs, text, interactions=one.interactions, edges=edges, **COLUMNS)
    assert by_id(found) == by_id(wanted)
    assert by_id(found) != by_id(before)
    model = model_of(wanted, tiny)
    for entity in ("member", "job"):
        got, expected = (infer(model, graph, NOW, entity)[1] for graph in (found, wanted))
        np.testing.assert_allclose(got, expected, atol=2e-6, rtol=0)


def test_nothing_new_is_the_same_graph_and_known_rows_stay(world):
    one = world()
    graph = one.graph()
    same = updated(graph)
    assert same.checksum == graph.checksum
    for mine, other in zip(same.relations, graph.relations, strict=True):
        for name in ("indptr_N1", "src_E", "at_E", "after_E", "kind_E"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    grown = updated(graph, jobs=pa.table({"job_id": ["j0x"]}))
    assert grown.nodes["job"].ids.tolist() == [*graph.nodes["job"].ids.tolist(), "j0x"]
    assert grown.checksum != graph.checksum


def test_a_member_without_a_new_vector_has_no_text_from_now_on(world):
    one = world()
    found = updated(one.graph(), members=one.members.slice(2, 1).select(["member_id"]))
    has = found.nodes["member"].has_text_N
    assert not has[2]
    assert has[[0, 1, *range(3, 12)]].all()


def test_unknown_ids_other_spaces_and_shuffled_ids_are_refused(world):
    one = world()
    graph = one.graph()
    nobody = one.interactions.slice(0, 1).set_column(0, "member_id", pa.array(["nobody"]))
    with pytest.raises(DataError, match=r"1 unknown member ids, such as \['nobody'\]"):
        updated(graph, interactions=nobody)
    other = VectorTable("member_text_v2@t", one.text["member"].ids, one.text["member"].vectors_ND)
    with pytest.raises(SpaceMismatch, match="member_text_v2"):
        updated(graph, members=one.members.slice(0, 1), text={"member": other})
    shuffled = JobGraph(graph.nodes, graph.relations, "0" * 64)
    with pytest.raises(ArtefactError, match="checksum"):
        updated(
            shuffled, interactions=one.interactions.filter(pc.equal(one.interactions["label"], 1))
        )
