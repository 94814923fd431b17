"""Content has a time: nobody sees a text, a category or an attribute before it was there.

The stand-in that every law leans on: a world in which the rows that are not known yet have been
emptied by hand, and which knows nothing of `updated_at`.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.graph.infer import infer
from star_features.graph.job_graph import ALWAYS, ENTITIES, FOREVER
from star_features.graph.labels import labels_of
from star_features.graph.sampler import Pairs, draw
from star_features.graph.temporal import Seeds, age_in_days
from star_features.graph.train import _identity, train_graph
from star_features.graph.vocabulary import read_graph
from star_features.spaces import VectorTable

MICRO = np.timedelta64(1, "us")
CLOSE = dict(atol=2e-6, rtol=0)
SIZE = {"member": 12, "job": 9}


def day(number):
    return np.datetime64("2026-01-01", "us") + np.timedelta64(number, "D")


def both(model, graph, as_of, **how):
    return np.concatenate([infer(model, graph, as_of, e, **how)[1] for e in ENTITIES])


def dated(one, on_days, edits):
    """The world with `updated_at`: 12 members' days, then 9 jobs' days."""
    return replace(
        one,
        members=one.members.append_column("updated_at", on_days(edits[:12])),
        jobs=one.jobs.append_column("updated_at", on_days(edits[12:])),
    )


def with_content(one, chosen, *, text, place, skills, company):
    """The world with this content in the rows chosen (a flag for each member, then each job)."""
    tables = {"member": one.members, "job": one.jobs}
    texts = dict(one.text)
    for entity, hit in zip(ENTITIES, np.split(np.asarray(chosen), [12]), strict=True):
        for name, value in {"place": place, "skills": skills, "company_id": company}.items():
            if name in (columns := tables[entity].column_names):
                old = tables[entity][name].to_pylist()
                new = [value if h else o for h, o in zip(hit, old, strict=True)]
                column = pa.array(new, tables[entity].schema.field(name).type)
                tables[entity] = tables[entity].set_column(columns.index(name), name, column)
        vectors_ND = one.text[entity].vectors_ND.copy()
        vectors_ND[hit] = text
        texts[entity] = VectorTable(one.text[entity].space, one.text[entity].ids, vectors_ND)
    return replace(one, members=tables["member"], jobs=tables["job"], text=texts)


def emptied(one, chosen):
    return with_content(one, chosen, text=0, place=None, skills=[], company=None)


def rewritten(one, chosen):
    return with_content(one, chosen, text=[5, 4, 3, 2, 1, 0, 0, 1], place="Bern",
                        skills=["s2", "s0"], company="c2")  # fmt: skip


EDITS = st.lists(st.integers(0, 30), min_size=21, max_size=21)


@settings(max_examples=25, deadline=None)
@given(edits=EDITS, now=st.integers(0, 31), before=st.booleans())
def test_a_vector_is_that_of_a_world_where_later_content_is_empty(
    world, model_of, tiny, on_days, edits, now, before
):
    one = world()
    model = model_of(one.graph(), tiny)
    as_of = day(now) - before * MICRO
    late = np.array(edits) >= now if before else np.array(edits) > now
    got = both(model, dated(one, on_days, edits).graph(), as_of)
    np.testing.assert_allclose(got, both(model, emptied(one, late).graph(), as_of), **CLOSE)


@settings(max_examples=15, deadline=None)
@given(edits=EDITS, now=st.integers(0, 29))
def test_content_from_after_the_time_changes_nobodys_vector(
    world, model_of, tiny, on_days, edits, now
):
    one = dated(world(), on_days, edits)
    model = model_of(world().graph(), tiny)
    other = rewritten(one, np.array(edits) > now)
    np.testing.assert_array_equal(
        both(model, one.graph(), day(now)), both(model, other.graph(), day(now))
    )
    if max(edits) > now:
        gap = both(model, one.graph(), None) - both(model, other.graph(), None)
        assert np.abs(gap).max() > 1e-4


def test_a_vector_exactly_at_an_edit_sees_it_and_just_before_it_does_not(
    world, model_of, tiny, on_days
):
    one = world()
    graph = dated(one, on_days, [7] * 21).graph()
    model = model_of(one.graph(), tiny)
    np.testing.assert_array_equal(both(model, graph, day(7)), both(model, one.graph(), day(7)))
    empty, just_before = emptied(one, [True] * 21).graph(), day(7) - MICRO
    np.testing.assert_allclose(
        both(model, graph, just_before), both(model, empty, just_before), **CLOSE
    )
    assert np.abs(both(model, graph, just_before) - both(model, graph, day(7))).max() > 1e-3


def test_interactions_of_a_node_that_is_edited_later_stay_visible(world, model_of, tiny, on_days):
    one = dated(world(), on_days, [0] * 12 + [20] * 9)
    model = model_of(world().graph(), tiny)
    without = replace(one, interactions=one.interactions.slice(0, 0))
    vectors, bare = (infer(model, w.graph(), day(19), "job")[1] for w in (one, without))
    assert np.abs(vectors - bare).max(axis=1).min() > 1e-4
    np.testing.assert_allclose(bare, np.tile(bare[:1], (9, 1)), **CLOSE)


def test_a_learned_row_is_content_too(world, model_of, tiny, on_days):
    chosen = tiny.model_copy(update={"use_ids": True})
    model = model_of(world().graph(), chosen)
    graph = dated(world(), on_days, [0, 0] + [20] * 19).graph()
    vectors = infer(model, graph, day(0), "member")[1]  # no interaction yet: content is all
    assert np.ptp(vectors[2:], axis=0).max() < 1e-6
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_sampled_with_room_for_all_equals_exact_at_every_labels_own_time(
    world, model_of, tiny, on_days, layers
):
    rng = np.random.default_rng(layers)
    graph = dated(world(), on_days, rng.integers(0, 30, 21).tolist()).graph()
    chosen = tiny.model_copy(update={"layers": layers, "fan_outs": (10_000,) * layers})
    model = model_of(graph, chosen)
    reading = read_graph(graph, model.vocabulary)
    pairs, times = Pairs.of(reading.view), [day(4), day(10), day(10) - MICRO, day(22)]
    member, job, which = (
        a.ravel() for a in np.meshgrid(np.arange(12), np.arange(12, 21), np.arange(4))
    )
    at = np.array(times).astype(np.int64)[which]
    free = ~pairs.linked(member, job, at)  # the others see less: their own edges are hidden
    seeds = Seeds(member[free], job[free], at[free])
    sample = draw(reading.view, pairs, seeds, chosen, seed=0)
    got = [part.detach().numpy() for part in model(reading, sample)]
    exact = np.stack([both(model, graph, time) for time in times])
    np.testing.assert_allclose(got[0], exact[which[free], seeds.member_S], **CLOSE)
    np.testing.assert_allclose(got[1], exact[which[free], seeds.job_S], **CLOSE)
    known_by_some = set(sample.node_U[sample.known_U]) & set(sample.node_U[~sample.known_U])
    assert known_by_some, "no node stood there with its content and without it"


def test_the_first_layer_reads_every_node_once_where_all_content_is_known(
    world, model_of, tiny, on_days
):
    one = dated(world(), on_days, [0] * 21)
    graph = one.graph()
    reading = read_graph(graph, model_of(graph, tiny).vocabulary)
    labels, _ = labels_of(graph, one.interactions, tiny)
    sample = draw(reading.view, Pairs.of(reading.view), labels.seeds, tiny, seed=0)
    assert sample.known_U.all()
    assert len(np.unique(sample.node_U)) == len(sample.node_U)


@pytest.mark.parametrize("pick", ["recent", "uniform"])
def test_a_batch_does_not_depend_on_content_from_after_its_labels(
    world, model_of, tiny, on_days, pick
):
    rng = np.random.default_rng(1)
    edits = rng.integers(0, 30, 21)
    one = dated(world(), on_days, edits.tolist())
    chosen = tiny.model_copy(update={"pick": pick, "fan_outs": (3, 2)})
    model = model_of(world().graph(), chosen)
    labels, _ = labels_of(one.graph(), one.interactions, chosen)
    early = labels.take(np.flatnonzero(labels.seeds.at_S < day(12).astype(np.int64)))
    vectors = []
    for two in (one, rewritten(one, edits >= 12)):
        reading = read_graph(two.graph(), model.vocabulary)
        sample = draw(reading.view, Pairs.of(reading.view), early.seeds, chosen, seed=3)
        vectors.append(torch.cat(model(reading, sample)).detach().numpy())
    np.testing.assert_array_equal(*vectors)


def test_content_from_after_the_last_label_changes_no_weight(world, tiny, on_days):
    edits = np.where(np.isin(np.arange(21), [4, 13]), 40, 0)  # others use the same names
    one = dated(world(rows=200), on_days, edits.tolist())
    chosen = tiny.model_copy(update={"epochs": 1})
    mine, others = (
        train_graph(w.graph(), one.interactions, chosen)[0].state_dict()
        for w in (one, rewritten(one, edits > 30))
    )
    assert all(torch.equal(mine[k], others[k]) for k in mine)


def test_a_checkpoint_belongs_to_the_times_of_its_content(world, tiny, on_days):
    one = world()
    bare = replace(one, members=one.members.select(["member_id"]), jobs=one.jobs.select(["job_id"]))
    labels, _ = labels_of(one.graph(), one.interactions, tiny)
    graphs = [dated(bare, on_days, [edited_on] * 21).graph() for edited_on in (0, 1)]
    first, other = (_identity(graph, labels, tiny, None) for graph in graphs)
    assert first != other


@pytest.mark.parametrize(("time", "edited_on"), [("strict", 0), ("none", 15)])
def test_content_that_all_labels_know_trains_as_content_without_a_time(
    world, tiny, on_days, time, edited_on
):
    one = world(rows=200)
    chosen = tiny.model_copy(update={"epochs": 1, "time": time})
    plain, timed = (
        train_graph(w.graph(), one.interactions, chosen)[0].state_dict()
        for w in (one, dated(one, on_days, [edited_on] * 21))
    )
    assert all(torch.equal(plain[k], timed[k]) for k in plain)


def test_a_fresh_one_sees_its_own_content_and_nobody_elses_later_one(
    world, model_of, tiny, on_days
):
    edits = np.array([20, 25] + [0] * 10 + [20, 0, 20] + [0] * 6)
    late = edits > 10
    one = dated(world(), on_days, edits.tolist())
    model = model_of(world().graph(), tiny)
    plain, fresh = (both(model, one.graph(), day(10), fresh=f) for f in (False, True))
    np.testing.assert_array_equal(plain[~late], fresh[~late])
    assert np.abs(plain[late] - fresh[late]).max(axis=1).min() > 1e-4
    for node in np.flatnonzero(late):
        others = rewritten(one, late & (np.arange(21) != node)).graph()
        own = rewritten(one, np.arange(21) == node).graph()
        np.testing.assert_array_equal(both(model, others, day(10), fresh=True)[node], fresh[node])
        changed = both(model, own, day(10), fresh=True)
        assert np.abs(changed[node] - fresh[node]).max() > 1e-4
        np.testing.assert_array_equal(np.delete(changed, node, 0), np.delete(fresh, node, 0))


def test_where_nothing_has_a_time_of_its_own_nobody_is_fresh(world, model_of, tiny):
    graph = world().graph()
    model = model_of(graph, tiny)
    for as_of in (day(10), None):
        plain, fresh = (both(model, graph, as_of, fresh=f) for f in (False, True))
        np.testing.assert_array_equal(plain, fresh)


def test_a_fresh_one_alone_is_what_it_is_among_all(world, model_of, tiny, on_days):
    one = dated(world(), on_days, [20] * 21)
    graph, model = one.graph(), model_of(world().graph(), tiny)
    together = infer(model, graph, day(10), "job", fresh=True)[1]
    for row, key in enumerate(graph.nodes["job"].ids.tolist()):
        alone = infer(model, graph, day(10), "job", [key], fresh=True)[1][0]
        np.testing.assert_allclose(alone, together[row], **CLOSE)


def test_a_fresh_one_whom_nobody_reads_is_as_if_it_had_been_there_before(
    world, model_of, tiny, on_days
):
    one = world()
    alone = [key != "m4" for key in one.interactions["member_id"].to_pylist()]
    one = replace(one, interactions=one.interactions.filter(pa.array(alone)))
    model = model_of(one.graph(), tiny)
    fresh = dated(one, on_days, [20 if i == 4 else 0 for i in range(21)]).graph()
    got = infer(model, fresh, day(10), "member", ["m4"], fresh=True)[1]
    wanted = infer(model, one.graph(), day(10), "member", ["m4"])[1]
    np.testing.assert_allclose(got, wanted, **CLOSE)


def test_a_fresh_one_has_no_interaction_of_after_the_time(world, model_of, tiny, on_days):
    one = dated(world(), on_days, [20] * 21)
    model = model_of(world().graph(), tiny)
    early = [at < day(10).item() for at in (t.replace(tzinfo=None) for t in
             one.interactions["at"].to_pylist())]  # fmt: skip
    past = replace(one, interactions=one.interactions.filter(pa.array(early)))
    assert 0 < sum(early) < len(early)
    np.testing.assert_array_equal(
        both(model, one.graph(), day(10), fresh=True),
        both(model, past.graph(), day(10), fresh=True),
    )


def test_rows_bring_their_time_and_attributes_have_none(world, on_days):
    graph = dated(world(), on_days, range(21)).graph()
    for entity, first in (("member", 0), ("job", 12)):
        wanted = [day(first + i).astype(np.int64) for i in range(SIZE[entity])]
        assert graph.nodes[entity].since_N.tolist() == wanted
    assert set(graph.nodes["skills"].since_N.tolist()) == {ALWAYS}
    assert set(world().graph().nodes["job"].since_N.tolist()) == {ALWAYS}


def test_an_edge_without_a_time_waits_for_both_its_ends(world, on_days):
    def edge(src, relation, dst_type, dst, at):
        return {"src_type": "member", "src_id": src, "relation": relation,
                "dst_type": dst_type, "dst_id": dst, "at": at}  # fmt: skip

    early = on_days([3])[0].as_py()
    rows = [edge("m1", "follows", "member", "m2", None), edge("m2", "did", "course", "x", None),
            edge("m3", "did", "course", "y", early)]  # fmt: skip
    schema = pa.schema(
        [(k, pa.timestamp("us", "UTC") if k == "at" else pa.string()) for k in rows[0]]
    )
    edges = pa.Table.from_pylist(rows, schema)
    timed = dated(world(), on_days, [5, 9, 7, 8] + [0] * 17).graph(edges=edges)
    untimed = world().graph(edges=edges)

    def seen(graph, name):
        return next(r for r in graph.relations if r.name == name).after_E.tolist()

    content = [int(day(n).astype(np.int64)) - 1 for n in (9, 7)]
    own = int(day(3).astype(np.int64))
    assert seen(timed, "member-follows>member") == seen(timed, "member-~follows>member")
    assert seen(timed, "member-follows>member") == [content[0]]
    assert seen(timed, "course-~did>member") == [content[1], own]
    assert seen(untimed, "course-~did>member") == [ALWAYS, own]
    assert set(seen(untimed, "skills>job")) == {ALWAYS}


def test_a_pair_is_linked_by_an_edge_without_a_time_once_both_its_ends_are_there(
    world, model_of, tiny, on_days
):
    ends = {"src_type": ["member"], "src_id": ["m1"], "dst_type": ["job"], "dst_id": ["j0"]}
    edges = pa.table(ends | {"relation": ["was referred to"]})
    one = dated(world(rows=1), on_days, [9] * 21)
    graph = replace(one, interactions=one.interactions.slice(0, 0)).graph(edges=edges)
    pairs = Pairs.of(read_graph(graph, model_of(graph, tiny).vocabulary).view)
    at = np.array([day(9) - MICRO, day(9)]).astype(np.int64)
    assert pairs.linked(np.array([1, 1]), np.array([12, 12]), at).tolist() == [False, True]


def test_an_edge_newer_than_its_viewer_has_no_age():
    at = np.array([0, 5, ALWAYS])
    assert age_in_days(np.array([1, 1, 1]), at)[1:].tolist() == [0, 0]
    assert age_in_days(np.array([FOREVER]), at[:1]).tolist() == [0]
    assert age_in_days(np.array([86_400_000_000]), at[:1])[0] == pytest.approx(np.log(2))
