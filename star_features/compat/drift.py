"""
Has a space moved, and does a map still hold? Cheap statistics per space, and a verdict.

    now = SpaceStatistics("job_graph_v2@…", width=200)
    for block_ND in blocks: now.add(block_ND)
    report = verdict(compare(before, now) | {"map_residual": canary_residual(map, x_ND, y_NE)})

The distances are corrected for the size of the samples (as if Gaussian), so that a small batch of
the same space stays near 0 instead of raising an alarm.

Shapes: N rows, D width of a space, E width of a map's target space.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from star_features.compat.figures import cosines
from star_features.compat.maps import Map
from star_features.compat.moments import Matrix, Moments, Vectors
from star_features.compat.pairs import as_float, fit_command, name_of, square_norms
from star_features.errors import DataError, EmptyInput, SpaceMismatch, UsageError
from star_features.files import Settings

SHRINK = 0.05  # share of the mean variance mixed into a covariance before it is inverted


@dataclass
class Lengths:
    """Mean, sum of squared deviations and range of the lengths of the rows that are not zero."""

    mean: float = 0.0
    square: float = 0.0
    least: float = float("inf")
    greatest: float = 0.0


class SpaceStatistics:
    """Moments of the vectors of one space, their lengths, and how many rows are zero."""

    def __init__(self, space: str, width: int) -> None:
        self.space = space
        self.moments = Moments(width)
        self.lengths = Lengths()
        self.zero_rows = 0

    @property
    def count(self) -> int:
        """Rows that are not zero."""
        return self.moments.count

    @property
    def length_spread(self) -> float:
        """Standard deviation of the lengths: near 0 in a space of unit vectors."""
        return float(np.sqrt(self.lengths.square / max(self.count, 1)))

    def add(self, vectors_ND: Vectors) -> None:
        """Take in one block of rows."""
        vectors = as_float(vectors_ND)
        if vectors.ndim != 2 or vectors.shape[1] != self.moments.width:
            self._refuse(f"vectors of shape {vectors.shape}", f"rows of {self.moments.width}")
        square_N = square_norms(vectors)
        if not np.isfinite(square_N).all():
            self._refuse("vectors that are not finite", "finite vectors")
        present = square_N > 0
        block = SpaceStatistics(self.space, self.moments.width)
        block.zero_rows = int((~present).sum())
        if present.any():
            lengths_N = np.sqrt(square_N[present], dtype=np.float64)
            mean = float(lengths_N.mean())
            square = float(np.square(lengths_N - mean).sum())
            block.lengths = Lengths(mean, square, float(lengths_N.min()), float(lengths_N.max()))
            block.moments.count = len(lengths_N)
        self.lengths = _merged(self, block)
        self.zero_rows += block.zero_rows
        self.moments.add(vectors if present.all() else vectors[present])

    def merge(self, other: "SpaceStatistics") -> "SpaceStatistics":
        """The statistics of both sets of rows; neither operand changes."""
        if self.space != other.space:
            raise SpaceMismatch(got=other.space, wanted=self.space)
        both = SpaceStatistics(self.space, self.moments.width)
        both.moments = self.moments.merge(other.moments)
        both.lengths = _merged(self, other)
        both.zero_rows = self.zero_rows + other.zero_rows
        return both

    def _refuse(self, got: str, wanted: str) -> None:
        signal = name_of(self.space).rsplit("_", 1)[0]
        raise DataError(
            self.space, got, f"Wanted {wanted}. Make them again: star materialize {signal}"
        )


class DriftBounds(Settings):
    """Bounds above which a figure asks for a refit."""

    mean_shift: float = Field(default=0.1, gt=0)
    """Distance between the means, in standard deviations of a whole vector."""
    covariance: float = Field(default=0.3, gt=0)
    """Frobenius distance between the covariances over the size of the earlier one."""
    length_shift: float = Field(default=0.1, gt=0)
    """Change of the mean length, as a share of the earlier one."""
    zero_share: float = Field(default=0.05, gt=0)
    """Rise of the share of zero rows."""
    new_domain: float = Field(default=0.1, gt=0)
    """Share of rows outside the domain that the map was fitted on."""
    map_residual: float = Field(default=0.02, gt=0)
    """Rise of 1 - cosine on the canary rows since the map was fitted."""


BOUNDS = DriftBounds()


@dataclass(frozen=True)
class DriftFigure:
    """One figure beside its bound."""

    name: str
    value: float
    bound: float

    @property
    def within(self) -> bool:
        return self.value <= self.bound


@dataclass(frozen=True)
class Verdict:
    """All figures of one materialization, and whether they ask for a refit."""

    figures: tuple[DriftFigure, ...]

    @property
    def refit(self) -> bool:
        return not all(figure.within for figure in self.figures)


def verdict(values: Mapping[str, float], bounds: DriftBounds = BOUNDS) -> Verdict:
    """Set each figure beside the bound of its name; a figure that is NaN is not within."""
    known = bounds.model_dump()
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(f"no bound for {', '.join(unknown)}; known are {', '.join(known)}")
    return Verdict(tuple(DriftFigure(name, values[name], known[name]) for name in values))


def compare(before: SpaceStatistics, now: SpaceStatistics) -> dict[str, float]:
    """Distances between two statistics of one space, in O(D²)."""
    if before.space != now.space:
        raise SpaceMismatch(got=now.space, wanted=before.space)
    for statistics in (before, now):
        if statistics.count < 2:
            raise EmptyInput(
                statistics.space,
                f"{statistics.count} rows that are not zero",
                f"Wanted two or more: star materialize {name_of(statistics.space)}",
            )
    return {
        "mean_shift": mean_shift(before.moments, now.moments),
        "covariance": covariance_distance(before.moments, now.moments),
        "length_shift": abs(now.lengths.mean / before.lengths.mean - 1),
        "zero_share": max(0.0, _zero_share(now) - _zero_share(before)),
    }


def mean_shift(before: Moments, now: Moments) -> float:
    """Distance of the means over the root of the total variance, less what chance explains."""
    total = float(np.trace(before.covariance()))
    gap = float(np.square(now.mean_D - before.mean_D).sum())
    return _root_ratio(gap - total * _chance(before, now), total)


def covariance_distance(before: Moments, now: Moments) -> float:
    """Frobenius distance of the covariances over the first one's, less what chance explains."""
    one, other = before.covariance(), now.covariance()
    size = float(np.vdot(one, one))
    chance = (float(np.trace(one)) ** 2 + size) * _chance(before, now)
    return _root_ratio(float(np.square(other - one).sum()) - chance, size)


def frechet(before: Moments, now: Moments) -> float:
    """
    Fréchet distance of the two Gaussians, over the earlier total variance; O(D³).

    Not corrected for sample size: compare samples of one size, many times the width.
    """
    one, other = before.covariance(), now.covariance()
    root = _square_root(one)
    cross = float(np.sqrt(np.clip(np.linalg.eigvalsh(root @ other @ root), 0, None)).sum())
    gap = float(np.square(now.mean_D - before.mean_D).sum())
    total = float(np.trace(one))
    return max(0.0, gap + total + float(np.trace(other)) - 2 * cross) / total


def canary_residual(map: Map, source_ND: Vectors, native_NE: Vectors) -> float:
    """Mean of 1 - cosine between mapped and native vectors of the canary entities."""
    return float(1 - cosines(map(source_ND, space=map.source), native_NE).mean())


def refit_command(map: Map) -> str:
    """What to run when the verdict asks for a refit."""
    return fit_command(map.source, map.target)


@dataclass(frozen=True)
class Domain:
    """
    Where a space's vectors lay when its map was fitted.

    Attributes:
        radius: Mahalanobis distance within which the given share of the reference rows lies.
    """

    space: str
    mean_D: Matrix
    whitener_DD: Matrix
    radius: float

    def outside(self, vectors_ND: Vectors) -> NDArray[np.bool_]:
        """Which rows lie beyond the radius: new-domain rows."""
        return _distances(vectors_ND, self.mean_D, self.whitener_DD) > self.radius


def domain_of(statistics: SpaceStatistics, sample_ND: Vectors, inside: float = 0.99) -> Domain:
    """The region that holds `inside` of a sample of the reference rows."""
    covariance_DD = statistics.moments.covariance()
    width = statistics.moments.width
    ridge_DD = SHRINK * np.trace(covariance_DD) / width * np.eye(width)
    whitener_DD = np.linalg.inv(np.linalg.cholesky(covariance_DD + ridge_DD)).T
    distances_N = _distances(sample_ND, statistics.moments.mean_D, whitener_DD)
    radius = float(np.quantile(distances_N, inside))
    return Domain(statistics.space, statistics.moments.mean_D, whitener_DD, radius)


def new_domain_share(domain: Domain, vectors_ND: Vectors) -> float:
    """Share of rows outside the domain; of the reference rows themselves, 1 - `inside`."""
    return float(domain.outside(vectors_ND).mean())


def _distances(vectors_ND: Vectors, mean_D: Matrix, whitener_DD: Matrix) -> NDArray[Any]:
    return np.asarray(np.linalg.norm((vectors_ND - mean_D) @ whitener_DD, axis=1))


def _merged(one: SpaceStatistics, other: SpaceStatistics) -> Lengths:
    n, m = one.count, other.count
    if n + m == 0:
        return Lengths()
    gap = other.lengths.mean - one.lengths.mean
    return Lengths(
        mean=one.lengths.mean + gap * m / (n + m),
        square=one.lengths.square + other.lengths.square + gap * gap * n * m / (n + m),
        least=min(one.lengths.least, other.lengths.least),
        greatest=max(one.lengths.greatest, other.lengths.greatest),
    )


def _square_root(matrix_DD: Matrix) -> Matrix:
    values_D, vectors_DD = np.linalg.eigh(matrix_DD)
    return np.asarray((vectors_DD * np.sqrt(np.clip(values_D, 0, None))) @ vectors_DD.T)


def _chance(before: Moments, now: Moments) -> float:
    return 1 / before.count + 1 / now.count


def _root_ratio(square: float, size: float) -> float:
    return float(np.sqrt(max(0.0, square) / size)) if size > 0 else float("nan")


def _zero_share(statistics: SpaceStatistics) -> float:
    return statistics.zero_rows / max(statistics.count + statistics.zero_rows, 1)
