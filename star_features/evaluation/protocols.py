"""
Who may learn from what: three ways to part interactions into history, ranker and test.

    parts = split(interactions, "time-split", seed=0)
    parts.history   # what graph and text models may train on
    parts.ranker    # the labels a ranker trains on
    parts.test      # what the figures are taken of

- `time-split` cuts at two moments; everything later is unknown. The one to believe.
- `leave-last-out` holds out the last job a member took; the one before it goes to the ranker.
- `leave-one-out` holds out one taken job at random, another goes to the ranker. The history then
  holds later rows than the test: kind to every model, and there for comparison with papers.

The two leave-outs part (member, job) pairs and never rows, so that a second click on the held-out
job cannot leak it. A pair that was only shown goes where the next job that its member took goes
(after the last one: where the last went), which gives both held-out roles their 0 labels. A member
who took one job keeps it in the history; the ranker gets a job of those who took three or more.

Shapes: N rows, P pairs. Order of rows never matters: ties in time fall by job id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from star_features.errors import EmptyInput, UsageError

Protocol = Literal["time-split", "leave-last-out", "leave-one-out"]
HISTORY, RANKER, TEST = 0, 1, 2


@dataclass(frozen=True)
class Split:
    """Interactions parted by role, and how.

    Attributes:
        protocol: which of the three.
        seed: what drew the held-out rows; only `leave-one-out` uses it.
        history: what graph and text models may train on.
        ranker: labels the ranker trains on.
        test: labels that figures are taken of.
        cutoffs: first moment of the ranker's and of the test's rows; empty for the leave-outs.
    """

    protocol: Protocol
    seed: int
    history: pa.Table
    ranker: pa.Table
    test: pa.Table
    cutoffs: Mapping[str, datetime]


def split(
    interactions: pa.Table,
    protocol: Protocol,
    seed: int,
    history: float = 0.6,
    ranker: float = 0.2,
) -> Split:
    """Part interactions by `protocol`; `history` and `ranker` are shares of rows (time-split)."""
    if protocol not in get_args(Protocol):
        raise UsageError(f"{protocol!r} is no protocol; wanted one of {get_args(Protocol)}")
    if interactions.num_rows == 0:
        raise EmptyInput("interactions", "no row", "Wanted interactions to evaluate on.")
    cutoffs: dict[str, datetime] = {}
    if protocol == "time-split":
        role_N, cutoffs = _by_time(interactions, history, ranker)
    else:
        role_N = _by_pair(interactions, None if protocol == "leave-last-out" else seed)
    parts = [interactions.filter(pa.array(role_N == role)) for role in (HISTORY, RANKER, TEST)]
    if parts[TEST].num_rows == 0:
        raise EmptyInput(
            "interactions",
            f"{protocol} found nobody to test on",
            "Wanted members who took two jobs or more; time-split needs times that differ.",
        )
    return Split(protocol, seed, parts[HISTORY], parts[RANKER], parts[TEST], cutoffs)


def _by_time(
    interactions: pa.Table, history: float, ranker: float
) -> tuple[NDArray[np.int8], dict[str, datetime]]:
    """Role by the two moments before which the given shares of rows lie."""
    if not (0 < history < 1 and 0 < ranker < 1 and history + ranker < 1):
        raise UsageError(
            f"history={history} and ranker={ranker}; wanted shares above 0 that leave a rest"
        )
    at_N = _micros(interactions)
    order = np.sort(at_N)
    shares = (history, history + ranker)
    first, second = (order[int(len(order) * share)] for share in shares)
    if not order[0] < first < second:
        raise EmptyInput(
            "interactions",
            f"too many of {len(order)} rows share one time to cut them into three by time",
            "Wanted times that differ. To evaluate without them: --protocol leave-one-out",
        )
    role_N = (at_N >= first).astype(np.int8) + (at_N >= second).astype(np.int8)
    moments = pa.array([int(first), int(second)], type=pa.timestamp("us", "UTC")).to_pylist()
    return role_N, dict(zip(("ranker", "test"), moments, strict=True))


def _by_pair(interactions: pa.Table, seed: int | None) -> NDArray[np.int8]:
    """Role of each row through its (member, job) pair; the last taken where `seed` is None."""
    member_N, member_count = _codes(interactions["member_id"])
    job_N, job_count = _codes(interactions["job_id"])
    pair_ids_P, pair_N = np.unique(member_N * job_count + job_N, return_inverse=True)
    at_N = _micros(interactions)
    taken_N = np.asarray(interactions["label"]) == 1
    member_P = pair_ids_P // job_count
    taken_P = np.zeros(len(pair_ids_P), dtype=np.bool_)
    taken_P[pair_N[taken_N]] = True
    # A taken pair stands at its last taking, one that was only shown at its last showing.
    at_P = np.full(len(pair_ids_P), np.iinfo(np.int64).min)
    counts_N = taken_N | ~taken_P[pair_N]
    np.maximum.at(at_P, pair_N[counts_N], at_N[counts_N])
    key_P: NDArray[Any] = at_P if seed is None else _lots(interactions, pair_N, seed)
    role_P = _hold_out(member_P, taken_P, key_P, member_count)
    _follow(role_P, member_P, taken_P, at_P)
    return role_P[pair_N]


def _lots(interactions: pa.Table, pair_N: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A lot for every pair, from its ids and the seed alone: new rows reshuffle nobody else's."""
    _, first_P = np.unique(pair_N, return_index=True)
    rows = interactions.select(["member_id", "job_id"]).take(pa.array(first_P))
    text_P = pc.binary_join_element_wise(rows["member_id"], rows["job_id"], f"\x1f{seed}\x1f")
    lots: NDArray[np.uint64] = pd.util.hash_array(np.asarray(text_P.to_pylist(), dtype=object))
    return lots


def _hold_out(
    member_P: NDArray[np.int64],
    taken_P: NDArray[np.bool_],
    key_P: NDArray[Any],
    member_count: int,
) -> NDArray[np.int8]:
    """Per member: the taken pair of the greatest key is test, the second one ranker."""
    role_P = np.full(len(member_P), HISTORY, dtype=np.int8)
    rows = np.flatnonzero(taken_P)
    rows = rows[np.lexsort((rows, key_P[rows], member_P[rows]))]  # a member's greatest key is last
    count_M = np.bincount(member_P[rows], minlength=member_count)
    end_M = np.cumsum(count_M)
    role_P[rows[end_M[count_M >= 2] - 1]] = TEST
    role_P[rows[end_M[count_M >= 3] - 2]] = RANKER
    return role_P


def _follow(
    role_P: NDArray[np.int8],
    member_P: NDArray[np.int64],
    taken_P: NDArray[np.bool_],
    at_P: NDArray[np.int64],
) -> None:
    """Give each pair that was only shown the role of the next pair its member took, in place."""
    order = np.lexsort((np.arange(len(at_P)), taken_P, at_P, member_P))
    place = np.arange(len(order))
    is_taken = taken_P[order]
    before = np.maximum.accumulate(np.where(is_taken, place, -1))
    after = np.minimum.accumulate(np.where(is_taken, place, len(order))[::-1])[::-1]
    member = member_P[order]
    role = role_P[order]
    for near in (before, after):  # the later one wins
        near = near.clip(0, len(order) - 1)
        follows = ~is_taken & is_taken[near] & (member[near] == member)
        role = np.where(follows, role_P[order[near]], role)
    role_P[order] = role


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """Ids as numbers in the order of the ids themselves, and how many there are."""
    coded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    rank = np.asarray(pc.rank(coded.dictionary, sort_keys="ascending"))
    return rank.astype(np.int64)[np.asarray(coded.indices)] - 1, len(rank)


def _micros(interactions: pa.Table) -> NDArray[np.int64]:
    return np.asarray(interactions["at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
