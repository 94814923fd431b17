"""The temporal sampler's laws, against brute force over all edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import UsageError
from star_features.graph.job_graph import FOREVER
from star_features.graph.labels import labels_of
from star_features.graph.sampler import Pairs, contexts, draw
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import NOBODY, Seeds, distinct, in_edges
from star_features.graph.vocabulary import read_graph, vocabulary_of


def view_of(graph, chosen):
    return read_graph(graph, vocabulary_of(graph, chosen)).view


def all_edges(view):
    """Every edge as (source, destination, type, time): the plain form of a view."""
    found = []
    for relation, type_of in zip(view.relations, view.type_of, strict=True):
        low, _ = view.span(relation.dst_type)
        for row in range(len(relation.indptr_N1) - 1):
            for e in range(relation.indptr_N1[row], relation.indptr_N1[row + 1]):
                edge_type = int(type_of[relation.kind_E[e]])
                found.append((int(relation.src_E[e]), low + row, edge_type, int(relation.at_E[e])))
    return found


def seeds_of(graph, table, chosen, rng, size):
    labels, _ = labels_of(graph, table, chosen)
    return labels.take(rng.permutation(len(labels))[:size]).seeds


@pytest.mark.parametrize("grain", [0, 60])
@pytest.mark.parametrize("pick", ["recent", "uniform"])
def test_no_sampled_edge_is_new_or_false_or_the_pairs_own(world, pick, grain):
    one = world(rows=400)
    graph = one.graph()
    chosen = GraphSettings(pick=pick, fan_outs=(3, 2), hidden=8, heads=2, grain_hours=grain)
    view = view_of(graph, chosen)
    pairs, edges, rng = Pairs.of(view), set(all_edges(view)), np.random.default_rng(0)
    met = 0
    for batch in range(6):
        seeds = seeds_of(graph, one.interactions, chosen, rng, 1)
        for s in range(len(seeds)):  # one seed at a time: then every row has the seed's time
            member, job, at = (int(a[s]) for a in (seeds.member_S, seeds.job_S, seeds.at_S))
            sample = draw(view, pairs, seeds.take(np.array([s])), chosen, batch)
            sources = [sample.node_U, *(hop.node_R for hop in sample.hops[:-1])]
            for hop, source_U in zip(sample.hops, sources, strict=True):
                for src, row, kind in zip(hop.src_E, hop.row_E, hop.type_E, strict=True):
                    u, v = int(source_U[src]), int(hop.node_R[row])
                    times = [t for a, b, k, t in edges if (a, b, k) == (u, v, kind)]
                    assert times, "a sampled edge is no true edge"
                    assert min(times) < at
                    assert {u, v} != {member, job}
                    met += 1
    assert met > 50


@pytest.mark.parametrize("pick", ["recent", "uniform"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_in_edges_are_what_brute_force_finds(world, pick, data):
    graph = world(seed=data.draw(st.integers(0, 5)), rows=200).graph()
    view = view_of(graph, GraphSettings())
    plain = all_edges(view)
    size = data.draw(st.integers(1, 8))
    node = np.array(data.draw(st.lists(st.integers(0, 20), min_size=size, max_size=size)))
    stamps = [*sorted({t for *_, t in plain}), FOREVER]
    time = np.array(data.draw(st.lists(st.sampled_from(stamps), min_size=size, max_size=size)))
    hidden = np.array(data.draw(st.lists(st.integers(-1, 20), min_size=size, max_size=size)))
    limit = data.draw(st.sampled_from([-1, 0, 1, 3, 1000]))
    found = in_edges(view, node, time, hidden, lambda _: limit, recent=pick == "recent", seed=1)
    got = list(zip(found.row_E, found.src_E, found.type_E, found.at_E, strict=True))
    for row in range(size):
        mine = sorted((s, k, t) for r, s, k, t in got if r == row)
        for relation, type_of in zip(view.relations, view.type_of, strict=True):
            kinds = set(type_of.tolist())
            seen = [
                (s, k, t)
                for s, d, k, t in plain
                if d == node[row] and t < time[row] and s != hidden[row] and k in kinds
            ]
            sampled = [e for e in mine if e[1] in kinds]
            wanted = len(seen) if limit < 0 else min(limit, len(seen))
            assert len(sampled) == wanted, relation.name
            assert all(sampled.count(e) <= seen.count(e) for e in sampled)
            if pick == "recent" and 0 < wanted < len(seen):
                latest = sorted((t for *_, t in seen), reverse=True)[:wanted]
                assert sorted((t for *_, t in sampled), reverse=True) == latest


def test_uniform_draws_every_neighbour_about_equally_often(world):
    graph = world(rows=400).graph()
    view = view_of(graph, GraphSettings())
    node, count = np.zeros(2_000, np.int64), {}
    job_to_member = [e for e in all_edges(view) if e[1] == 0 and e[0] < 21]
    full = np.full(len(node), FOREVER)
    found = in_edges(
        view, node, full, np.full(len(node), NOBODY),
        lambda name: 2 if name == "job>member" else 0, recent=False, seed=3,
    )  # fmt: skip
    for edge in zip(found.src_E, found.at_E, found.type_E, strict=True):
        count[edge] = count.get(edge, 0) + 1
    expected = 2 * len(node) / len(job_to_member)
    distinct = {e: sum((s, t, k) == e for s, _, k, t in job_to_member) for e in count}
    assert len(distinct) == len({(s, t, k) for s, _, k, t in job_to_member})
    assert all(abs(n / distinct[e] - expected) < 0.2 * expected for e, n in count.items())


def test_edges_are_drawn_by_chance_from_among_many_too(world):
    """The other way to draw: a node of hundreds of edges, a few of them hidden."""
    graph = world(rows=3000, members=3, jobs=4).graph()
    view = view_of(graph, GraphSettings())
    plain = [e for e in all_edges(view) if e[1] == 0 and e[0] >= 3 and e[0] < 7]
    hidden = plain[0][0]
    seen = [e for e in plain if e[0] != hidden]
    assert len(seen) > 4 * 5
    full = np.full(4_000, FOREVER)
    found = in_edges(
        view, np.zeros(4_000, np.int64), full, np.full(4_000, hidden),
        lambda name: 5 if name == "job>member" else 0, recent=False, seed=3,
    )  # fmt: skip
    assert len(found.src_E) == 5 * 4_000
    assert hidden not in found.src_E
    drawn = np.array(sorted(zip(found.src_E, found.at_E, strict=True)))
    _, count = np.unique(drawn, axis=0, return_counts=True)
    times = [sum((s, t) == (e[0], e[3]) for s, _, _, t in seen) for e in seen]
    share = {(e[0], e[3]): n for e, n in zip(seen, times, strict=True)}
    expected = (
        np.array([share[tuple(key)] for key in np.unique(drawn, axis=0)]) * 20_000 / len(seen)
    )
    assert len(count) == len(share)
    np.testing.assert_allclose(count, expected, atol=5 * np.sqrt(expected.max()))
    for row in range(0, 20_000, 5):
        edges = list(zip(found.src_E[row : row + 5], found.at_E[row : row + 5], strict=True))
        assert all(edges.count(e) <= share[e] for e in edges)


def test_distinct_is_unique_with_the_places(world):
    rng = np.random.default_rng(0)
    for size, kinds in ((0, 1), (1, 1), (50, 3), (2_000, 700), (2_000, 10**15)):
        keys = rng.integers(0, kinds, size)
        for got, wanted in zip(distinct(keys), np.unique(keys, return_inverse=True), strict=True):
            np.testing.assert_array_equal(got, wanted)


def seen_by(sample, s):
    """What seed `s` reads, as a tree: per end, each edge with all that its source reads in turn."""
    inner, outer = sample.hops
    trees = []
    for end in (sample.member_S[s], sample.job_S[s]):
        tree = []
        for src, kind in zip(
            outer.src_E[outer.row_E == end], outer.type_E[outer.row_E == end], strict=True
        ):
            mine = inner.row_E == src
            leaves = zip(sample.node_U[inner.src_E[mine]], inner.type_E[mine], strict=True)
            tree.append((int(inner.node_R[src]), int(kind), sorted(leaves)))
        trees.append(sorted(tree))
    return trees


def test_a_label_sees_in_a_batch_what_it_sees_alone(world):
    one = world(rows=400, members=30, jobs=30)
    graph = one.graph()
    chosen = GraphSettings(fan_outs=(-1, -1), hidden=8, heads=2)
    view = view_of(graph, chosen)
    pairs = Pairs.of(view)
    seeds = seeds_of(graph, one.interactions, chosen, np.random.default_rng(1), 80)
    whole = draw(view, pairs, seeds, chosen, 0)
    alone = [draw(view, pairs, seeds.take(np.array([s])), chosen, 0) for s in range(len(seeds))]
    for s in range(len(seeds)):
        assert seen_by(whole, s) == seen_by(alone[s], 0)
    apart = sum(len(sample.hops[0].node_R) for sample in alone)
    assert len(whole.hops[0].node_R) < 0.6 * apart


def test_a_grain_shares_rows_and_shows_nothing_newer(world):
    one = world(rows=400)
    graph = one.graph()
    view = view_of(graph, GraphSettings())
    pairs = Pairs.of(view)
    plain = GraphSettings(hidden=8, heads=2)
    coarse = plain.model_copy(update={"grain_hours": 24 * 7})
    seeds = seeds_of(graph, one.interactions, plain, np.random.default_rng(0), 60)
    exact, shared = (draw(view, pairs, seeds, chosen, 0) for chosen in (plain, coarse))
    assert shared.hops[0].n_src <= exact.hops[0].n_src
    assert len(shared.hops[0].node_R) < len(exact.hops[0].node_R)
    np.testing.assert_array_equal(shared.hops[1].row_E, exact.hops[1].row_E)


def test_the_same_seed_draws_the_same_edges_and_another_one_others(world):
    one = world(rows=400)
    chosen = GraphSettings(pick="uniform", fan_outs=(2, 2), hidden=8, heads=2)
    graph = one.graph()
    view = view_of(graph, chosen)
    seeds = seeds_of(graph, one.interactions, chosen, np.random.default_rng(0), 40)
    first, again, other = (draw(view, Pairs.of(view), seeds, chosen, s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.hops[0].src_E, again.hops[0].src_E)
    same = len(first.hops[0].src_E) == len(other.hops[0].src_E)
    assert not (same and np.array_equal(first.hops[0].src_E, other.hops[0].src_E))


def test_only_a_pair_with_an_earlier_edge_of_its_own_needs_its_own_context(world):
    graph = world().graph()
    view = view_of(graph, GraphSettings())
    source, row, _, at = min(
        (e for e in all_edges(view) if e[0] < 12 and 12 <= e[1] < 21), key=lambda e: e[3]
    )
    ends = np.array([source, source]), np.array([row, row])
    seen, context_S = contexts(Seeds(*ends, np.array([at, at + 1])), Pairs.of(view))
    assert seen.hidden(np.array([source, source]), context_S).tolist() == [NOBODY, row]
    assert seen.hidden(np.array([row, row]), context_S).tolist() == [NOBODY, source]
    assert seen.hidden(np.array([5]), context_S[1:]).tolist() == [NOBODY]


def test_without_times_a_label_sees_everything_but_its_own_pair(world):
    one = world()
    graph, chosen = one.graph(), GraphSettings(time="none", fan_outs=(-1, -1))
    view = view_of(graph, chosen)
    taken = next(row for row in one.interactions.to_pylist() if row["label"] == 1)
    member = graph.rows("member", [taken["member_id"]])
    job = graph.rows("job", [taken["job_id"]])
    sample = draw(view, Pairs.of(view), Seeds(member, job, np.array([FOREVER])), chosen, 0)
    outer, inner = sample.hops[1], sample.hops[0]
    mine = outer.row_E == sample.member_S[0]
    read = sorted(inner.node_R[outer.src_E[mine]].tolist())
    wanted = sorted(s for s, d, *_ in all_edges(view) if d == member[0] and s != job[0])
    assert read == wanted


def test_a_batch_with_a_seed_twice_is_refused(world):
    graph = world().graph()
    view = view_of(graph, GraphSettings())
    twice = Seeds(np.array([0, 0]), np.array([12, 12]), np.array([5, 5]))
    with pytest.raises(UsageError, match="twice"):
        draw(view, Pairs.of(view), twice, GraphSettings(), 0)
