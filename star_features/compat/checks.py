"""
Is a linear map enough, is it more than chance, were there enough pairs? Fits beside the fit.

    curve(pairs, sizes=(500, 1000, 2000, 4000, 8000))
    shape = drift_shape(pairs)       # shape.gain: what a non-linear map would add
    shuffled_null(pairs)             # what a map of the wrong people would reach

The non-linear map is a ridge on random features: the source vectors and `width` random ReLU units
of them, the one hidden layer of an MLP whose first layer is drawn instead of trained. It is fitted
from the same moments and chosen on the same pairs, needs no training loop, and approximates any
smooth map as the layer widens; a trained MLP of the same size may find somewhat more.

Shapes: N pairs, D width of the source space, E of the target, F of the random layer, H held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from star_features.compat.figures import cosines, standard_error
from star_features.compat.fit import DEFAULTS, LEAST_PAIRS, FitSettings, choose, fit, refuse_unfit
from star_features.compat.held import Held, HoldBack
from star_features.compat.moments import PairMoments, Vectors
from star_features.compat.pairs import Pairs, fit_command, in_blocks
from star_features.errors import EmptyInput


@dataclass(frozen=True)
class CurvePoint:
    """Held-out quality of a map fitted on the first `pairs` pairs."""

    pairs: int
    method: str
    strength: float
    cosine: float
    cosine_error: float


@dataclass(frozen=True)
class DriftShape:
    """A linear against a non-linear map on the same held-out pairs."""

    linear: float
    nonlinear: float
    gain: float
    gain_error: float

    def is_linear(self, worth: float = 0.01) -> bool:
        """Whether the gain is within noise (two standard errors) or not worth having."""
        return self.gain <= max(worth, 2 * self.gain_error)


def curve(
    pairs: Pairs,
    sizes: Sequence[int],
    settings: FitSettings = DEFAULTS,
    prior_DE: Vectors | None = None,
) -> list[CurvePoint]:
    """
    Held-out quality against the number of pairs, all measured on the same held-out pairs.

    Sizes that are too small to fit on are left out; the last point is always all pairs.
    """
    command = fit_command(pairs.source, pairs.target)
    source_ND, target_NE, held = _split(pairs, settings)
    moments = _empty(source_ND, target_NE, settings.needs_scatter or prior_DE is not None)
    refused_below = max(source_ND.shape[1], LEAST_PAIRS)
    points = []
    wanted = sorted({size for size in sizes if refused_below <= size < len(source_ND)})
    for size in [*wanted, len(source_ND)]:
        moments.add(source_ND[moments.count : size], target_NE[moments.count : size])
        refuse_unfit(moments, f"{pairs.source} -> {pairs.target}", command)
        choice = choose(moments, held, settings, prior_DE)
        cosines_H = cosines(choice.linear(held.report_HD), held.report_HE)
        best = choice.best
        error = standard_error(cosines_H)
        mean = float(cosines_H.mean())
        points.append(CurvePoint(size, best.method, best.strength, mean, error))
    return points


def drift_shape(
    pairs: Pairs, settings: FitSettings = DEFAULTS, width: int | None = None
) -> DriftShape:
    """
    How much a non-linear map gains over the linear one: near nothing where drift is linear.

    Args:
        pairs: a sample; a few thousand pairs and several times the source's width are enough.
        settings: of the linear fit; the random layer is drawn by its seed.
        width: units of the random layer; 2 × D, but 256 to 2,048, unless given.
    """
    source_ND, target_NE, held = _split(pairs, settings)
    layer_DF = _layer(
        source_ND, width or max(256, min(2 * source_ND.shape[1], 2048)), settings.seed
    )
    wide = replace(
        held,
        choice_HD=_with_units(held.choice_HD, layer_DF),
        report_HD=_with_units(held.report_HD, layer_DF),
    )
    plain_H = _reached(source_ND, target_NE, held, settings)
    ridge_only = settings.model_copy(update={"methods": ("ridge",)})
    bent_H = _reached(_with_units(source_ND, layer_DF), target_NE, wide, ridge_only)
    gain_H = bent_H - plain_H
    return DriftShape(
        linear=float(plain_H.mean()),
        nonlinear=float(bent_H.mean()),
        gain=float(gain_H.mean()),
        gain_error=standard_error(gain_H),
    )


def shuffled_null(pairs: Pairs, settings: FitSettings = DEFAULTS) -> float:
    """Held-out cosine of a map fitted on pairs of different entities: what chance reaches."""
    order = np.random.default_rng(settings.seed).permutation(len(pairs))
    wrong = [(pairs.source_ND, pairs.target_NE[order])]
    return fit(wrong, source=pairs.source, target=pairs.target, settings=settings).receipt.cosine


def kept_back(pairs: Pairs, settings: FitSettings = DEFAULTS) -> Held:
    """The pairs that a fit with these settings keeps back: none of its map's rows is among them."""
    return _split(pairs, settings)[2]


def _split(pairs: Pairs, settings: FitSettings) -> tuple[Vectors, Vectors, Held]:
    """Pairs to fit on, in the order of the sample, and those kept back."""
    where, command = f"{pairs.source} -> {pairs.target}", fit_command(pairs.source, pairs.target)
    keep = HoldBack(settings.held_share, settings.held_most, settings.seed)
    blocks = in_blocks([(pairs.source_ND, pairs.target_NE)], where, command)
    kept = [keep.split(*block) for block in blocks]
    held = keep.held()
    if not kept or held is None or len(held) < 2:
        raise EmptyInput(where, "no pair that is not zero", f"Wanted pairs to fit on: {command}")
    source_ND = np.concatenate([block[0] for block in kept])
    return source_ND, np.concatenate([block[1] for block in kept]), held


def _reached(
    source_ND: Vectors, target_NE: Vectors, held: Held, settings: FitSettings
) -> NDArray[np.float64]:
    moments = _empty(source_ND, target_NE, settings.needs_scatter)
    moments.add(source_ND, target_NE)
    choice = choose(moments, held, settings)
    return cosines(choice.linear(held.report_HD), held.report_HE)


def _empty(source_ND: Vectors, target_NE: Vectors, scatter: bool) -> PairMoments:
    return PairMoments(source_ND.shape[1], target_NE.shape[1], scatter=scatter)


def _layer(source_ND: Vectors, width: int, seed: int) -> NDArray[np.float32]:
    """
    Random directions and, as last row, thresholds: each unit turns on at a random row.

    The directions' length gives a unit about the variance of a coordinate, so that one ridge
    penalty suits both.
    """
    rng = np.random.default_rng(seed)
    through_FD = source_ND[rng.integers(0, len(source_ND), width)]
    directions_DF = rng.standard_normal((source_ND.shape[1], width)) / np.sqrt(source_ND.shape[1])
    thresholds_F = -np.einsum("fd,df->f", through_FD, directions_DF)
    return np.vstack([directions_DF, thresholds_F]).astype(np.float32)


def _with_units(vectors_ND: Vectors, layer_DF: NDArray[np.float32]) -> Vectors:
    """The vectors and, beside them, their ReLU units."""
    units_NF = np.maximum(vectors_ND @ layer_DF[:-1] + layer_DF[-1], 0)
    return np.hstack([vectors_ND, units_NF])
