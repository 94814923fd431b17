"""A fit with its figures: taken of pairs that the map has not seen."""

import numpy as np

from star_features.compat.figures import neighbours_kept
from star_features.compat.fitting import fit_and_check


def test_the_figures_beside_a_map_are_those_of_its_held_out_pairs(world) -> None:
    source = world.rows(600, 8)
    target = world.noisy(source @ world.turn(8), 0.3)
    found = fit_and_check(world.pairs(source, target))
    receipt = found.map.receipt
    assert (found.cosine, found.r2) == (receipt.cosine, receipt.r2)
    assert found.shuffled < 0.7 < found.cosine
    assert found.curve[-1].pairs == receipt.pairs
    assert np.isclose(found.curve[-1].cosine, found.cosine, atol=1e-6)
    assert [point.pairs for point in found.curve[:-1]] == [500]


def test_neighbours_are_counted_among_held_out_entities_only(world) -> None:
    """Exact on a rotation; with noise near what all rows give, and never computed of too few."""
    source = world.rows(600, 8)
    exact = fit_and_check(world.pairs(source, source @ world.turn(8)))
    assert exact.neighbours_kept == 1
    target = world.noisy(source @ world.turn(8), 0.3)
    noisy = fit_and_check(world.pairs(source, target))
    everyone = neighbours_kept(noisy.map(source, space=world.new)[:30], target[:30])
    assert abs(noisy.neighbours_kept - everyone) < 0.2
    assert noisy.neighbours_kept < 1
    few = fit_and_check(world.pairs(source[:60], target[:60]))
    assert few.neighbours_kept is None
