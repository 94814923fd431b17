"""
The score contract: a frozen ranker on mapped vectors keeps its order, but do its scores mean the
same? The Kolmogorov-Smirnov distance says how far they moved; a monotone calibration moves them
back, for rankers with a threshold or a calibrated probability.

    calibration = isotonic(mapped_N, native_N)     # the same pairs, scored both ways
    ks_distance(native_N, calibration(mapped_N))

Shapes: N scored pairs, K knots of a calibration.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import DataError

Scores = NDArray[np.floating[Any]]
MAX_KNOTS = 1000


@dataclass(frozen=True)
class Calibration:
    """A rising, piecewise linear function from mapped scores to the scores they stood for."""

    mapped_K: NDArray[np.float64]
    native_K: NDArray[np.float64]

    def __call__(self, mapped_N: Scores) -> NDArray[np.float64]:
        """Native meaning of each score; beyond the range of the fit, that of its end."""
        return np.asarray(np.interp(mapped_N, self.mapped_K, self.native_K))


def ks_distance(one_N: Scores, other_M: Scores) -> float:
    """Largest gap between the two shares of scores below any value: 0 same, 1 apart."""
    one, other = _finite(one_N), _finite(other_M)
    both = np.concatenate([one, other])
    below_one = np.searchsorted(np.sort(one), both, side="right") / len(one)
    below_other = np.searchsorted(np.sort(other), both, side="right") / len(other)
    return float(np.abs(below_one - below_other).max())


def isotonic(mapped_N: Scores, native_N: Scores) -> Calibration:
    """
    Least-squares rising fit of the native score on the mapped one (pool adjacent violators).

    For a ranker whose score is read as a value: each calibrated score is the mean of the native
    scores behind it. It narrows the spread where the two disagree; `quantiles` does not. Pools
    are joined by lines, so pairs inside the range of the fit never become ties.
    """
    mapped, native = _scored_twice(mapped_N, native_N)
    x_K, first, weight = np.unique(mapped, return_inverse=True, return_counts=True)
    y_K = np.bincount(first, weights=native) / weight
    x_P, y_P = _pools(x_K, y_K, weight.astype(np.float64))
    ends = np.array([x_K[0], x_K[-1]]), np.array([y_K.min(), y_K.max()])
    return _thinned(*_with_ends(x_P, y_P, *ends))


def quantiles(mapped_N: Scores, native_N: Scores) -> Calibration:
    """
    The rising function under which mapped scores are distributed as the native ones.

    For a ranker with a threshold: the share of pairs above it stays what it was.
    """
    mapped, native = _scored_twice(mapped_N, native_N)
    levels = np.linspace(0, 1, min(len(mapped), MAX_KNOTS))
    x_K, first = np.unique(np.quantile(mapped, levels), return_inverse=True)
    y_K = np.bincount(first, weights=np.quantile(native, levels)) / np.bincount(first)
    return Calibration(x_K, y_K)


def _pools(
    x_K: NDArray[np.float64], y_K: NDArray[np.float64], weight_K: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and mean of each pool, after joining neighbours until the means rise."""
    centre: list[float] = []
    mean: list[float] = []
    weight: list[float] = []
    for x, y, w in zip(x_K.tolist(), y_K.tolist(), weight_K.tolist(), strict=True):
        while mean and mean[-1] >= y:
            before = weight.pop()
            total = before + w
            x = (centre.pop() * before + x * w) / total
            y = (mean.pop() * before + y * w) / total
            w = total
        centre.append(x)
        mean.append(y)
        weight.append(w)
    return np.array(centre), np.array(mean)


def _with_ends(
    x_P: NDArray[np.float64],
    y_P: NDArray[np.float64],
    x_ends: NDArray[np.float64],
    y_ends: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reach to both ends of what was seen: else the best pairs of all would become ties."""
    low = [0] if x_ends[0] < x_P[0] else []
    high = [1] if x_ends[1] > x_P[-1] else []
    return (
        np.concatenate([x_ends[low], x_P, x_ends[high]]),
        np.concatenate([y_ends[low], y_P, y_ends[high]]),
    )


def _thinned(x_K: NDArray[np.float64], y_K: NDArray[np.float64]) -> Calibration:
    keep = np.unique(np.linspace(0, len(x_K) - 1, min(len(x_K), MAX_KNOTS)).round().astype(int))
    return Calibration(x_K[keep], y_K[keep])


def _scored_twice(
    mapped_N: Scores, native_N: Scores
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mapped, native = _finite(mapped_N), _finite(native_N)
    if len(mapped) != len(native):
        raise DataError(
            "calibration",
            f"{len(mapped)} mapped and {len(native)} native scores",
            "Wanted the same pairs scored both ways: star compat report",
        )
    return mapped, native


def _finite(scores_N: Scores) -> NDArray[np.float64]:
    scores = np.asarray(scores_N, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
        raise DataError(
            "scores",
            f"an array of shape {scores.shape}, empty or with numbers that are not finite",
            "Wanted one finite score a pair. Score the consumer again: star compat report",
        )
    return scores
