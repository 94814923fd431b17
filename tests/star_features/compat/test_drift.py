"""A space that stays put raises no alarm; one that moves is told by how much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat.drift import (
    DriftBounds,
    SpaceStatistics,
    canary_residual,
    compare,
    covariance_distance,
    domain_of,
    frechet,
    mean_shift,
    new_domain_share,
    refit_command,
    verdict,
)
from star_features.errors import DataError, EmptyInput, SpaceMismatch, UsageError

law = settings(deadline=None, max_examples=25)


@pytest.fixture
def statistics_of(world):
    def of(*blocks) -> SpaceStatistics:
        statistics = SpaceStatistics(world.new, blocks[0].shape[1])
        for block in blocks:
            statistics.add(block)
        return statistics

    return of


@law
@given(st.lists(st.integers(0, 80), max_size=4), st.integers(0, 80), st.integers(0, 99))
def test_statistics_in_blocks_or_merged_are_those_of_all_rows(cuts, cut, seed) -> None:
    rows = np.random.default_rng(seed).standard_normal((80, 3)) * 2
    rows[seed % 80] = 0
    blocks, one, other = (SpaceStatistics("job_text_v1@1", 3) for _ in range(3))
    for block in np.split(rows, sorted(cuts)):
        blocks.add(block)
    one.add(rows[:cut])
    other.add(rows[cut:])
    lengths = np.linalg.norm(rows[rows.any(axis=1)], axis=1)
    for found in (blocks, one.merge(other)):
        assert (found.count, found.zero_rows) == (79, 1)
        assert found.lengths.mean == pytest.approx(lengths.mean())
        assert found.length_spread == pytest.approx(lengths.std())
        assert (found.lengths.least, found.lengths.greatest) == pytest.approx(
            (lengths.min(), lengths.max())
        )
        present = rows[rows.any(axis=1)]
        np.testing.assert_allclose(found.moments.covariance(), np.cov(present.T, bias=True))


@law
@given(st.integers(0, 99), st.integers(40, 400))
def test_a_small_batch_of_the_same_space_raises_no_alarm(world, seed: int, rows: int) -> None:
    whole = SpaceStatistics(world.new, 16)
    whole.add(world.rows(4000, 16, seed=1000))
    batch = SpaceStatistics(world.new, 16)
    batch.add(world.rows(rows, 16, seed))
    found = compare(whole, batch)
    assert found["mean_shift"] < 0.25
    assert found["covariance"] < 0.35
    assert found["length_shift"] < 1e-6


def test_distances_of_the_same_space_are_not_those_of_chance(statistics_of) -> None:
    rng = np.random.default_rng(0)
    whole = statistics_of(rng.standard_normal((20_000, 2))).moments
    batches = [statistics_of(rng.standard_normal((60, 2))).moments for _ in range(101)]
    # Uncorrected, the medians would be about 0.1 and 0.2.
    assert np.median([mean_shift(whole, batch) for batch in batches]) < 0.05
    assert np.median([covariance_distance(whole, batch) for batch in batches]) < 0.05


def test_the_mean_shift_is_counted_in_standard_deviations(statistics_of) -> None:
    rows = np.random.default_rng(0).standard_normal((20_000, 4))
    shifted = rows[::-1] + np.array([1.0, 0, 0, 0])
    found = mean_shift(statistics_of(rows).moments, statistics_of(shifted).moments)
    assert found == pytest.approx(0.5, abs=0.01)  # one unit against sqrt(4)


def test_a_doubled_covariance_is_at_distance_one(statistics_of) -> None:
    rows = np.random.default_rng(0).standard_normal((20_000, 4))
    doubled = statistics_of(rows * np.sqrt(2)).moments
    assert covariance_distance(statistics_of(rows).moments, doubled) == pytest.approx(1, abs=0.01)


def test_the_frechet_distance_is_that_of_two_known_gaussians(statistics_of) -> None:
    rows = np.random.default_rng(0).standard_normal((1000, 2))
    rows = (rows - rows.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=1))).T
    one, other = statistics_of(rows), statistics_of(rows * [1, 3] + [2, 0])
    # Means 2 apart, deviations 1 against 1 and 1 against 3: (4 + 0 + 4) over a variance of 2.
    assert frechet(one.moments, other.moments) == pytest.approx(4, rel=1e-6)
    assert frechet(one.moments, one.moments) == pytest.approx(0, abs=1e-9)


def test_a_turned_space_has_another_covariance_though_lengths_agree(world, statistics_of) -> None:
    rows = world.rows(3000, 8)
    found = compare(statistics_of(rows), statistics_of(rows @ world.turn(8)))
    assert found["covariance"] > 0.3
    assert found["length_shift"] < 1e-6
    assert verdict(found).refit


def test_zero_rows_are_told_as_a_rising_share(world, statistics_of) -> None:
    rows = world.rows(100, 4)
    emptied = rows.copy()
    emptied[:20] = 0
    assert compare(statistics_of(rows), statistics_of(emptied))["zero_share"] == 0.2
    assert compare(statistics_of(emptied), statistics_of(rows))["zero_share"] == 0


def test_rows_of_a_new_domain_are_counted(world, statistics_of) -> None:
    flat = np.array([1, 1, 1, 1, 1, 0.1], dtype=np.float32)
    known = world.rows(3000, 6) * flat
    domain = domain_of(statistics_of(known), known, inside=0.98)
    assert new_domain_share(domain, known) == pytest.approx(0.02, abs=0.002)
    far = known[:100, ::-1]
    mixed = np.concatenate([world.rows(300, 6, seed=5) * flat, far])
    alone = new_domain_share(domain, far)
    assert new_domain_share(domain, mixed) == pytest.approx(alone / 4, abs=0.03)
    assert alone > 0.5


def test_the_canary_residual_rises_when_the_source_moves(world) -> None:
    rows = world.rows(500, 6)
    map = world.fit(rows, rows @ world.turn(6))
    still = canary_residual(map, rows, rows @ world.turn(6))
    moved = canary_residual(map, world.noisy(rows, 0.5), rows @ world.turn(6))
    assert still == pytest.approx(0, abs=1e-6)
    assert 0.02 < moved < 0.3
    assert refit_command(map) == "star compat fit job_graph_v2 job_graph_v1"


def test_a_figure_on_its_bound_is_within_and_beyond_it_asks_for_a_refit() -> None:
    bounds = DriftBounds(map_residual=0.1)
    assert not verdict({"map_residual": 0.1}, bounds).refit
    assert verdict({"map_residual": 0.1001}, bounds).refit
    assert verdict({"map_residual": float("nan")}, bounds).refit


def test_a_figure_without_a_bound_is_refused() -> None:
    with pytest.raises(UsageError, match="mood"):
        verdict({"mood": 1.0})


def test_statistics_of_two_spaces_are_never_compared(world) -> None:
    one, other = SpaceStatistics(world.new, 2), SpaceStatistics(world.old, 2)
    for compared in (one.merge, lambda statistics: compare(one, statistics)):
        with pytest.raises(SpaceMismatch):
            compared(other)


def test_statistics_of_no_rows_are_not_compared(world, statistics_of) -> None:
    with pytest.raises(EmptyInput, match="star materialize"):
        compare(statistics_of(world.rows(9, 2)), SpaceStatistics(world.new, 2))


@pytest.mark.parametrize("bad", [np.ones((2, 4)), np.ones(3), np.full((2, 3), np.nan)])
def test_broken_vectors_are_refused_and_leave_the_statistics_alone(world, bad) -> None:
    statistics = SpaceStatistics(world.new, 3)
    with pytest.raises(DataError, match="star materialize job_graph"):
        statistics.add(bad)
    assert statistics.count == 0
