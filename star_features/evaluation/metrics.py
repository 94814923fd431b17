"""
How good is an order of jobs? AUC over shown rows; recall, nDCG and MRR over all jobs.

    ranks_P = ranks(scores_CJ, member_rows_P, job_rows_P)
    recall_at(ranks_P, member_rows_P, k=10).mean()

The three that rank all jobs return one value per member, so that a mean, a slice or a bootstrap
can be taken of them. Ties never flatter: equal scores share the mean of their ranks.

Shapes: N rows, P held-out (member, job) pairs, C members in a chunk, J jobs, M members with a pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from star_features.errors import DataError, UsageError

BLOCK_CELLS = 1 << 24  # scores compared at once: 64 MiB of float32


@dataclass(frozen=True)
class Interval:
    """A figure and how far it may be from the truth."""

    value: float
    low: float
    high: float


def auc(labels_N: NDArray[Any], scores_N: NDArray[Any]) -> float:
    """Chance that a taken row scores above one not taken, ties as half; NaN with one class."""
    if len(labels_N) != len(scores_N):
        raise DataError(
            "auc", f"{len(labels_N)} labels and {len(scores_N)} scores", "Wanted one score a label."
        )
    if np.isnan(scores_N).any():
        raise DataError("auc", "scores that are NaN", "Give rows without a score a defined value.")
    taken_N = np.asarray(labels_N) > 0
    taken = int(taken_N.sum())
    left = len(taken_N) - taken
    if taken == 0 or left == 0:
        return float("nan")
    rank_sum = float(rankdata(scores_N)[taken_N].sum())
    return (rank_sum - taken * (taken + 1) / 2) / (taken * left)


def auc_gap(
    labels_N: NDArray[Any], one_N: NDArray[Any], other_N: NDArray[Any]
) -> tuple[float, float]:
    """AUC of the first scores over that of the second on the same rows, and its standard error.

    DeLong's: exact for what two AUCs of the same rows have in common, without drawing. NaN with
    fewer than two rows of either class.
    """
    taken_N = np.asarray(labels_N) > 0
    if min(taken_N.sum(), (~taken_N).sum()) < 2:
        return auc(labels_N, one_N) - auc(labels_N, other_N), float("nan")
    parts = [_placements(scores_N[taken_N], scores_N[~taken_N]) for scores_N in (one_N, other_N)]
    gaps = [one - other for one, other in zip(*parts, strict=True)]
    variance = sum(float(gap.var(ddof=1)) / len(gap) for gap in gaps)
    return float(gaps[0].mean()), float(np.sqrt(variance))


def _placements(taken_P: NDArray[Any], left_Q: NDArray[Any]) -> list[NDArray[np.float64]]:
    """For each taken row the share of others below it; for each other the share of taken above."""
    both = rankdata(np.concatenate([taken_P, left_Q]))
    below_P = (both[: len(taken_P)] - rankdata(taken_P)) / len(left_Q)
    above_Q = 1 - (both[len(taken_P) :] - rankdata(left_Q)) / len(taken_P)
    return [np.asarray(below_P), np.asarray(above_Q)]


def ranks(
    scores_CJ: NDArray[np.float32], member_rows_P: NDArray[np.int64], job_rows_P: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rank (1 is best) of each held-out job among its member's jobs; -inf is no candidate."""
    held_P = scores_CJ[member_rows_P, job_rows_P]
    above_P = np.zeros(len(held_P), dtype=np.int64)
    equal_P = np.zeros(len(held_P), dtype=np.int64)
    step = max(1, BLOCK_CELLS // max(1, scores_CJ.shape[1]))
    for start in range(0, len(held_P), step):
        block = slice(start, start + step)
        rows_BJ = scores_CJ[member_rows_P[block]]
        above_P[block] = (rows_BJ > held_P[block, None]).sum(axis=1)
        equal_P[block] = (rows_BJ == held_P[block, None]).sum(axis=1)
    return 1.0 + above_P + (equal_P - 1) / 2


def recall_at(
    ranks_P: NDArray[np.float64], member_rows_P: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Per member: which share of the held-out jobs stands among the first `k`."""
    member_of_P, held_M = _by_member(member_rows_P, k)
    return np.bincount(member_of_P, weights=ranks_P <= k, minlength=len(held_M)) / held_M


def ndcg_at(
    ranks_P: NDArray[np.float64], member_rows_P: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Per member: discounted gain of the first `k`, over the best that any order could reach."""
    member_of_P, held_M = _by_member(member_rows_P, k)
    gain_P = np.where(ranks_P <= k, 1 / np.log2(1 + ranks_P), 0.0)
    deepest = int(min(k, held_M.max(initial=1)))
    best_K = np.cumsum(1 / np.log2(1 + np.arange(1, deepest + 1)))
    got_M = np.bincount(member_of_P, weights=gain_P, minlength=len(held_M))
    return np.asarray(got_M / best_K[np.minimum(held_M, k) - 1])


def mrr(ranks_P: NDArray[np.float64], member_rows_P: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per member: one over the rank of the first held-out job, however deep it stands."""
    member_of_P, held_M = _by_member(member_rows_P, 1)
    best_M = np.zeros(len(held_M))
    np.maximum.at(best_M, member_of_P, 1 / ranks_P)
    return best_M


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    size: int,
    seed: int,
    draws: int = 500,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic(rows)` under redrawing `size` rows with replacement."""
    if size < 1 or draws < 1 or not 0 < level < 1:
        raise UsageError(
            f"bootstrap got size={size}, draws={draws}, level={level}; wanted a size and draws of"
            " at least 1 and a level between 0 and 1"
        )
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, size, size)) for _ in range(draws)]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(np.arange(size)), float(low), float(high))


def seed_spread(values: Sequence[float]) -> Interval:
    """Mean, least and greatest of one figure over several seeds."""
    if not values:
        raise UsageError("seed_spread got no value; wanted one figure per seed")
    return Interval(float(np.mean(values)), float(min(values)), float(max(values)))


def _by_member(
    member_rows_P: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the members that hold a pair from 0, and count the pairs of each."""
    if k < 1:
        raise UsageError(f"a cut at {k} was asked for; wanted 1 or more")
    _, member_of_P, held_M = np.unique(member_rows_P, return_inverse=True, return_counts=True)
    return member_of_P, held_M
