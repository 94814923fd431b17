"""Laws of a fitted map, and pairs that no map can be fitted on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat import held, pairs
from star_features.compat.figures import cosines
from star_features.compat.fit import FitSettings, fit, procrustes, ridge
from star_features.compat.held import HoldBack
from star_features.compat.moments import PairMoments
from star_features.errors import DataError, EmptyInput

law = settings(deadline=None, max_examples=15)


@law
@given(st.integers(2, 24), st.integers(0, 99))
def test_a_rotation_is_recovered_exactly(world, width: int, seed: int) -> None:
    rows, turn = world.rows(200, width, seed), world.turn(width, seed)
    map = world.fit(rows, rows @ turn, methods=("procrustes",))
    np.testing.assert_allclose(map.weight_DE, turn, atol=2e-5)
    np.testing.assert_allclose(map(rows, space=world.new), rows @ turn, atol=1e-5)


@law
@given(st.integers(2, 24), st.integers(0, 99))
def test_identity_stays_identity(world, width: int, seed: int) -> None:
    rows = world.rows(200, width, seed)
    map = world.fit(rows, rows)
    np.testing.assert_allclose(map(rows, space=world.new), rows, atol=1e-5)
    assert map.method == "procrustes"


@law
@given(st.lists(st.integers(0, 700), max_size=6))
def test_a_stream_gives_the_very_map_of_the_whole(world, cuts: list[int]) -> None:
    source = world.rows(700, 6)
    target = world.noisy(source @ world.turn(6), 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK_ROWS", 64)
        whole = world.fit(source, target, held_most=40)
        pieces = zip(np.split(source, sorted(cuts)), np.split(target, sorted(cuts)), strict=True)
        small = FitSettings(held_most=40)
        cut = fit(pieces, source=world.new, target=world.old, settings=small)
    assert (cut.weight_DE == whole.weight_DE).all()
    assert (cut.bias_E == whole.bias_E).all()
    assert cut.receipt == whole.receipt


def test_procrustes_is_that_of_scipy_and_ridge_that_of_the_normal_equations(world) -> None:
    from scipy.linalg import orthogonal_procrustes

    source = world.rows(300, 5).astype(np.float64)
    target = world.noisy(source @ world.turn(5), 0.5).astype(np.float64)
    moments = PairMoments(5, 5)
    moments.add(source, target)
    centred = source - source.mean(axis=0), target - target.mean(axis=0)
    np.testing.assert_allclose(procrustes(moments), orthogonal_procrustes(*centred)[0], atol=1e-10)
    penalty = np.sqrt(0.1 * np.square(centred[0]).sum() / 5) * np.eye(5)
    stacked = np.vstack([centred[0], penalty]), np.vstack([centred[1], np.zeros((5, 5))])
    plain = np.linalg.lstsq(*stacked, rcond=None)[0]
    np.testing.assert_allclose(ridge(moments, 0.1), plain, atol=1e-10)


@pytest.mark.parametrize(("width", "other"), [(4, 9), (9, 4), (6, 6)])
def test_across_widths_procrustes_is_semi_orthogonal(world, width: int, other: int) -> None:
    latent = world.rows(300, 4)
    wide = np.pad(latent, ((0, 0), (0, 5)))
    spaces = {4: latent, 9: wide @ world.turn(9), 6: wide[:, :6] @ world.turn(6)}
    map = world.fit(spaces[width], spaces[other], methods=("procrustes",))
    weight = map.weight_DE if width >= other else map.weight_DE.T
    np.testing.assert_allclose(weight.T @ weight, np.eye(min(width, other)), atol=1e-5)
    mapped = map(spaces[width], space=world.new)
    np.testing.assert_allclose(mapped, spaces[other], atol=1e-4)


@law
@given(st.integers(0, 99), st.floats(0.05, 0.6))
def test_two_maps_in_a_row_are_near_the_direct_one_and_no_better(world, seed, noise) -> None:
    first = world.rows(1500, 8, seed)
    second = world.noisy(first @ world.turn(8, 1), noise, 1)
    third = world.noisy(first @ world.turn(8, 2), noise, 2)
    fitted, unseen = slice(0, 1000), slice(1000, None)
    ends = {"source": "job_graph_v3@3", "target": "job_graph_v1@1"}
    direct = fit([(third[fitted], first[fitted])], **ends)
    one = fit([(third[fitted], second[fitted])], **ends)
    two = fit([(second[fitted], first[fitted])], **ends)
    there = one(third[unseen], space=ends["source"])
    chained = cosines(two(there, space=ends["source"]), first[unseen]).mean()
    straight = cosines(direct(third[unseen], space=ends["source"]), first[unseen]).mean()
    gap = float(straight - chained)
    assert -0.005 < gap < 0.2, f"a chain of two loses {gap:.4f} of cosine"


@law
@given(st.integers(0, 99), st.floats(0.1, 1.0))
def test_more_pairs_never_hurt_much(world, seed: int, noise: float) -> None:
    source = world.rows(2200, 12, seed)
    target = world.noisy(source @ world.turn(12, seed), noise, seed)
    unseen = slice(1200, None)
    kept = []
    for size in (150, 400, 1200):
        map = world.fit(source[:size], target[:size])
        kept.append(cosines(map(source[unseen], space=world.new), target[unseen]).mean())
    assert kept[1] > kept[0] - 0.01
    assert kept[2] > kept[1] - 0.005


def test_centring_carries_a_mean_that_a_bare_rotation_cannot(world) -> None:
    rows = world.rows(500, 6) - 0.2
    target = rows @ world.turn(6) + 3
    map = world.fit(rows, target, methods=("procrustes",))
    np.testing.assert_allclose(map(rows, space=world.new), world.unit(target), atol=1e-4)


def test_ridge_wins_where_the_new_space_is_stretched(world) -> None:
    rows = world.rows(800, 6)
    map = world.fit(rows * np.array([1, 5, 1, 5, 1, 5], dtype=np.float32), rows)
    assert map.method == "ridge"
    assert map.receipt.cosine > 0.999


def test_a_strong_penalty_wins_where_pairs_are_few_and_noisy(world) -> None:
    rows = world.rows(60, 40)
    weak, strong = (
        world.fit(world.noisy(rows, 2.0), rows, methods=("ridge",), strengths=strengths)
        for strengths in ((1e-4,), (1e-4, 0.3, 1.0))
    )
    assert strong.strength > 1e-4
    assert strong.receipt.cosine > weak.receipt.cosine


@pytest.mark.parametrize("scale", ["spread", "least_squares"])
def test_a_scale_that_was_lost_is_found_again(world, scale: str) -> None:
    rows = world.rows(500, 6)
    target = 3 * (rows @ world.turn(6)) + 1
    map = world.fit(rows, target, methods=("procrustes",), scale=scale)
    assert map.scale == pytest.approx(3, rel=1e-4)
    np.testing.assert_allclose(map(rows, space=world.new), world.unit(target), atol=1e-5)


def test_spread_keeps_the_variance_and_least_squares_gives_it_up_for_nearness(world) -> None:
    rows = world.rows(2000, 6)
    target = world.noisy(rows @ world.turn(6), 1.0)
    scales = {
        how: world.fit(rows, target, methods=("procrustes",), scale=how).scale
        for how in ("spread", "least_squares")
    }
    assert scales["least_squares"] < 0.9 * scales["spread"]


def test_procrustes_needs_no_scatter_of_the_source(world) -> None:
    rows = world.rows(300, 5)
    target = world.noisy(rows @ world.turn(5), 0.4)
    alone = world.fit(rows, target, methods=("procrustes",))
    beside = world.fit(rows, target, methods=("procrustes", "ridge"), strengths=(1e6,))
    assert (alone.method, beside.method) == ("procrustes", "procrustes")
    assert (alone.weight_DE == beside.weight_DE).all()


def test_the_receipt_counts_what_was_fitted_and_what_was_kept_back(world) -> None:
    source = world.rows(500, 4)
    source[7] = 0
    map = world.fit(source, source, held_share=0.2)
    assert (map.receipt.pairs, map.receipt.held) == (399, 100)
    assert len(map.receipt.candidates) == 11


def test_held_out_figures_are_those_of_pairs_the_fit_has_not_seen(world) -> None:
    source, target = world.rows(300, 40, 1), world.rows(300, 40, 2)
    unrelated = world.fit(source, target, methods=("ridge",), strengths=(1e-4,))
    seen = cosines(unrelated(source, space=world.new), target).mean()
    assert unrelated.receipt.cosine < seen - 0.03
    assert unrelated.receipt.r2 < 0.05


def test_early_and_late_blocks_are_kept_back_alike() -> None:
    keep = HoldBack(share=0.5, most=200, seed=0)
    fitted = 0
    for block in range(10):
        rows = np.full((100, 1), block, dtype=np.float32)
        fitted += len(keep.split(rows, rows)[0])
    kept = keep.held()
    assert isinstance(kept, held.Held)
    assert len(kept) == 200
    assert fitted == 800
    counts = np.bincount(np.concatenate([kept.choice_HD, kept.report_HD]).astype(int).ravel())
    assert counts.min() >= 8
    assert counts.max() <= 34


def test_pairs_stay_together_when_they_are_kept_back_and_let_go() -> None:
    keep = HoldBack(share=0.3, most=20, seed=0)
    rows = np.arange(1, 401, dtype=np.float32)[:, None]
    out = [keep.split(part, -part) for part in np.split(rows, 8)]
    kept = keep.held()
    assert kept is not None
    sides = [*out, (kept.choice_HD, kept.choice_HE), (kept.report_HD, kept.report_HE)]
    assert all((source == -target).all() for source, target in sides)
    assert sorted(np.concatenate([source for source, _ in sides]).ravel()) == list(range(1, 401))


@pytest.mark.parametrize("rows", [3, 17, 40])
def test_fewer_pairs_than_the_width_are_refused(world, rows: int) -> None:
    with pytest.raises(DataError, match=r"(?s)at least 40.*star compat fit job_graph_v2 job_gr"):
        world.fit(world.rows(rows, 40), world.rows(rows, 40))


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("offset", [0.1, 1e4])
def test_constant_vectors_are_refused(world, side: str, offset: float) -> None:
    rows = world.rows(300, 4)
    same = np.full_like(rows, offset)
    with pytest.raises(DataError, match=rf"(?s)the {side} vectors are all the same.*star compat"):
        world.fit(*((same, rows) if side == "source" else (rows, same)))


def test_nothing_but_zero_rows_is_refused(world) -> None:
    with pytest.raises(EmptyInput, match="star compat fit job_graph_v2 job_graph_v1"):
        world.fit(np.zeros((50, 3), dtype=np.float32), world.rows(50, 3))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="strenghts"):
        FitSettings.model_validate({"strenghts": [1.0]})


def test_a_trained_map_is_a_prior_from_plain_ridge_to_the_trained_map_itself(world) -> None:
    source = world.rows(400, 8)
    target = world.noisy(source @ world.turn(8), 0.4).astype(np.float64)
    moments = PairMoments(8, 8)
    moments.add(source.astype(np.float64), target)
    trained = world.turn(8, seed=5).astype(np.float64)
    np.testing.assert_allclose(ridge(moments, 1e-9, trained), ridge(moments, 1e-9), atol=1e-6)
    np.testing.assert_allclose(ridge(moments, 1e9, trained), trained, atol=1e-6)
    assert not np.allclose(ridge(moments, 1e9), trained, atol=0.1)


def test_with_few_pairs_a_map_about_the_trained_one_is_better_than_one_from_nothing(world) -> None:
    source = world.rows(600, 24)
    turn = world.turn(24)
    target = world.noisy(source @ turn, 0.8)
    few = [(source[:60], target[:60])]
    ends = {"source": world.new, "target": world.old}
    about = fit(few, **ends, prior_DE=(3 * turn).astype(np.float32))
    alone = fit(few, **ends)
    later = world.unit(source[60:] @ turn)
    reached = [cosines(m(source[60:], space=world.new), later).mean() for m in (about, alone)]
    assert reached[0] > reached[1] + 0.02
    assert about.method == "joint"
    assert {c.method for c in about.receipt.candidates} == {"joint"}
    assert about.receipt.held == alone.receipt.held, "the same protocol"


def test_a_trained_map_between_other_widths_is_refused(world) -> None:
    source = world.rows(200, 6)
    with pytest.raises(DataError, match=r"weight of shape \(6, 5\)"):
        fit(
            [(source, source)],
            source=world.new,
            target=world.old,
            prior_DE=np.zeros((6, 5), dtype=np.float32),
        )
