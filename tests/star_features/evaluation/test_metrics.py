"""Metrics against scikit-learn, loops, and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from star_features.errors import DataError, UsageError
from star_features.evaluation import metrics

law = settings(deadline=None, max_examples=50)
rows = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40)


@law
@given(rows)
def test_auc_is_that_of_scikit_learn_with_ties(drawn: list[tuple[bool, int]]) -> None:
    labels, scores = (np.array(column) for column in zip(*drawn, strict=True))
    if len(set(labels.tolist())) == 2:
        assert metrics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


@law
@given(rows)
def test_a_rising_transform_of_the_scores_leaves_auc_as_it_is(
    drawn: list[tuple[bool, int]],
) -> None:
    labels, scores = (np.array(column) for column in zip(*drawn, strict=True))
    bent = metrics.auc(labels, np.exp(scores) * 3 - 7)
    np.testing.assert_equal(bent, metrics.auc(labels, scores))


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], []])
def test_auc_of_one_class_is_nan(labels: list[int]) -> None:
    assert np.isnan(metrics.auc(np.array(labels), np.zeros(len(labels))))


def test_auc_refuses_a_missing_score() -> None:
    with pytest.raises(DataError, match="NaN"):
        metrics.auc(np.array([0, 1]), np.array([0.0, np.nan]))


def test_equal_scores_share_the_mean_of_their_ranks() -> None:
    scores = np.array([[5, 3, 3, 3, -np.inf]], dtype=np.float32)
    jobs = np.array([0, 1, 3])
    assert metrics.ranks(scores, np.zeros(3, dtype=int), jobs).tolist() == [1, 3, 3]


def test_ranks_are_the_same_in_blocks_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random((4, 9), dtype=np.float32)
    members, jobs = np.array([0, 1, 1, 3]), np.array([8, 0, 4, 2])
    whole = metrics.ranks(scores, members, jobs)
    monkeypatch.setattr(metrics, "BLOCK_CELLS", 1)
    assert metrics.ranks(scores, members, jobs).tolist() == whole.tolist()
    assert whole.tolist() == [
        1 + sum(other > scores[m, j] for other in scores[m])
        for m, j in zip(members, jobs, strict=True)
    ]


@law
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_recall_ndcg_and_mrr_are_those_of_loops_and_scikit_learn(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(9, dtype=np.float32), (5, 1)), axis=1)
    held = rng.random((5, 9)) < 0.4
    held[np.arange(5), rng.integers(0, 9, 5)] = True
    members, jobs = held.nonzero()
    ranks = metrics.ranks(scores, members, jobs)
    for m in range(5):
        order = np.argsort(-scores[m])
        hits = held[m][order]
        assert metrics.recall_at(ranks, members, k)[m] == hits[:k].sum() / hits.sum()
        assert metrics.mrr(ranks, members)[m] == 1 / (1 + np.argmax(hits))
        wanted = ndcg_score(held[m : m + 1], scores[m : m + 1], k=k)
        assert metrics.ndcg_at(ranks, members, k)[m] == pytest.approx(wanted)


@law
@given(st.integers(0, 10_000))
def test_the_order_of_pairs_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks, members = rng.integers(1, 9, 12).astype(float), rng.integers(0, 4, 12)
    mixed = rng.permutation(12)
    for metric in (metrics.recall_at, metrics.ndcg_at):
        one, other = metric(ranks, members, 3), metric(ranks[mixed], members[mixed], 3)
        np.testing.assert_allclose(one, other)
    np.testing.assert_equal(metrics.mrr(ranks, members), metrics.mrr(ranks[mixed], members[mixed]))


def test_a_cut_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="a cut at 0"):
        metrics.recall_at(np.array([1.0]), np.array([0]), 0)


def test_the_bootstrap_covers_a_known_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(100):
        sample = rng.normal(3, 1, 60)
        interval = metrics.bootstrap(lambda rows, s=sample: s[rows].mean(), 60, seed, draws=200)
        assert interval.value == pytest.approx(sample.mean())
        hits += interval.low <= 3 <= interval.high
    assert 85 <= hits <= 100


def test_the_bootstrap_repeats_itself_for_one_seed_only() -> None:
    sample = np.arange(30.0)
    one, again, other = (
        metrics.bootstrap(lambda rows: float(sample[rows].mean()), 30, seed, draws=50)
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_the_spread_over_seeds_is_mean_least_and_greatest() -> None:
    assert metrics.seed_spread([0.5, 0.75, 1.0]) == metrics.Interval(0.75, 0.5, 1.0)
    with pytest.raises(UsageError):
        metrics.seed_spread([])


def test_the_error_of_a_gap_is_that_of_drawing_rows_again() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 800)
    one = labels + rng.standard_normal(800)
    other = one + rng.standard_normal(800)
    gap, error = metrics.auc_gap(labels, one, other)
    assert gap == pytest.approx(metrics.auc(labels, one) - metrics.auc(labels, other))
    draws = [rng.integers(0, 800, 800) for _ in range(300)]
    drawn = np.std(
        [metrics.auc(labels[d], one[d]) - metrics.auc(labels[d], other[d]) for d in draws]
    )
    assert error == pytest.approx(drawn, rel=0.15)


def test_equal_scores_have_no_gap_and_no_error_and_one_class_has_neither() -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.2, 0.3])
    assert metrics.auc_gap(labels, scores, scores) == (0.0, 0.0)
    assert np.isnan(metrics.auc_gap(np.ones(4), scores, scores)).all()
