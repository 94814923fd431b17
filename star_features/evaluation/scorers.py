"""
What can order jobs for a member: each signal, all signals together, and the peers to beat.

A `Scorer` takes C row numbers of members and returns a fresh C × J matrix, higher is better.

- `signal_scorer`: cosine. A job without a vector stands below all that have one; a member without
  one ties all jobs.
- `together`: the sum over signals of the cosine, z-scored over the jobs of each member; a missing
  vector counts as that member's mean. No signal weighs more because its cosines spread wider.
- `popularity`: how many members took the job in the history.
- `item_item`: collaborative filtering; a job scores the cosines of its takers with those of each
  job that the member took, keeping the `neighbours` nearest of every job.

Shapes: M members, J jobs, C members in a chunk, D width.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from star_features.errors import DataError
from star_features.ranking.versions import require_pair
from star_features.spaces import VectorTable, unit

Scorer = Callable[[NDArray[np.int64]], NDArray[np.float32]]
Signals = Mapping[str, tuple[VectorTable, VectorTable]]

BELOW_ALL = np.float32(-2.0)  # under every cosine
FLAT = 1e-6  # a deviation that is rounding only
JOBS_AT_ONCE = 1024


def signal_scorers(
    signals: Signals, member_ids_M: Sequence[str], job_ids_J: Sequence[str]
) -> dict[str, Scorer]:
    """One scorer per signal, and `together` where there are several."""
    cosines = {
        name: _cosine(member, job, member_ids_M, job_ids_J)
        for name, (member, job) in signals.items()
    }
    scorers = {name: _missing_last(cosine) for name, cosine in cosines.items()}
    if len(cosines) > 1:
        scorers["together"] = together(list(cosines.values()))
    return scorers


def together(cosines: Sequence[Scorer]) -> Scorer:
    """Sum of cosines z-scored per member; NaN counts as the member's mean."""

    def score(rows_C: NDArray[np.int64]) -> NDArray[np.float32]:
        scores_CJ = _z_scored(cosines[0](rows_C))
        for cosine in cosines[1:]:
            scores_CJ += _z_scored(cosine(rows_C))
        return scores_CJ

    return score


def popularity(taken_MJ: sparse.csr_array) -> Scorer:
    """The same order for all: how many members took each job."""
    count_J = np.asarray((taken_MJ > 0).sum(axis=0), dtype=np.float32).ravel()
    return lambda rows_C: np.tile(count_J, (len(rows_C), 1))


def item_item(
    taken_MJ: sparse.csr_array, of_members_MJ: sparse.csr_array, neighbours: int
) -> Scorer:
    """Item-item filtering learnt from all takers, scored for the members of `of_members_MJ`."""
    nearest_JJ = _nearest(taken_MJ, neighbours)
    return lambda rows_C: (of_members_MJ[rows_C] @ nearest_JJ).toarray().astype(np.float32)


def _cosine(
    member: VectorTable,
    job: VectorTable,
    member_ids_M: Sequence[str],
    job_ids_J: Sequence[str],
) -> Scorer:
    """Cosines of one signal, NaN where either vector is missing."""
    require_pair(member.space, job.space)
    if member.vectors_ND.shape[1] != job.vectors_ND.shape[1]:
        raise DataError(
            f"{member.space} and {job.space}",
            f"widths {member.vectors_ND.shape[1]} and {job.vectors_ND.shape[1]}",
            "Wanted one width: vectors of one pair are compared with each other.",
        )
    member_MD, has_M = member.aligned_to(member_ids_M)
    job_JD, has_J = job.aligned_to(job_ids_J)
    member_MD, job_JD = unit(member_MD), unit(job_JD)

    def score(rows_C: NDArray[np.int64]) -> NDArray[np.float32]:
        scores_CJ = member_MD[rows_C] @ job_JD.T
        scores_CJ[~has_M[rows_C]] = np.nan
        scores_CJ[:, ~has_J] = np.nan
        return scores_CJ

    return score


def _missing_last(cosine: Scorer) -> Scorer:
    def score(rows_C: NDArray[np.int64]) -> NDArray[np.float32]:
        scores_CJ = cosine(rows_C)
        scores_CJ[np.isnan(scores_CJ)] = BELOW_ALL
        return scores_CJ

    return score


def _z_scored(scores_CJ: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of mean 0 and deviation 1; NaN and rows without spread become 0."""
    present_CJ = ~np.isnan(scores_CJ)
    count_C1 = np.maximum(present_CJ.sum(axis=1, keepdims=True), 1)
    filled_CJ = np.where(present_CJ, scores_CJ, 0)
    mean_C1 = filled_CJ.sum(axis=1, keepdims=True) / count_C1
    centred_CJ = np.where(present_CJ, scores_CJ - mean_C1, 0)
    spread_C1 = np.sqrt((centred_CJ**2).sum(axis=1, keepdims=True) / count_C1)
    spread_C1[spread_C1 < FLAT] = np.inf
    return np.asarray(centred_CJ / spread_C1, dtype=np.float32)


def _nearest(taken_MJ: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """Cosines between jobs' sets of takers; of each job, the nearest others only."""
    columns_MJ = sparse.csc_array(taken_MJ > 0, dtype=np.float32)
    takers_J = np.asarray(columns_MJ.sum(axis=0)).ravel()
    scale_J = np.divide(1, np.sqrt(takers_J), out=np.zeros_like(takers_J), where=takers_J > 0)
    unit_MJ = columns_MJ @ sparse.diags_array(scale_J)
    blocks = []
    for start in range(0, unit_MJ.shape[1], JOBS_AT_ONCE):
        cosine_BJ = (unit_MJ[:, start : start + JOBS_AT_ONCE].T @ unit_MJ).toarray()
        itself_B = np.arange(len(cosine_BJ))
        cosine_BJ[itself_B, start + itself_B] = 0
        if neighbours < cosine_BJ.shape[1]:
            far_BX = np.argpartition(-cosine_BJ, neighbours, axis=1)[:, neighbours:]
            np.put_along_axis(cosine_BJ, far_BX, 0, axis=1)
        blocks.append(sparse.csr_array(cosine_BJ))
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))
