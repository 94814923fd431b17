"""Moments are those of numpy, however the rows were cut, merged or shifted."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from star_features.compat.moments import Moments, PairMoments

law = settings(deadline=None, max_examples=30)
cuts = st.lists(st.integers(0, 60), max_size=5)


def drawn(rows: int, width: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((rows, width)) + np.arange(width)


def moments_of(blocks: list[NDArray[Any]]) -> Moments:
    moments = Moments(blocks[0].shape[1])
    for block in blocks:
        moments.add(block)
    return moments


@law
@given(cuts, st.integers(0, 99))
def test_moments_of_blocks_are_those_of_all_rows(cuts: list[int], seed: int) -> None:
    rows = drawn(60, 3, seed)
    moments = moments_of(np.split(rows, sorted(cuts)))
    np.testing.assert_allclose(moments.mean_D, rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T, bias=True), atol=1e-12)


@law
@given(st.integers(0, 60), st.integers(0, 99))
def test_merged_moments_of_pairs_are_those_of_all_pairs(cut: int, seed: int) -> None:
    source, target = drawn(60, 3, seed), drawn(60, 2, seed + 1)
    whole, first, second = PairMoments(3, 2), PairMoments(3, 2), PairMoments(3, 2)
    whole.add(source, target)
    first.add(source[:cut], target[:cut])
    second.add(source[cut:], target[cut:])
    merged = first.merge(second)
    centred = source - source.mean(axis=0), target - target.mean(axis=0)
    np.testing.assert_allclose(merged.cross_DE, centred[0].T @ centred[1], atol=1e-10)
    np.testing.assert_allclose(merged.scatter_DD, centred[0].T @ centred[0], atol=1e-10)
    np.testing.assert_allclose(merged.source_square_D, np.diag(merged.scatter_DD), atol=1e-10)
    np.testing.assert_allclose(merged.source_mean_D, source.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(merged.target_square_E, (centred[1] ** 2).sum(axis=0), atol=1e-10)
    np.testing.assert_allclose(merged.target_mean_E, target.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(whole.cross_DE, merged.cross_DE, atol=1e-10)
    assert merged.count == 60
    assert first.count == cut


def test_a_large_common_offset_costs_no_digits() -> None:
    rows = drawn(5000, 4, 0)
    far = moments_of(np.array_split(rows + 1e6, 7))
    np.testing.assert_allclose(far.scatter_DD, moments_of([rows]).scatter_DD, rtol=1e-6, atol=1e-3)


def test_float32_blocks_lose_less_than_a_millionth_of_the_largest_product() -> None:
    rows = drawn(20_000, 32, 0).astype(np.float32)
    fast = moments_of(np.array_split(rows, 5)).scatter_DD
    exact = moments_of([rows.astype(np.float64)]).scatter_DD
    assert np.abs(fast - exact).max() < 1e-6 * np.abs(exact).max()
    assert np.abs(fast - exact).max() > 0  # it is the fast path that was measured
