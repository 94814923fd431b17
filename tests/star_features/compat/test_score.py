"""Scores before and after: how far they moved, and how a calibration moves them back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.isotonic import IsotonicRegression

from star_features.compat.score import isotonic, ks_distance, quantiles
from star_features.errors import DataError

law = settings(deadline=None, max_examples=60)
scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)
scored_twice = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=40
).map(lambda pairs: np.array(pairs, dtype=np.float64).T)


@law
@given(scores, scores)
def test_the_distance_is_that_of_scipy_with_ties(one: list[float], other: list[float]) -> None:
    wanted = ks_2samp(one, other, method="asymp").statistic
    assert ks_distance(np.array(one), np.array(other)) == pytest.approx(wanted)


def test_the_distance_runs_from_zero_to_one() -> None:
    assert ks_distance(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == 0
    assert ks_distance(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1


@law
@given(scored_twice)
def test_a_calibration_never_falls_nor_leaves_the_native_scores(pairs) -> None:
    mapped, native = pairs
    seen = np.unique(mapped)
    for calibration in (isotonic(mapped, native), quantiles(mapped, native)):
        assert (np.diff(calibration(seen)) >= 0).all()
        assert native.min() <= calibration(seen).min()
        assert calibration(seen).max() <= native.max()


@law
@given(st.permutations(range(12)))
def test_pairs_that_were_told_apart_are_told_apart_after_it(order: list[int]) -> None:
    mapped, native = np.arange(12.0), np.array(order, dtype=np.float64)
    for calibration in (isotonic(mapped, native), quantiles(mapped, native)):
        assert (np.diff(calibration(mapped)) > 0).all()


@law
@given(scored_twice)
def test_pools_are_those_of_isotonic_regression(pairs) -> None:
    mapped, native = pairs
    plain = IsotonicRegression().fit(mapped, native)
    calibration = isotonic(mapped, native)
    for level in np.unique(plain.predict(mapped)):
        pool = mapped[np.isclose(plain.predict(mapped), level)]
        inside = calibration(np.array([pool.mean()]))[0]
        assert inside == pytest.approx(level, abs=1e-9)


def test_what_was_bent_is_straightened() -> None:
    native = np.random.default_rng(0).random(4000)
    bent = native**3 / 2 - 1
    unseen = np.random.default_rng(1).random(4000)
    for fit in (isotonic, quantiles):
        assert ks_distance(unseen, unseen**3 / 2 - 1) == 1
        assert ks_distance(unseen, fit(bent, native)(unseen**3 / 2 - 1)) < 0.03


def test_quantiles_keep_the_share_above_a_threshold_where_isotonic_narrows_it() -> None:
    rng = np.random.default_rng(0)
    native = rng.standard_normal(5000)
    mapped = 3 + native + rng.standard_normal(5000)
    assert ks_distance(native, quantiles(mapped, native)(mapped)) < 0.01
    assert 0.05 < ks_distance(native, isotonic(mapped, native)(mapped)) < 0.3


def test_a_calibration_of_many_scores_stays_small() -> None:
    native = np.random.default_rng(0).random(5000)
    assert len(isotonic(native, native).mapped_K) <= 1000
    assert len(quantiles(native, native).mapped_K) <= 1000


@pytest.mark.parametrize("bad", [[], [np.nan], [np.inf]])
def test_scores_that_are_no_numbers_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError, match="star compat report"):
        ks_distance(np.array(bad), np.array([1.0]))


def test_scores_of_different_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="2 mapped and 3 native"):
        isotonic(np.ones(2), np.ones(3))
