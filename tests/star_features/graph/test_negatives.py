"""Hard negatives: they resemble the taken job, were there by then, and were not taken."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import EmptyInput
from star_features.graph import neighbours
from star_features.graph.labels import labels_of
from star_features.graph.negatives import HardNegatives
from star_features.graph.neighbours import NONE, nearest
from star_features.graph.sampler import Pairs
from star_features.graph.train import train_graph
from star_features.graph.vocabulary import read_graph, vocabulary_of


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12), st.booleans())
def test_nearest_is_what_sorting_all_cosines_finds(seed, count, rows, exact):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 5)).astype(np.float32)
    present = rng.random(rows) < 0.8
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    np.fill_diagonal(cosine, -9)
    cosine[:, ~present] = -9
    limit, neighbours.EXACT = neighbours.EXACT, neighbours.EXACT if exact else 0
    try:
        got = nearest(vectors, present, count)
    finally:
        neighbours.EXACT = limit
    for row in range(rows):
        others = int(present.sum()) - 1 if present[row] else 0
        wanted = np.argsort(-cosine[row])[: min(count, max(others, 0))]
        assert got[row].tolist() == [*wanted.tolist(), *[NONE] * (count - len(wanted))]


def drawn(world, tiny, jobs=None, **changed):
    """The batch of all labels with its hard negatives, and what they were drawn from."""
    one = world(rows=80)
    graph = one.graph() if jobs is None else one.graph(jobs=jobs)
    chosen = tiny.model_copy(update={"hard_negatives": 3, "hard_pool": 4, **changed})
    reading = read_graph(graph, vocabulary_of(graph, chosen))
    labels, _ = labels_of(graph, one.interactions, chosen)
    pairs = Pairs.of(reading.view)
    before = int(np.median(labels.seeds.at_S))
    hard = HardNegatives.of(reading, pairs, before, chosen)
    return graph, labels, hard, hard.added_to(labels, seed=1)


def test_the_batch_comes_first_and_is_as_it_was(world, tiny):
    _, labels, hard, batch = drawn(world, tiny, hard_weight=0.5)
    own = batch.take(np.arange(len(labels)))
    for name in ("member_S", "job_S", "at_S"):
        np.testing.assert_array_equal(getattr(own.seeds, name), getattr(labels.seeds, name))
    np.testing.assert_array_equal(own.taken_S, labels.taken_S)
    np.testing.assert_array_equal(own.weight_S, labels.weight_S)
    assert set(batch.taken_S[len(labels) :]) == {0}
    assert set(batch.weight_S[len(labels) :]) == {0.5}
    assert hard.added_to(labels, seed=1).seeds.job_S.tolist() == batch.seeds.job_S.tolist()
    assert hard.added_to(labels, seed=2).seeds.job_S.tolist() != batch.seeds.job_S.tolist()


def test_a_hard_negative_resembles_a_job_its_member_took_then_and_was_not_taken(world, tiny):
    _, labels, hard, batch = drawn(world, tiny)
    seeds, own = batch.seeds, labels.seeds
    taken = {}
    for member, job, at, took in zip(
        own.member_S, own.job_S, own.at_S, labels.taken_S, strict=True
    ):
        if took:
            taken.setdefault((member, at), []).append(job - hard.first_job)
    assert len(batch) > 1.5 * len(labels)
    for s in range(len(labels), len(batch)):
        like = {r for job in taken[seeds.member_S[s], seeds.at_S[s]] for r in hard.near_JK[job]}
        assert seeds.job_S[s] - hard.first_job in like
        assert not hard.pairs.linked(seeds.member_S[[s]], seeds.job_S[[s]], hard.known_before)[0]
    keys = np.stack([seeds.member_S, seeds.job_S, seeds.at_S], axis=1)
    assert len(np.unique(keys, axis=0)) == len(batch)


def test_a_job_that_is_not_there_yet_is_no_negative(world, tiny, on_days):
    born = on_days([0, 0, 0, 12, 12, 12, 40, 40, 40])
    jobs = world(rows=80).jobs.append_column("updated_at", born)
    graph, labels, _, batch = drawn(world, tiny, jobs=jobs)
    added = batch.seeds.take(np.arange(len(labels), len(batch)))
    assert (graph.since[added.job_S] <= added.at_S).all()
    assert len(np.unique(added.job_S)) > 3


def test_hard_negatives_without_job_texts_are_refused(world, tiny):
    with pytest.raises(EmptyInput, match="which jobs resemble"):
        drawn(world, tiny, use_text=False)


@pytest.mark.parametrize(
    "chosen",
    [
        {"hard_negatives": 2, "hard_pool": 3},
        {"hard_negatives": 2, "hard_pool": 3, "hard_weight": 0.5},
        {"both_sides": True},
        {"popularity_correction": 1.0},
        {"precision": "bfloat16"},
        {"binary_weight": 0.0, "contrastive_weight": 1.0},
        {"contrastive_weight": 0.0},
    ],
    ids=str,
)
def test_every_way_to_tell_taken_from_not_learns(world, tiny, chosen):
    one = world(seed=3, members=40, jobs=30, rows=900)
    settings = tiny.model_copy(update={"batch_size": 64, "epochs": 4, **chosen})
    _, report = train_graph(one.graph(), one.interactions, settings)
    _, plain = train_graph(
        one.graph(), one.interactions, tiny.model_copy(update={"batch_size": 64, "epochs": 4})
    )
    assert report.best_value > 0.75
    assert report.curve[0]["loss"] != plain.curve[0]["loss"]


def test_a_drawn_job_alone_gives_the_binary_loss_nothing_to_refuse(world, tiny):
    one = world(rows=200)
    taken = one.interactions.filter(pa.compute.equal(one.interactions["label"], 1))
    only = {"contrastive_weight": 0.0, "hard_negatives": 2, "hard_pool": 4, "epochs": 1}
    for weight, silent in ((0.0, True), (1.0, False)):
        chosen = tiny.model_copy(update={**only, "hard_weight": weight})
        _, report = train_graph(one.graph(), taken, chosen)
        assert (report.curve[0]["loss"] == 0.0) is silent
