"""Is a line enough, is it more than chance, were there enough pairs?"""

import numpy as np
import pytest

from star_features.compat.checks import curve, drift_shape, shuffled_null
from star_features.compat.fit import FitSettings, fit
from star_features.errors import EmptyInput


@pytest.fixture
def noisy_turn(world):
    source = world.rows(3000, 8)
    return world.pairs(source, world.noisy(source @ world.turn(8), 0.5))


@pytest.fixture
def bent(world):
    """A target that no linear map reaches: the sizes of coordinates, without their signs."""
    source = world.rows(3000, 8) - 0.1
    return world.pairs(source, world.unit(np.abs(source - source.mean(axis=0))) @ world.turn(8))


def test_the_curve_rises_and_ends_at_all_pairs(noisy_turn) -> None:
    points = curve(noisy_turn, sizes=(4, 20, 100, 1000, 10_000))
    assert [point.pairs for point in points] == [20, 100, 1000, 2700]
    assert points[-1].cosine > points[0].cosine
    assert points[-1].cosine - points[-2].cosine < 0.005


def test_the_last_point_of_the_curve_is_the_fit_of_all_pairs(noisy_turn) -> None:
    stream = [(noisy_turn.source_ND, noisy_turn.target_NE)]
    whole = fit(stream, source=noisy_turn.source, target=noisy_turn.target).receipt
    last = curve(noisy_turn, sizes=(500,))[-1]
    assert last.pairs == whole.pairs
    assert last.cosine == pytest.approx(whole.cosine, abs=1e-6)


def test_a_noisy_rotation_is_told_to_be_linear(noisy_turn) -> None:
    shape = drift_shape(noisy_turn)
    assert abs(shape.gain) < 0.005
    assert shape.is_linear()


def test_a_bent_drift_is_told_not_to_be_linear(bent) -> None:
    shape = drift_shape(bent)
    assert shape.gain > 0.05
    assert shape.gain == pytest.approx(shape.nonlinear - shape.linear)
    assert not shape.is_linear()


def test_a_gain_within_its_noise_is_linear(bent) -> None:
    shape = drift_shape(bent)
    assert not shape.is_linear(worth=0)
    noise = type(shape)(shape.linear, shape.nonlinear, shape.gain, gain_error=shape.gain)
    assert noise.is_linear(worth=0)


def test_a_map_of_the_wrong_people_reaches_no_more_than_the_mean(noisy_turn) -> None:
    null = shuffled_null(noisy_turn, FitSettings(held_share=0.5))
    stream = [(noisy_turn.source_ND, noisy_turn.target_NE)]
    whole = fit(stream, source=noisy_turn.source, target=noisy_turn.target).receipt
    mean = noisy_turn.target_NE.mean(axis=0)
    to_the_mean = float((noisy_turn.target_NE @ (mean / np.linalg.norm(mean))).mean())
    assert null < to_the_mean + 0.05
    assert null < whole.cosine - 0.2


def test_checks_are_the_same_for_the_same_seed(bent) -> None:
    one, again, other = (drift_shape(bent, FitSettings(seed=seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_no_pairs_are_refused(world) -> None:
    with pytest.raises(EmptyInput, match="star compat fit"):
        curve(world.pairs(np.zeros((5, 2)), np.zeros((5, 2))), sizes=(2,))
