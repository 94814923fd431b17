"""
How well do mapped vectors stand in for native ones? Figures of two arrays, row beside row.

    cosines_N = cosines(mapped_NE, native_NE)
    table = by_slice(cosines_N, {"degree": degree_N, "cold": cold_N})

Shapes: N held-out entities, E width of the target space, B rows of a block, K neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.compat.maps import Map
from star_features.compat.moments import Vectors
from star_features.errors import DataError, EmptyInput, UsageError
from star_features.spaces import unit

BLOCK_CELLS = 1 << 22  # similarities held at once: 16 MiB of float32


@dataclass(frozen=True)
class SliceFigure:
    """Mean cosine of one part of the held-out entities."""

    slice: str
    value: str
    rows: int
    cosine: float
    cosine_error: float


@dataclass(frozen=True)
class MapFigures:
    """What a map keeps, on pairs it has not seen."""

    rows: int
    cosine: float
    cosine_error: float
    r2: float
    neighbours_kept: float
    slices: tuple[SliceFigure, ...]


def map_figures(
    map: Map,
    source_ND: Vectors,
    native_NE: Vectors,
    slices: Mapping[str, NDArray[Any]] | None = None,
    at: int = 10,
) -> MapFigures:
    """Every figure of one map on held-out pairs."""
    mapped_NE = map(source_ND, space=map.source)
    cosines_N = cosines(mapped_NE, native_NE)
    return MapFigures(
        rows=len(cosines_N),
        cosine=float(cosines_N.mean()),
        cosine_error=standard_error(cosines_N),
        r2=r2(mapped_NE, native_NE),
        neighbours_kept=neighbours_kept(mapped_NE, native_NE, at),
        slices=by_slice(cosines_N, slices or {}),
    )


def cosines(one_NE: Vectors, other_NE: Vectors) -> NDArray[np.float64]:
    """Cosine of each row with the row beside it; 0 where either is a zero row."""
    _same_shape(one_NE, other_NE)
    dots_N, one_N, other_N = (
        np.einsum("ne,ne->n", left, right, dtype=np.float64)
        for left, right in ((one_NE, other_NE), (one_NE, one_NE), (other_NE, other_NE))
    )
    lengths_N = np.sqrt(one_N * other_N)
    out_N = np.zeros(len(dots_N))
    np.divide(dots_N, lengths_N, out=out_N, where=lengths_N > 0)
    return out_N


def r2(mapped_NE: Vectors, native_NE: Vectors) -> float:
    """Share of the native vectors' variance that the mapped ones explain; 0 where there is none."""
    _same_shape(mapped_NE, native_NE)
    native = np.asarray(native_NE, dtype=np.float64)
    total = float(np.square(native - native.mean(axis=0)).sum())
    lost = float(np.square(native - mapped_NE).sum())
    return 1 - lost / total if total > 0 else 0.0


def neighbours_kept(mapped_NE: Vectors, native_NE: Vectors, at: int = 10) -> float:
    """
    Share of each entity's `at` nearest by cosine that stay its nearest when all are mapped.

    The entity itself does not count. Chance level is at / (N - 1).
    """
    _same_shape(mapped_NE, native_NE)
    rows = len(native_NE)
    if not 0 < at < rows:
        raise UsageError(
            f"neighbours at {at} of {rows} entities: wanted at least 1 and fewer than there are"
        )
    mapped, native = (unit(np.asarray(x, dtype=np.float32)) for x in (mapped_NE, native_NE))
    kept = 0
    step = max(1, BLOCK_CELLS // rows)
    for start in range(0, rows, step):
        near_BK = _nearest(native, start, step, at)
        also_BK = _nearest(mapped, start, step, at)
        kept += int((near_BK[:, :, None] == also_BK[:, None, :]).sum())
    return kept / (rows * at)


def by_slice(
    cosines_N: NDArray[np.float64], slices: Mapping[str, NDArray[Any]]
) -> tuple[SliceFigure, ...]:
    """Mean cosine for every value of every slicing: slices that a mean over all would hide."""
    table = []
    for name, values_N in slices.items():
        if len(values_N) != len(cosines_N):
            raise DataError(
                f"slice {name}",
                f"{len(values_N)} values for {len(cosines_N)} entities",
                "Wanted one value for each held-out entity: star compat report",
            )
        for value in np.unique(values_N):
            inside = cosines_N[values_N == value]
            mean, error = float(inside.mean()), standard_error(inside)
            table.append(SliceFigure(name, str(value), len(inside), mean, error))
    return tuple(table)


def standard_error(values_N: NDArray[np.float64]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    if len(values_N) < 2:
        return float("nan")
    return float(values_N.std(ddof=1) / np.sqrt(len(values_N)))


def _nearest(vectors_NE: NDArray[np.float32], start: int, step: int, at: int) -> NDArray[np.int64]:
    block = vectors_NE[start : start + step]
    likeness_BN = block @ vectors_NE.T
    own = np.arange(len(block))
    likeness_BN[own, start + own] = -np.inf
    return np.argpartition(-likeness_BN, at - 1, axis=1)[:, :at]


def _same_shape(one: Vectors, other: Vectors) -> None:
    if one.shape != other.shape or one.ndim != 2:
        raise DataError(
            "figures",
            f"arrays of shape {one.shape} and {other.shape}",
            "Wanted the same entities in the same space on both sides: star compat report",
        )
    if len(one) == 0:
        raise EmptyInput(
            "figures", "no pair", "Wanted held-out pairs. Sample more: star compat fit"
        )
