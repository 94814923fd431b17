"""
Who is cold? Members and jobs of which the history holds nothing taken.

    masks = slice_masks(split.history, member_ids_N, job_ids_N)
    auc(labels_N[masks["cold members"]], scores_N[masks["cold members"]])

Shown and not taken is no history here: it says that a pair met, not that anybody wanted it.

Shapes: N rows.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SLICES = ("all", "warm", "cold members", "cold jobs")


def taken(interactions: pa.Table) -> pa.Table:
    """The rows that were taken: label 1."""
    return interactions.filter(pc.equal(interactions["label"], 1))


def cold(history: pa.Table, column: str, ids_N: Sequence[str]) -> NDArray[np.bool_]:
    """True for each id that no taken row of `history` names in `column`."""
    known = pc.unique(taken(history)[column]).cast(pa.string())
    warm = pc.is_in(pa.array(ids_N, type=pa.string()), value_set=known)
    return ~np.asarray(warm.to_numpy(zero_copy_only=False), dtype=np.bool_)


def slice_masks(
    history: pa.Table, member_ids_N: Sequence[str], job_ids_N: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Rows of each slice; `warm` has both sides known, a row may be in both cold slices."""
    cold_member_N = cold(history, "member_id", member_ids_N)
    cold_job_N = cold(history, "job_id", job_ids_N)
    return {
        "all": np.ones(len(cold_member_N), dtype=np.bool_),
        "warm": ~cold_member_N & ~cold_job_N,
        "cold members": cold_member_N,
        "cold jobs": cold_job_N,
    }


def degree_masks(
    history: pa.Table, column: str, ids_N: Sequence[str], starts: Sequence[int]
) -> dict[str, NDArray[np.bool_]]:
    """Rows by how many taken rows of `history` name their id: `jobs with 5-19` of starts 1, 5, 20.

    Ids that none names are in no mask: `slice_masks` has them.
    """
    counted = taken(history).group_by(column).aggregate([(column, "count")])
    counts = counted[f"{column}_count"].to_pylist()
    count_of = dict(zip(counted[column].to_pylist(), counts, strict=True))
    count_N = np.array([count_of.get(key, 0) for key in ids_N], dtype=np.int64)
    ends = [*starts[1:], np.iinfo(np.int64).max]
    return {
        _bucket(column, start, end): (count_N >= start) & (count_N < end)
        for start, end in zip(starts, ends, strict=True)
    }


def _bucket(column: str, start: int, end: int) -> str:
    entity = column.removesuffix("_id")
    last = end - 1
    return f"{entity}s with {start}" + ("+" if last > 1 << 40 else f"-{last}" * (last > start))
