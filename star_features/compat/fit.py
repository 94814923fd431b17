"""
Fit a map from pairs, in one pass and memory that does not grow with their number.

    pairs = pairs_of(job_graph_v2, job_graph_v1, most=10_000, seed=0)
    map = fit([(pairs.source_ND, pairs.target_NE)], source=pairs.source, target=pairs.target)

Mean-centred orthogonal Procrustes (semi-orthogonal across widths) and ridge are solved from the
same moments; the method and the ridge's strength are chosen on one half of the pairs kept back,
and the figures in the receipt come from the other half. Both centre first: uncentred Procrustes
keeps far less (measured elsewhere: 0.57 against 0.83). Fit one map per entity type: the towers
drift differently.

Where the new tower was trained together with a map, that one is the prior: the ridge then penalises
the way from it instead of the way from zero, and the method is called joint. The weakest strength
is a plain ridge, the strongest leaves the trained map as it is.

Shapes: N pairs, H pairs kept back, D width of the source space, E width of the target space.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from star_features.compat.figures import cosines, r2, standard_error
from star_features.compat.held import Held, HoldBack
from star_features.compat.maps import Candidate, Map, Receipt
from star_features.compat.moments import Matrix, PairMoments, Vectors
from star_features.compat.pairs import fit_command, in_blocks
from star_features.errors import DataError, EmptyInput
from star_features.files import Settings
from star_features.spaces import unit

LEAST_PAIRS = 16
CONSTANT = 1e-12  # variance over squared length, below which vectors are all the same


class FitSettings(Settings):
    """How a map is fitted."""

    methods: tuple[Literal["procrustes", "ridge"], ...] = Field(
        default=("procrustes", "ridge"), min_length=1
    )
    """What to try; held-out cosine decides."""
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0, 10.0), min_length=1
    )
    """Ridge penalties to try, as multiples of the mean variance of a source coordinate."""
    joint_strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0, 10.0, 1e2, 1e6), min_length=1
    )
    """The same, where the penalty is on the way from a trained map."""
    scale: Literal["none", "spread", "least_squares"] = "none"
    """What to multiply the weight by: nothing; what gives the mapped vectors the native ones'
    variance; what brings them nearest to the native ones."""
    held_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the pairs kept back."""
    held_most: int = Field(default=4000, ge=4)
    """Most pairs kept back, which bounds the memory."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draw of the pairs kept back."""

    @property
    def needs_scatter(self) -> bool:
        """Whether the source's scatter is needed: for all but a plain Procrustes."""
        return self.methods != ("procrustes",) or self.scale != "none"


DEFAULTS = FitSettings()


@dataclass(frozen=True)
class Linear:
    """An affine transform, before its figures are known."""

    weight_DE: Matrix
    bias_E: Matrix
    scale: float

    def __call__(self, vectors_ND: Vectors) -> Vectors:
        """Unit-length images, in the precision of the vectors."""
        kind = vectors_ND.dtype
        return unit(vectors_ND @ self.weight_DE.astype(kind) + self.bias_E.astype(kind))


@dataclass(frozen=True)
class Choice:
    """The transform that did best on the pairs kept for choosing, and all that were tried."""

    linear: Linear
    best: Candidate
    tried: tuple[Candidate, ...]


def fit(
    pairs: Iterable[tuple[Vectors, Vectors]],
    *,
    source: str,
    target: str,
    settings: FitSettings = DEFAULTS,
    prior_DE: Vectors | None = None,
) -> Map:
    """
    Fit a map on pairs of rows (source, target), read once; zero rows are left out.

    Args:
        pairs: arrays N × D and N × E of any lengths; how the stream is cut changes nothing.
        source, target: the two space ids.
        settings: methods, strengths, and what is kept back.
        prior_DE: weight of the map that the source's tower was trained with; the method is then
            joint.
    """
    where, command = f"{source} -> {target}", fit_command(source, target)
    with_scatter = settings.needs_scatter or prior_DE is not None
    moments, held = _read(pairs, where, command, settings, with_scatter)
    refuse_unfit(moments, where, command)
    choice = choose(moments, held, settings, prior_DE)
    reported = choice.linear(held.report_HD)
    cosines_H = cosines(reported, held.report_HE)
    return Map(
        source=source,
        target=target,
        weight_DE=choice.linear.weight_DE.astype(np.float32),
        bias_E=choice.linear.bias_E.astype(np.float32),
        method=choice.best.method,
        strength=choice.best.strength,
        scale=choice.linear.scale,
        receipt=Receipt(
            pairs=moments.count,
            held=len(held),
            seed=settings.seed,
            candidates=choice.tried,
            cosine=float(cosines_H.mean()),
            cosine_error=standard_error(cosines_H),
            r2=r2(reported, held.report_HE),
        ),
    )


def choose(
    moments: PairMoments, held: Held, settings: FitSettings, prior_DE: Vectors | None = None
) -> Choice:
    """Solve every method and strength; keep the one with the best cosine on `held.choice`."""
    found: Choice | None = None
    tried: list[Candidate] = []
    pulled_to = None if prior_DE is None else _fitting(prior_DE, moments)
    for method, strength in _ways(settings, prior_DE is not None):
        procrustean = method == "procrustes"
        weight_DE = procrustes(moments) if procrustean else ridge(moments, strength, pulled_to)
        linear = _centred(moments, weight_DE, settings.scale)
        cosine = float(cosines(linear(held.choice_HD), held.choice_HE).mean())
        tried.append(Candidate(method=method, strength=strength, cosine=cosine))
        if found is None or cosine > found.best.cosine:
            found = Choice(linear, tried[-1], ())
    assert found is not None, "FitSettings has at least one method and strength"
    return Choice(found.linear, found.best, tuple(tried))


def procrustes(moments: PairMoments) -> Matrix:
    """
    The rotation (or reflection) nearest to carrying the centred source onto the centred target.

    Across widths it is semi-orthogonal: to a wider space its rows are orthonormal and lengths
    stay; to a narrower one its columns are, and the directions that matter least are dropped.
    """
    left_DK, _, right_KE = np.linalg.svd(moments.cross_DE, full_matrices=False)
    return np.asarray(left_DK @ right_KE)


def ridge(moments: PairMoments, strength: float, prior_DE: Matrix | None = None) -> Matrix:
    """
    Least squares with a penalty of `strength` mean variances of a source coordinate.

    Args:
        prior_DE: what a weight is pulled to; zero unless given.
    """
    scatter_DD, left_DE = moments.scatter_DD, moments.cross_DE
    if prior_DE is not None:
        left_DE = left_DE - scatter_DD @ prior_DE
    penalty = strength * np.trace(scatter_DD) / len(scatter_DD)
    weight_DE = np.linalg.solve(scatter_DD + penalty * np.eye(len(scatter_DD)), left_DE)
    return np.asarray(weight_DE if prior_DE is None else prior_DE + weight_DE)


def scale_of(moments: PairMoments, weight_DE: Matrix, how: str) -> float:
    """What to multiply a weight by: see FitSettings.scale."""
    if how == "none":
        return 1.0
    spread = float(np.vdot(weight_DE, moments.scatter_DD @ weight_DE))
    if spread <= 0:
        return 1.0
    if how == "spread":
        return float(np.sqrt(moments.target_square_E.sum() / spread))
    return float(np.vdot(weight_DE, moments.cross_DE)) / spread


def refuse_unfit(moments: PairMoments, where: str, command: str) -> None:
    """Refuse moments that no map can be solved from: too few pairs, constant vectors."""
    wanted = max(len(moments.source_mean_D), LEAST_PAIRS)
    if moments.count < wanted:
        raise DataError(
            where,
            f"{moments.count} pairs are left to fit on, without those kept back and zero rows",
            f"Wanted at least {wanted}, the width of the source. Fit on more of them:"
            f" {command} --pairs {2 * wanted}",
        )
    sides = (
        ("source", float(moments.source_square_D.sum()), moments.source_mean_D),
        ("target", float(moments.target_square_E.sum()), moments.target_mean_E),
    )
    for side, square, mean in sides:
        if square <= CONSTANT * moments.count * float(mean @ mean):
            raise DataError(
                where,
                f"the {side} vectors are all the same",
                f"Wanted vectors that tell entities apart. Make that space again, then: {command}",
            )


def _read(
    pairs: Iterable[tuple[Vectors, Vectors]],
    where: str,
    command: str,
    settings: FitSettings,
    scatter: bool,
) -> tuple[PairMoments, Held]:
    keep = HoldBack(settings.held_share, settings.held_most, settings.seed)
    moments: PairMoments | None = None
    for source_BD, target_BE in in_blocks(pairs, where, command):
        moments = moments or PairMoments(source_BD.shape[1], target_BE.shape[1], scatter=scatter)
        moments.add(*keep.split(source_BD, target_BE))
    held = keep.held()
    if moments is None or held is None or len(held) < 2:
        raise EmptyInput(where, "no pair that is not zero", f"Wanted pairs to fit on: {command}")
    return moments, held


def _fitting(prior_DE: Vectors, moments: PairMoments) -> Matrix:
    """The prior's weight, at the length that brings it nearest to what it is to explain.

    A trained map is told by its directions only, since its outputs are scaled to unit length.
    """
    if prior_DE.shape != moments.cross_DE.shape:
        raise DataError(
            "prior of a map",
            f"a weight of shape {prior_DE.shape} for pairs of {moments.cross_DE.shape}",
            "Wanted the map that was trained between these two spaces. Train it again: star graph",
        )
    weight_DE = np.asarray(prior_DE, dtype=np.float64)
    return weight_DE * scale_of(moments, weight_DE, "least_squares")


def _ways(settings: FitSettings, joint: bool) -> list[tuple[str, float]]:
    if joint:
        return [("joint", strength) for strength in settings.joint_strengths]
    ways: list[tuple[str, float]] = []
    for method in settings.methods:
        strengths = settings.strengths if method == "ridge" else (0.0,)
        ways += [(method, strength) for strength in strengths]
    return ways


def _centred(moments: PairMoments, weight_DE: Matrix, how: str) -> Linear:
    scale = scale_of(moments, weight_DE, how)
    weight_DE = weight_DE * scale
    bias_E = moments.target_mean_E - moments.source_mean_D @ weight_DE
    return Linear(weight_DE, bias_E, scale)
