"""
Attention over sampled edges as one kernel: scores, softmax and sum, row by row, and its gradient.

    read_RHD = attention(value_UHD, own_RHD, source_THD, row_THD, kind_TH, age_TH, edges)

    score = leaky_relu(value[u]·source[t] + own[r]·row[t] + kind[t] + age·age[t])     per head
    read[r] = sum over the row's edges of softmax(score) · value[u]

The same from DGL's edge_softmax and u_mul_e_sum takes a gather, a product and a tensor of E × H for
every term of the score, and a sort of the edges; here an edge's source is read once on the way
there and once on the way back. Rows are shared out among torch's number of threads, by plain
threads: the kernels hold no lock and start no OpenMP of their own.

Shapes: U sources, R rows, E edges, T edge types, H heads, D width of a head.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from star_features.graph.job_graph import Floats, Ints

SLOPE = 0.2
"""What a negative score is multiplied by."""
SMALL = 2_048
"""Fewer rows than this are not worth a second thread."""
FAST = {"contract", "reassoc", "nsz"}
"""Sums may be taken in any order; infinities keep their meaning."""


@dataclass(frozen=True)
class EdgesByRow:
    """Edges in any order; those of row `r` are `order_E[start_R1[r] : start_R1[r + 1]]`."""

    src_E: Ints
    row_E: Ints
    type_E: Ints
    age_E: Floats
    start_R1: Ints
    order_E: Ints

    @classmethod
    def of(cls, src_E: Ints, row_E: Ints, type_E: Ints, age_E: Floats, rows: int) -> "EdgesByRow":
        start_R1, order_E = _by_row(row_E, rows)
        return cls(src_E, row_E, type_E, age_E, start_R1, order_E)


def attention(
    value_UHD: Tensor,
    own_RHD: Tensor,
    source_THD: Tensor,
    row_THD: Tensor,
    kind_TH: Tensor,
    age_TH: Tensor,
    edges: EdgesByRow,
) -> Tensor:
    """What every row reads of its sources, R × H × D; zeros for a row without edges."""
    parts = value_UHD, own_RHD, source_THD, row_THD, kind_TH, age_TH
    read_RHD: Tensor = _Attention.apply(*parts, edges)  # type: ignore[no-untyped-call]
    return read_RHD


class _Attention(torch.autograd.Function):
    """The kernel with its gradient."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *tensors, edges = inputs
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        read_RHD = np.zeros_like(arrays[1])
        weight_EH = np.empty((len(edges.src_E), arrays[4].shape[1]), arrays[0].dtype)
        slope_EH = np.empty_like(weight_EH)
        outputs = weight_EH, slope_EH, read_RHD
        parts = _parts(len(read_RHD))
        _share(lambda n: _read(*arrays, *_of(edges), *outputs, *parts[n]), len(parts))
        ctx.save_for_backward(*tensors)
        ctx.edges, ctx.weights = edges, (weight_EH, slope_EH)
        return torch.from_numpy(read_RHD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        edges = ctx.edges
        arrays = [tensor.detach().contiguous().numpy() for tensor in ctx.saved_tensors]
        grad_RHD = gradients[0].contiguous().numpy()
        parts = _parts(len(grad_RHD))
        # A source is read by rows of several threads: each sums up its own.
        found = [[np.zeros_like(array) for array in arrays] for _ in parts]
        _share(
            lambda n: _spread(*arrays, *_of(edges), *ctx.weights, grad_RHD, *found[n], *parts[n]),
            len(parts),
        )
        for others in found[1:]:
            for mine, other in zip(found[0], others, strict=True):
                mine += other
        return (*(torch.from_numpy(array) for array in found[0]), None)


def _of(edges: EdgesByRow) -> tuple[Any, ...]:
    return edges.src_E, edges.type_E, edges.age_E, edges.start_R1, edges.order_E


def _parts(rows: int) -> Sequence[tuple[int, int]]:
    """Rows from and to, for each thread."""
    count = max(1, min(torch.get_num_threads(), rows // SMALL))
    ends = np.linspace(0, rows, count + 1).astype(np.int64)
    return list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))


def _share(work: Callable[[int], object], parts: int) -> None:
    """Do each part, all but the first in threads of their own."""
    if parts == 1:
        work(0)
        return
    for done in [_threads(parts).submit(work, part) for part in range(parts)]:
        done.result()


@lru_cache(maxsize=1)
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="attention")


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for the machine; it lets other threads run, and is kept between processes."""
    compiled: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=FAST)(function)
    return compiled


@kernel
def _dot(one_D: NDArray[Any], other_D: NDArray[Any]) -> Any:
    total = one_D.dtype.type(0)
    for d in range(len(one_D)):
        total += one_D[d] * other_D[d]
    return total


@kernel
def _add(to_D: NDArray[Any], times: Any, from_D: NDArray[Any]) -> None:
    for d in range(len(to_D)):
        to_D[d] += times * from_D[d]


@kernel
def _add_both(to_D: Any, times: Any, from_D: Any, times_too: Any, from_too_D: Any) -> None:
    for d in range(len(to_D)):
        to_D[d] += times * from_D[d] + times_too * from_too_D[d]


@kernel
def _softmax(score_E: NDArray[Any], mine: Ints) -> None:
    """Scores of one row become weights, in place."""
    top = score_E.dtype.type(-np.inf)
    for e in mine:
        top = max(top, score_E[e])
    total = score_E.dtype.type(0)
    for e in mine:
        score_E[e] = np.exp(score_E[e] - top)
        total += score_E[e]
    for e in mine:
        score_E[e] /= total


@kernel
def _by_row(row_E: Ints, rows: int) -> tuple[Ints, Ints]:
    """A counting sort: where each row's edges begin, and their numbers."""
    start_R1 = np.zeros(rows + 1, np.int64)
    for e in range(len(row_E)):
        start_R1[row_E[e] + 1] += 1
    for r in range(rows):
        start_R1[r + 1] += start_R1[r]
    next_R = start_R1[:-1].copy()
    order_E = np.empty(len(row_E), np.int64)
    for e in range(len(row_E)):
        order_E[next_R[row_E[e]]] = e
        next_R[row_E[e]] += 1
    return start_R1, order_E


@kernel
def _read(
    value_UHD: Any,
    own_RHD: Any,
    source_THD: Any,
    row_THD: Any,
    kind_TH: Any,
    age_TH: Any,
    src_E: Ints,
    type_E: Ints,
    age_E: Floats,
    start_R1: Ints,
    order_E: Ints,
    weight_EH: Any,
    slope_EH: Any,
    read_RHD: Any,
    low: int,
    high: int,
) -> None:
    """Fill the outputs of the rows from `low` to `high`."""
    heads = kind_TH.shape[1]
    for r in range(low, high):
        mine = order_E[start_R1[r] : start_R1[r + 1]]
        for e in mine:
            u, t, age = src_E[e], type_E[e], age_E[e]
            for h in range(heads):
                score = kind_TH[t, h] + age * age_TH[t, h]
                score += _dot(value_UHD[u, h], source_THD[t, h])
                score += _dot(own_RHD[r, h], row_THD[t, h])
                slope_EH[e, h] = 1 if score >= 0 else SLOPE
                weight_EH[e, h] = score * slope_EH[e, h]
        for h in range(heads):
            _softmax(weight_EH[:, h], mine)
        for e in mine:
            u = src_E[e]
            for h in range(heads):
                _add(read_RHD[r, h], weight_EH[e, h], value_UHD[u, h])


@kernel
def _spread(
    value_UHD: Any,
    own_RHD: Any,
    source_THD: Any,
    row_THD: Any,
    kind_TH: Any,
    age_TH: Any,
    src_E: Ints,
    type_E: Ints,
    age_E: Floats,
    start_R1: Ints,
    order_E: Ints,
    weight_EH: Any,
    slope_EH: Any,
    grad_RHD: Any,
    to_value_UHD: Any,
    to_own_RHD: Any,
    to_source_THD: Any,
    to_row_THD: Any,
    to_kind_TH: Any,
    to_age_TH: Any,
    low: int,
    high: int,
) -> None:
    """Add the gradients that the rows from `low` to `high` send back."""
    heads = kind_TH.shape[1]
    back_TH = np.zeros_like(kind_TH)  # what a row's edges of one type send back to it
    for r in range(low, high):
        mine = order_E[start_R1[r] : start_R1[r + 1]]
        to_weight_KH = np.empty((len(mine), heads), value_UHD.dtype)
        mean_H = np.zeros(heads, value_UHD.dtype)
        for k in range(len(mine)):
            e = mine[k]
            u = src_E[e]
            for h in range(heads):
                to_weight_KH[k, h] = _dot(grad_RHD[r, h], value_UHD[u, h])
                mean_H[h] += weight_EH[e, h] * to_weight_KH[k, h]
        for k in range(len(mine)):
            e = mine[k]
            u, t, age = src_E[e], type_E[e], age_E[e]
            for h in range(heads):
                back = weight_EH[e, h] * (to_weight_KH[k, h] - mean_H[h]) * slope_EH[e, h]
                back_TH[t, h] += back
                to_age_TH[t, h] += back * age
                _add_both(
                    to_value_UHD[u, h], weight_EH[e, h], grad_RHD[r, h], back, source_THD[t, h]
                )
                _add(to_source_THD[t, h], back, value_UHD[u, h])
        for t in range(len(back_TH)):
            for h in range(heads):
                if back_TH[t, h] != 0:
                    to_kind_TH[t, h] += back_TH[t, h]
                    _add(to_own_RHD[r, h], back_TH[t, h], row_THD[t, h])
                    _add(to_row_THD[t, h], back_TH[t, h], own_RHD[r, h])
                    back_TH[t, h] = 0
