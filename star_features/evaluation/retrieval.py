"""
Retrieval over all jobs: for each tested member, order every known job and see where the held-out
ones stand.

    found = evaluate(signals, parts.history, parts.test, job_ids, at=(10, 100))
    found.rows       # one per (ranking, slice)
    found.dropped    # test pairs that could not be asked, by reason

Candidates are all `job_ids` but those that the member met in the history, shown or taken.
AUC is taken of the test rows themselves, where some were shown and not taken.

Members go in chunks, so that memory holds `cells` scores at a time and never members × jobs.

Shapes: N test rows, P held-out pairs, M tested members, J candidate jobs, C members in a chunk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from star_features.errors import EmptyInput, UsageError
from star_features.evaluation import metrics
from star_features.evaluation.scorers import (
    Scorer,
    Signals,
    item_item,
    popularity,
    signal_scorers,
)
from star_features.evaluation.slices import degree_masks, slice_masks, taken
from star_features.progress import bar

CELLS = 1 << 24  # 64 MiB of float32 per matrix of scores


@dataclass(frozen=True)
class Row:
    """How well one ranking did on one slice; NaN where the slice is empty.

    Attributes:
        ranking: the signal, `together`, `popularity` or `item-item`.
        slice: one of `slices.SLICES`.
        members: tested members with a held-out job in the slice.
        pairs: their held-out jobs.
        recall: by k, mean over members.
        ndcg: by k, mean over members.
        mrr: mean over members.
        auc: over the slice's test rows; NaN without both labels.
    """

    ranking: str
    slice: str
    members: int
    pairs: int
    recall: Mapping[int, float]
    ndcg: Mapping[int, float]
    mrr: float
    auc: float


@dataclass(frozen=True)
class Retrieval:
    """All rows, and what was left out of them."""

    rows: list[Row]
    jobs: int
    dropped: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Question:
    """What is asked of every ranking: the test, as row numbers.

    Attributes:
        member_ids_M: tested members.
        job_ids_J: candidates.
        member_N, job_N, label_N: test rows of known jobs.
        asked_N: the row stands for a held-out pair that is to be found, once per pair.
        seen_MJ: what each tested member met in the history.
        taken_MJ: what each tested member took in the history.
        all_taken_XJ: what anybody took in the history.
        slices_N: masks over the test rows.
        dropped: pairs that cannot be asked, by reason.
    """

    member_ids_M: list[str]
    job_ids_J: list[str]
    member_N: NDArray[np.int64]
    job_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    asked_N: NDArray[np.bool_]
    seen_MJ: sparse.csr_array
    taken_MJ: sparse.csr_array
    all_taken_XJ: sparse.csr_array
    slices_N: Mapping[str, NDArray[np.bool_]]
    dropped: Mapping[str, int]


def evaluate(
    signals: Signals,
    history: pa.Table,
    test: pa.Table,
    job_ids: Sequence[str],
    at: Sequence[int] = (10, 100),
    neighbours: int = 200,
    cells: int = CELLS,
    degrees: Sequence[int] = (),
) -> Retrieval:
    """Each signal alone, all together and two peers, on every slice.

    Args:
        signals: by name, the member and the job vectors of one pair.
        history: interactions that were known; what a member met there is no candidate.
        test: interactions whose taken jobs are to be found.
        job_ids: all known jobs.
        at: cuts of recall and nDCG.
        neighbours: how many near jobs the item-item peer keeps of each.
        cells: how many scores may stand in memory at once.
        degrees: also slice by how many were taken, in buckets that begin at these numbers.
    """
    if not at or min(at) < 1 or neighbours < 1:
        raise UsageError(
            f"at={list(at)}, neighbours={neighbours}; wanted cuts and neighbours of 1 or more"
        )
    question = ask(history, test, job_ids, degrees)
    scorers = signal_scorers(signals, question.member_ids_M, question.job_ids_J)
    scorers["popularity"] = popularity(question.all_taken_XJ)
    scorers["item-item"] = item_item(question.all_taken_XJ, question.taken_MJ, neighbours)
    rows: list[Row] = []
    for name, scorer in scorers.items():
        scores_N, ranks_N = answer(question, scorer, name, cells)
        rows += [
            _row(name, part, question, mask_N, scores_N, ranks_N, at)
            for part, mask_N in question.slices_N.items()
        ]
    return Retrieval(rows, len(question.job_ids_J), question.dropped)


def ask(
    history: pa.Table, test: pa.Table, job_ids: Sequence[str], degrees: Sequence[int] = ()
) -> Question:
    """Number members and jobs, mark what was seen, and count what cannot be asked."""
    job_ids_J = sorted(set(job_ids))
    known = pc.is_in(test["job_id"], value_set=pa.array(job_ids_J, type=pa.string()))
    kept = test.filter(known)
    if kept.num_rows == 0:
        raise EmptyInput(
            "test interactions",
            f"none of {test.num_rows} rows names one of {len(job_ids_J)} known jobs",
            "Wanted test rows of known jobs.",
        )
    member_ids_M = sorted(pc.unique(kept["member_id"]).to_pylist())
    history_taken = taken(history)
    everyone = pc.unique(history_taken["member_id"]).to_pylist()
    member_N, job_N = _rows(kept, "member_id", member_ids_M), _rows(kept, "job_id", job_ids_J)
    label_N = np.asarray(kept["label"]).astype(np.int64)
    seen_MJ = _met(history, member_ids_M, job_ids_J)
    first_N = _first_taken(member_N * len(job_ids_J) + job_N, label_N)
    seen_N = np.asarray(seen_MJ[member_N, job_N]).ravel() > 0
    return Question(
        member_ids_M,
        job_ids_J,
        member_N,
        job_N,
        label_N,
        asked_N=first_N & ~seen_N,
        seen_MJ=seen_MJ,
        taken_MJ=_met(history_taken, member_ids_M, job_ids_J),
        all_taken_XJ=_met(history_taken, everyone, job_ids_J),
        slices_N=_slices(history, kept, degrees),
        dropped={
            "test rows of unknown jobs": test.num_rows - kept.num_rows,
            "held-out pairs met in the history": int((first_N & seen_N).sum()),
        },
    )


def _slices(
    history: pa.Table, rows: pa.Table, degrees: Sequence[int]
) -> dict[str, NDArray[np.bool_]]:
    ids = {column: rows[column].to_pylist() for column in ("member_id", "job_id")}
    found = slice_masks(history, ids["member_id"], ids["job_id"])
    for column, ids_N in ids.items():
        found |= degree_masks(history, column, ids_N, degrees) if degrees else {}
    return found


def answer(
    question: Question, scorer: Scorer, name: str, cells: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Score of each test row, and rank of each asked one (NaN elsewhere), chunk by chunk."""
    scores_N = np.zeros(len(question.member_N), dtype=np.float32)
    ranks_N = np.full(len(question.member_N), np.nan)
    by_member = np.argsort(question.member_N, kind="stable")
    members, step = len(question.member_ids_M), max(1, cells // len(question.job_ids_J))
    edges = np.searchsorted(
        question.member_N[by_member], [*range(0, members, step), members], side="left"
    )
    with bar(f"rank all jobs: {name}", total=members, unit="member") as progress:
        for start, low, high in zip(range(0, members, step), edges, edges[1:], strict=False):
            chunk_C = np.arange(start, min(start + step, members))
            rows = by_member[low:high]
            member, job = question.member_N[rows] - start, question.job_N[rows]
            scores_CJ = scorer(chunk_C)
            scores_N[rows] = scores_CJ[member, job]
            scores_CJ[question.seen_MJ[chunk_C].nonzero()] = -np.inf
            asked = question.asked_N[rows]
            ranks_N[rows[asked]] = metrics.ranks(scores_CJ, member[asked], job[asked])
            progress.update(len(chunk_C))
    return scores_N, ranks_N


def _row(
    name: str,
    part: str,
    question: Question,
    mask_N: NDArray[np.bool_],
    scores_N: NDArray[np.float32],
    ranks_N: NDArray[np.float64],
    at: Sequence[int],
) -> Row:
    """One line of the table: one ranking on one slice."""
    asked_N = mask_N & question.asked_N
    ranks_P, member_P = ranks_N[asked_N], question.member_N[asked_N]
    return Row(
        ranking=name,
        slice=part,
        members=len(np.unique(member_P)),
        pairs=len(ranks_P),
        recall={k: _mean(metrics.recall_at(ranks_P, member_P, k)) for k in at},
        ndcg={k: _mean(metrics.ndcg_at(ranks_P, member_P, k)) for k in at},
        mrr=_mean(metrics.mrr(ranks_P, member_P)),
        auc=metrics.auc(question.label_N[mask_N], scores_N[mask_N]),
    )


def _mean(values_M: NDArray[np.float64]) -> float:
    return float(values_M.mean()) if len(values_M) else float("nan")


def _rows(table: pa.Table, column: str, ids: Sequence[str]) -> NDArray[np.int64]:
    """Row number of each id in `ids`, -1 where it is none of them."""
    found = pc.index_in(table[column], value_set=pa.array(ids, type=pa.string()))
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)


def _met(table: pa.Table, member_ids: Sequence[str], job_ids: Sequence[str]) -> sparse.csr_array:
    """1 where the member and the job stand in a row together."""
    member_N, job_N = _rows(table, "member_id", member_ids), _rows(table, "job_id", job_ids)
    inside = (member_N >= 0) & (job_N >= 0)
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    shape = (len(member_ids), len(job_ids))
    met = sparse.csr_array((ones, (member_N[inside], job_N[inside])), shape=shape)
    met.sum_duplicates()
    met.data[:] = 1
    return met


def _first_taken(pair_N: NDArray[np.int64], label_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True on one taken row of each pair."""
    rows = np.flatnonzero(label_N == 1)
    _, first = np.unique(pair_N[rows], return_index=True)
    out = np.zeros(len(pair_N), dtype=np.bool_)
    out[rows[first]] = True
    return out
