"""Figures of mapped against native vectors, on rows that can be checked by eye."""

import numpy as np
import pytest

from star_features.compat import figures
from star_features.compat.figures import by_slice, cosines, map_figures, neighbours_kept, r2
from star_features.errors import DataError, EmptyInput, UsageError


def test_cosines_are_taken_row_by_row_and_are_zero_for_a_zero_row() -> None:
    one = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], dtype=np.float32)
    other = np.array([[2, 0], [-3, 3], [1, 0], [-1, 0]], dtype=np.float32)
    assert cosines(one, other).tolist() == [1, 0, 0, -1]


def test_r2_is_one_for_the_vectors_themselves_and_zero_for_their_mean(world) -> None:
    rows = world.rows(50, 4)
    assert r2(rows, rows) == 1
    assert r2(np.tile(rows.mean(axis=0), (50, 1)), rows) == pytest.approx(0, abs=1e-6)
    assert r2(-rows, rows) < 0


def test_r2_of_constant_vectors_is_zero() -> None:
    assert r2(np.ones((3, 2)), np.ones((3, 2))) == 0


def test_neighbours_are_kept_by_a_rotation_and_lost_by_chance(world) -> None:
    rows = world.rows(400, 6)
    assert neighbours_kept(rows @ world.turn(6), rows, 10) > 0.999
    assert neighbours_kept(world.rows(400, 6, seed=1), rows, 10) < 0.06


def test_neighbours_kept_are_counted_without_the_entity_itself() -> None:
    angles = np.array([0, 1, 3, 7, 15]) / 10
    native = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mapped = native[[0, 1, 2, 4, 3]]  # nearest: 1 0 1 4 2, and of the native ones 1 0 1 2 3
    assert neighbours_kept(mapped, native, at=1) == pytest.approx(3 / 5)


def test_neighbours_are_the_same_in_blocks_of_one(world, monkeypatch) -> None:
    rows, other = world.rows(60, 4), world.noisy(world.rows(60, 4), 0.5)
    whole = neighbours_kept(other, rows, 5)
    monkeypatch.setattr(figures, "BLOCK_CELLS", 1)
    assert neighbours_kept(other, rows, 5) == whole
    assert 0.2 < whole < 0.9


@pytest.mark.parametrize("at", [0, 5, 6])
def test_more_neighbours_than_entities_are_refused(world, at: int) -> None:
    with pytest.raises(UsageError, match="of 5 entities"):
        neighbours_kept(world.rows(5, 3), world.rows(5, 3), at)


def test_a_slice_shows_what_the_mean_hides() -> None:
    table = by_slice(np.array([1.0, 1.0, 0.0, 0.5]), {"cold": np.array([False, False, True, True])})
    assert [(row.slice, row.value, row.rows, row.cosine) for row in table] == [
        ("cold", "False", 2, 1.0),
        ("cold", "True", 2, 0.25),
    ]
    assert table[1].cosine_error == pytest.approx(0.25)


def test_a_slice_of_one_entity_has_no_error_bar() -> None:
    assert np.isnan(by_slice(np.ones(1), {"cold": np.ones(1)})[0].cosine_error)


def test_a_slice_that_misses_an_entity_is_refused() -> None:
    with pytest.raises(DataError, match="slice degree"):
        by_slice(np.ones(3), {"degree": np.ones(2)})


def test_figures_of_a_map_are_taken_on_mapped_vectors(world) -> None:
    rows = world.rows(300, 5)
    map = world.fit(rows, rows @ world.turn(5))
    found = map_figures(map, rows, rows @ world.turn(5), {"half": np.arange(300) % 2})
    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert found.r2 == pytest.approx(1, abs=1e-6)
    assert found.neighbours_kept > 0.999
    assert [row.rows for row in found.slices] == [150, 150]


def test_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(DataError, match="same entities"):
        cosines(np.ones((2, 3)), np.ones((2, 4)))


def test_no_pairs_are_refused() -> None:
    with pytest.raises(EmptyInput, match="star compat fit"):
        cosines(np.ones((0, 3)), np.ones((0, 3)))
