"""
One column of a training set, or of an online answer, as numbers; and what missing means in each.

Missing is None, NaN, an empty string, an empty list, and a vector that is zero or not finite.

Shapes: N rows, D width of a space.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from star_features.errors import DataError
from star_features.spaces import unit

Column = Sequence[Any] | NDArray[Any]
Columns = Mapping[str, Column]

OTHER = 0  # the code of a rare category, and of one never seen in training


def texts(column: Column) -> NDArray[np.object_]:
    """Category values as strings, None where missing."""
    out = np.empty(len(column), dtype=object)
    out[:] = [None if _is_missing(value) else str(value) for value in column]
    return out


def vocabulary(texts_N: Iterable[str | None], most: int) -> tuple[str, ...]:
    """The `most` frequent categories, ties by name, sorted."""
    counts = Counter(text for text in texts_N if text is not None)
    return tuple(sorted(sorted(counts, key=lambda text: (-counts[text], text))[:most]))


def codes(texts_N: Iterable[str | None], known: Sequence[str]) -> NDArray[np.float64]:
    """1 and up in the order of `known`, OTHER for any other category, NaN where missing."""
    code_of: dict[str | None, float] = {text: row for row, text in enumerate(known, start=1)}
    code_of[None] = np.nan
    return np.array([code_of.get(text, OTHER) for text in texts_N], dtype=np.float64)


def matches(one_N: NDArray[np.object_], other_N: NDArray[np.object_]) -> NDArray[np.float64]:
    """1 where both name the same category, 0 where they differ, NaN where either is missing."""
    one_N, other_N = np.broadcast_arrays(one_N, other_N)
    missing_N = pd.isna(one_N) | pd.isna(other_N)
    return np.where(missing_N, np.nan, np.equal(one_N, other_N).astype(np.float64))


def stack(column: Column, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Unit vectors, N × D (zeros where missing), and which are present.

    Raises:
        DataError: the vectors differ in width.
    """
    if isinstance(column, np.ndarray) and column.ndim == 2:
        vectors_ND = column.astype(np.float32)
    else:
        vectors_ND = _filled(column, name)
    vectors_ND[~np.isfinite(vectors_ND).all(axis=1)] = 0
    return unit(vectors_ND), np.asarray(vectors_ND.any(axis=1))


def has_lists(column: Column) -> bool:
    """True where the first value that is present is a list."""
    first = next((value for value in column if not _is_missing(value)), None)
    return isinstance(first, list | tuple | np.ndarray)


def _filled(column: Column, name: str) -> NDArray[np.float32]:
    rows = [row for row, value in enumerate(column) if not _is_missing(value)]
    widths = {len(column[row]) for row in rows}
    if len(widths) > 1:
        raise DataError(
            name, f"vectors of widths {sorted(widths)}", "Wanted one width: that of one space."
        )
    vectors_ND = np.zeros((len(column), widths.pop() if widths else 1), dtype=np.float32)
    if rows:
        vectors_ND[rows] = np.array([column[row] for row in rows], dtype=np.float32)
    return vectors_ND


def _is_missing(value: Any) -> bool:
    if isinstance(value, list | tuple | np.ndarray | str):
        return len(value) == 0
    return value is None or value is pd.NA or value != value
