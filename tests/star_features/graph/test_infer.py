"""Exact inference: its laws, and that the sampler with room for all agrees with it."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import DataError, SpaceMismatch
from star_features.graph.infer import infer
from star_features.graph.job_graph import FOREVER
from star_features.graph.sampler import Pairs, draw
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Seeds
from star_features.graph.vocabulary import read_graph
from star_features.spaces import VectorTable

DAY_ONE = np.datetime64("2026-01-01", "us")
NOW = np.datetime64("2026-01-16", "us")
CLOSE = dict(atol=2e-6, rtol=0)


def both(model, graph, as_of=NOW, **how):
    return np.concatenate([infer(model, graph, as_of, e, **how)[1] for e in ("member", "job")])


def since(table, day):
    return np.array([at.day >= day and at.month == 1 for at in table["at"].to_pylist()])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_sampled_with_room_for_all_equals_exact(world, model_of, tiny, layers):
    graph = world().graph()
    chosen = tiny.model_copy(update={"layers": layers, "fan_outs": (10_000,) * layers})
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    at = int(NOW.astype(np.int64))
    pairs = Pairs.of(reading.view)
    ends = np.meshgrid(np.arange(12), np.arange(12, 21), indexing="ij")
    member, job = (a.ravel().astype(np.int64) for a in ends)
    free = ~pairs.linked(member, job, at)  # the others see less: their own edges are hidden
    seeds = Seeds(member[free], job[free], np.full(int(free.sum()), at))
    assert len(seeds) > 20
    got = model(reading, draw(reading.view, pairs, seeds, chosen, seed=0))
    exact = both(model, graph)
    np.testing.assert_allclose(got[0].detach().numpy(), exact[seeds.member_S], **CLOSE)
    np.testing.assert_allclose(got[1].detach().numpy(), exact[seeds.job_S], **CLOSE)


@pytest.mark.parametrize("layers", [2, 3])
def test_a_coarse_sample_at_a_label_on_the_grain_equals_exact(world, model_of, tiny, layers):
    graph = world().graph()
    chosen = tiny.model_copy(
        update={"layers": layers, "fan_outs": (10_000,) * layers, "grain_hours": 24}
    )
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    at, pairs = int(NOW.astype(np.int64)), Pairs.of(reading.view)
    member, job = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(12, 21)))
    free = ~pairs.linked(member, job, at)
    seeds = Seeds(member[free], job[free], np.full(int(free.sum()), at))
    got = model(reading, draw(reading.view, pairs, seeds, chosen, seed=0))
    exact = both(model, graph)
    np.testing.assert_allclose(got[0].detach().numpy(), exact[seeds.member_S], **CLOSE)
    np.testing.assert_allclose(got[1].detach().numpy(), exact[seeds.job_S], **CLOSE)


def test_a_coarse_neighbour_whose_content_is_newer_brings_it_as_a_fresh_one_does(
    world, model_of, tiny, on_days
):
    """A member reads a job of yesterday noon, today: the job with its text and company, the job's
    other takers as of midnight before."""
    one = world(rows=0)
    jobs = one.jobs.append_column("updated_at", on_days([10] * 9))
    rows = pa.table(
        {
            "member_id": ["m1", "m2"],
            "job_id": ["j3", "j3"],
            "kind": ["view", "view"],
            "at": on_days([11, 12]),
        }
    )
    graph = one.graph(jobs=jobs, interactions=rows)
    chosen = tiny.model_copy(update={"fan_outs": (-1, -1), "grain_hours": 24 * 30})
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    day = 86_400_000_000
    at = int(DAY_ONE.astype(np.int64)) + 14 * day
    member, other = graph.rows("member", ["m1"]), graph.rows("job", ["j8"])
    sample = draw(
        reading.view, Pairs.of(reading.view), Seeds(member, other, np.array([at])), chosen, 0
    )
    outer, inner = sample.hops[1], sample.hops[0]
    row = outer.src_E[outer.row_E == sample.member_S[0]]
    job_row = row[inner.node_R[row] == graph.rows("job", ["j3"])[0]]
    assert len(job_row) == 1
    read = sample.node_U[inner.src_E[inner.row_E == job_row[0]]]
    types = {graph.types[np.searchsorted(graph.bounds, n, side="right") - 1] for n in read}
    assert types == {"company", "skills"}, "its own attributes, and no taker of this month"
    assert sample.known_U[inner.self_R[job_row[0]]]


def test_a_pairs_own_edges_change_what_its_label_sees(world, model_of, tiny):
    graph = world().graph()
    chosen = tiny.model_copy(update={"fan_outs": (-1, -1)})
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    pairs = Pairs.of(reading.view)
    source, row = 0, next(j for j in range(12, 21) if pairs.linked(0, j, FOREVER))
    seeds = Seeds(np.array([source]), np.array([row]), np.array([FOREVER]))
    vector = model(reading, draw(reading.view, pairs, seeds, chosen, 0))[0].detach().numpy()[0]
    assert np.abs(vector - both(model, graph, None)[0]).max() > 1e-4


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_rows_of_the_input_changes_nothing(world, model_of, tiny, seed):
    one = world()
    model = model_of(one.graph(), tiny)
    order = np.random.default_rng(seed).permutation(len(one.interactions))
    shuffled = one.graph(interactions=one.interactions.take(pa.array(order)))
    np.testing.assert_array_equal(both(model, one.graph()), both(model, shuffled))


def test_chunks_change_nothing(world, model_of, tiny):
    graph = world().graph()
    model = model_of(graph, tiny)
    whole = both(model, graph)
    for chunk in (1, 4, 7):
        np.testing.assert_allclose(both(model, graph, chunk=chunk), whole, **CLOSE)


def test_a_few_ids_are_what_the_whole_says_in_the_order_asked_for(world, model_of, tiny):
    graph = world().graph()
    model = model_of(graph, tiny)
    ids, all_ND = infer(model, graph, NOW, "job")
    got, some_ND = infer(model, graph, NOW, "job", ["j7", "j2", "j7"])
    assert got.tolist() == ["j7", "j2", "j7"]
    assert ids.tolist()[7] == "j7"
    np.testing.assert_allclose(some_ND, all_ND[[7, 2, 7]], **CLOSE)


def test_edges_at_or_after_the_time_are_not_seen(world, model_of, tiny):
    one = world()
    model = model_of(one.graph(), tiny)
    later = since(one.interactions, 16)
    assert 0 < later.sum() < len(later)
    past = one.graph(interactions=one.interactions.filter(pa.array(~later)))
    np.testing.assert_array_equal(both(model, one.graph()), both(model, past))
    assert np.abs(both(model, one.graph(), None) - both(model, past, None)).max() > 1e-4


def test_a_later_member_and_job_change_nobodys_vector(world, model_of, tiny):
    one, more = world(), world(members=14, jobs=11)
    model = model_of(one.graph(), tiny)
    new = {"member": more.members.slice(12), "job": more.jobs.slice(9)}
    text = {
        e: VectorTable(
            t.space,
            np.concatenate([t.ids, more.text[e].ids[-2:]]),
            np.concatenate([t.vectors_ND, more.text[e].vectors_ND[-2:]]),
        )
        for e, t in one.text.items()
    }
    late = one.interactions.slice(0, 2).to_pylist()
    for row in late:
        row |= {"member_id": "m12", "label": 1, "at": NOW.item()}
    rows = pa.Table.from_pylist(late, one.interactions.schema)
    graph = one.graph(
        members=pa.concat_tables([one.members, new["member"]]),
        jobs=pa.concat_tables([one.jobs, new["job"]]),
        text=text,
        interactions=pa.concat_tables([one.interactions, rows]),
    )
    for entity, known in (("member", 12), ("job", 9)):
        before, after = infer(model, one.graph(), NOW, entity), infer(model, graph, NOW, entity)
        np.testing.assert_allclose(after[1][:known], before[1], **CLOSE)
        assert len(after[1]) == known + 2


def test_a_node_without_edges_is_a_unit_vector_of_its_own_input(world, model_of, tiny):
    one = world(rows=1)
    bare = {"members": one.members.drop_columns(["skills"]), "jobs": one.jobs.select(["job_id"])}
    graph = one.graph(interactions=one.interactions.slice(0, 0), **bare)
    assert graph.edges() == 0
    vectors = both(model_of(one.graph(), tiny), graph)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert min(np.abs(a - b).max() for a, b in pairwise(vectors)) > 1e-4


def test_a_node_with_neither_text_nor_edges_is_a_unit_vector(world, model_of, tiny):
    one = world()
    text = {e: VectorTable(t.space, t.ids[:5], t.vectors_ND[:5]) for e, t in one.text.items()}
    graph = one.graph(text=text, interactions=one.interactions.slice(0, 0))
    vectors = both(model_of(one.graph(), tiny), graph)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_company_that_the_model_never_saw_reads_the_unknown_row(world, model_of, tiny):
    one = world()
    model = model_of(one.graph(), tiny)
    vectors = []
    for name in ("brand new", "newer still"):
        company = pa.array([name, *one.jobs["company_id"].to_pylist()[1:]])
        jobs = one.jobs.set_column(1, "company_id", company)
        vectors.append(infer(model, one.graph(jobs=jobs), NOW, "job", ["j0"])[1])
    np.testing.assert_array_equal(*vectors)
    assert np.abs(vectors[0] - infer(model, one.graph(), NOW, "job", ["j0"])[1]).max() > 1e-4


def test_edges_of_a_kind_that_the_model_never_saw_are_not_read(world, model_of, tiny):
    one = world()
    model = model_of(one.graph(), tiny)
    kinds = pa.array(np.where(since(one.interactions, 10), "dance", one.interactions["kind"]))
    danced = one.interactions.set_column(2, "kind", kinds)
    without = one.interactions.filter(pa.array(~since(one.interactions, 10)))
    np.testing.assert_array_equal(
        both(model, one.graph(interactions=danced)), both(model, one.graph(interactions=without))
    )


def test_an_unknown_id_is_refused(world, model_of, tiny):
    graph = world().graph()
    with pytest.raises(DataError, match="unknown job ids"):
        infer(model_of(graph, tiny), graph, NOW, "job", ["j1", "nobody"])


def test_text_of_another_space_is_refused(world, model_of, tiny):
    one = world()
    model = model_of(one.graph(), tiny)
    job = one.text["job"]
    other = one.text | {"job": VectorTable("job_text_v2@z", job.ids, job.vectors_ND)}
    with pytest.raises(SpaceMismatch, match="job_text_v2@z"):
        infer(model, one.graph(text=other), NOW, "job")


def test_switches_close_what_they_name(world, model_of, tiny):
    one = world()
    rng = np.random.default_rng(3)
    job = one.text["job"]
    noise = rng.normal(size=job.vectors_ND.shape).astype(np.float32)
    text = one.text | {"job": VectorTable(job.space, job.ids, noise)}
    place = one.members.set_column(1, "place", pa.array(["Oslo"] * 12))
    company = one.jobs.set_column(1, "company_id", pa.array(["c1"] * 9))
    for switch, changed in (
        ("use_text", {"text": text}),
        ("use_categorical", {"members": place}),
        ("use_attributes", {"jobs": company}),
    ):
        for value, same in ((True, False), (False, True)):
            model = model_of(one.graph(), tiny.model_copy(update={switch: value}))
            gap = np.abs(both(model, one.graph()) - both(model, one.graph(**changed))).max()
            assert (gap == 0) == same, switch


def test_settings_with_ids_tell_equal_members_apart(world, model_of, tiny):
    one = world()
    empty = one.interactions.slice(0, 0)
    alike = {
        "member": VectorTable("member_text_v1@t", one.text["member"].ids, np.ones((12, 8), "f4"))
    }
    bare = {"members": one.members.select(["member_id"]), "text": alike, "interactions": empty}
    plain = GraphSettings(**tiny.model_dump() | {"use_ids": False})
    graph = one.graph(**bare)
    without = infer(model_of(graph, plain), graph, None, "member")[1]
    with_ids = infer(
        model_of(graph, plain.model_copy(update={"use_ids": True})), graph, None, "member"
    )[1]
    assert np.ptp(without, axis=0).max() < 1e-6
    assert np.ptp(with_ids, axis=0).max() > 1e-2
