"""Densification: whoever has met few, at the time, reads the older ones who resemble him."""

import numpy as np
import pyarrow as pa
import pytest

from star_features.errors import DataError
from star_features.graph.build import micros
from star_features.graph.densify import densified
from star_features.graph.infer import infer
from star_features.graph.job_graph import FOREVER
from star_features.graph.sampler import Pairs, draw
from star_features.graph.settings import Densify, GraphSettings
from star_features.graph.temporal import NOBODY, Seeds, in_edges
from star_features.graph.train import train_graph
from star_features.graph.vocabulary import read_graph, vocabulary_of
from star_features.spaces import VectorTable

NOW = np.datetime64("2026-01-16", "us")
NEAR = Densify(below=3, neighbours=2)
READS_NEAR = GraphSettings(densify=NEAR)


def with_times(one, on_days, members=12, jobs=9):
    """The small world with a time since when each member and job is there."""
    tables = {}
    for name, table, count in (("members", one.members, members), ("jobs", one.jobs, jobs)):
        tables[name] = table.append_column("updated_at", on_days(np.arange(count) // 2))
    return tables


def near_edges(graph, entity):
    relation = next(r for r in graph.relations if r.name == f"{entity}-near>{entity}")
    dst = np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))
    return relation, relation.src_E - graph.offset(entity), dst


def test_near_edges_lead_from_the_older_ones_nearest_by_text(world, on_days):
    one = world()
    graph = densified(one.graph(**with_times(one, on_days)), NEAR)
    relation, src, dst = near_edges(graph, "job")
    nodes = graph.nodes["job"]
    cosine = nodes.text_ND @ nodes.text_ND.T
    for row in range(9):
        older = [o for o in range(9) if o != row and nodes.since_N[o] <= nodes.since_N[row]]
        wanted = sorted(older, key=lambda o: -cosine[row, o])[:2]
        assert sorted(src[dst == row]) == sorted(wanted)
    since = np.maximum(nodes.since_N[src], nodes.since_N[dst])
    np.testing.assert_array_equal(relation.after_E, since - 1)


def test_only_a_node_with_few_edges_at_the_time_reads_them(world, on_days):
    one = world(rows=60)
    graph = densified(one.graph(), NEAR)
    view = read_graph(graph, vocabulary_of(graph, READS_NEAR)).view
    rows = [r for r in one.interactions.to_pylist() if r["label"] == 1]
    for day in (1, 5, 12, 30):
        at = int(micros(on_days([day]))[0])
        node = np.arange(12, 21)
        found = in_edges(
            view, node, np.full(9, at), np.full(9, NOBODY), lambda name: -1 if "near" in name else 0
        )
        for row in range(9):
            met = sum(
                r["job_id"] == f"j{row}" and micros(pa.array([r["at"]]))[0] < at for r in rows
            )
            assert (found.row_E == row).sum() == (2 if met < 3 else 0)


def test_an_edge_that_is_hidden_from_a_label_does_not_count(world, on_days):
    one = world()
    kept = one.interactions.filter(pa.compute.equal(one.interactions["label"], 1))
    kept = kept.filter(pa.compute.equal(kept["job_id"], "j4")).slice(0, 3)
    assert len(kept) == 3
    graph = densified(one.graph(interactions=kept), NEAR)
    view = read_graph(graph, vocabulary_of(graph, READS_NEAR)).view
    member = graph.rows("member", [kept["member_id"][0].as_py()])
    for hidden, wanted in ((np.array([NOBODY]), 0), (member, 2)):
        found = in_edges(
            view, np.array([16]), np.array([FOREVER]), hidden, lambda name: -1 * ("near" in name)
        )
        assert len(found.src_E) == wanted


def test_a_later_job_changes_nobodys_near_edges(world, model_of, tiny, on_days):
    one, more = world(), world(jobs=12)
    chosen = type(tiny)(**tiny.model_dump() | {"densify": NEAR})
    tables = with_times(one, on_days)
    born = [*np.arange(9) // 2, 20, 20, 20]
    late = more.jobs.append_column("updated_at", on_days(born))
    text = more.text["job"]
    vectors = np.concatenate([one.text["job"].vectors_ND, one.text["job"].vectors_ND[:3]])
    grown = one.text | {"job": VectorTable(text.space, text.ids, vectors)}
    model = model_of(densified(one.graph(**tables), NEAR), chosen)
    small = densified(one.graph(**tables), NEAR)
    grown_graph = densified(
        one.graph(
            members=tables["members"],
            jobs=pa.concat_tables([tables["jobs"], late.slice(9)]),
            text=grown,
        ),
        NEAR,
    )
    before, after = (infer(model, g, NOW, "job")[1] for g in (small, grown_graph))
    np.testing.assert_allclose(after[:9], before, atol=2e-6, rtol=0)


def test_one_that_is_fresh_reads_the_older_ones_as_they_were_at_the_snapshot(
    world, model_of, tiny, on_days
):
    one = world(rows=150)
    chosen = type(tiny)(**tiny.model_dump() | {"densify": NEAR})
    born = np.array([0, 0, 0, 0, 0, 0, 17, 18, 20])  # three after the snapshot
    jobs = one.jobs.append_column("updated_at", on_days(born))
    early = np.array([int(j[1:]) < 6 for j in one.interactions["job_id"].to_pylist()])
    met = one.interactions.filter(pa.array(early))
    graph = densified(one.graph(jobs=jobs, interactions=met), Densify(below=3, neighbours=8))
    model = model_of(graph, chosen)
    fresh = infer(model, graph, NOW, "job", ["j8"], fresh=True)[1]
    others = one.text["job"].vectors_ND.copy()
    others[6:8] = -others[6:8]  # not there at the snapshot: nobody may see them
    text = one.text | {"job": VectorTable("job_text_v1@t", one.text["job"].ids, others)}
    moved = densified(
        one.graph(jobs=jobs, interactions=met, text=text), Densify(below=3, neighbours=8)
    )
    np.testing.assert_allclose(
        infer(model, moved, NOW, "job", ["j8"], fresh=True)[1], fresh, atol=2e-6, rtol=0
    )
    others[:6] = -others[:6]
    text = one.text | {"job": VectorTable("job_text_v1@t", one.text["job"].ids, others)}
    turned = densified(
        one.graph(jobs=jobs, interactions=met, text=text), Densify(below=3, neighbours=8)
    )
    assert np.abs(infer(model, turned, NOW, "job", ["j8"], fresh=True)[1] - fresh).max() > 1e-3


def test_a_model_of_a_densified_graph_refuses_another_one(world, tiny):
    one = world()
    chosen = type(tiny)(**tiny.model_dump() | {"densify": NEAR, "epochs": 1})
    with pytest.raises(DataError, match=r"no relation member-near>member .*\n.*densified\(graph"):
        train_graph(one.graph(), one.interactions, chosen)
    model, _ = train_graph(densified(one.graph(), NEAR), one.interactions, chosen)
    infer(model, densified(one.graph(), NEAR), NOW, "job")
    with pytest.raises(DataError, match="densified"):
        infer(model, densified(one.graph(), Densify(below=2)), NOW, "job")


def test_a_densified_sample_with_room_for_all_equals_exact(world, model_of, tiny, on_days):
    one = world(rows=40)
    chosen = type(tiny)(**tiny.model_dump() | {"densify": NEAR, "fan_outs": (1000, 1000)})
    graph = densified(one.graph(**with_times(one, on_days)), NEAR)
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    pairs, at = Pairs.of(reading.view), int(NOW.astype(np.int64))
    member, job = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(12, 21)))
    free = ~pairs.linked(member, job, at)
    seeds = Seeds(member[free], job[free], np.full(int(free.sum()), at))
    got = model(reading, draw(reading.view, pairs, seeds, chosen, seed=0))
    for side, entity, offset in ((0, "member", 0), (1, "job", 12)):
        exact = infer(model, graph, NOW, entity)[1]
        rows = (seeds.member_S, seeds.job_S)[side] - offset
        np.testing.assert_allclose(got[side].detach().numpy(), exact[rows], atol=2e-6, rtol=0)
