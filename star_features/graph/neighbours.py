"""
Nearest by text: who resembles whom, before anybody has met anybody.

    near_NK = nearest(nodes.text_ND, nodes.has_text_N, 10)
    near_NK = nearest(nodes.text_ND, nodes.has_text_N, 10, nodes.since_N)   # among the older ones

Exact for up to EXACT rows (usearch's own exact search took 20 times a matrix product's time); a
graph index (usearch) above, filled by one thread, since the order of insertion decides what such an
index finds. Among the older ones, rows come in by time: a later row changes no earlier one's list.

Shapes: N rows, R rows that have a vector, B rows of a block, D width, K neighbours.
"""

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from star_features.graph.job_graph import Floats, Ints
from star_features.spaces import unit

EXACT = 50_000
BLOCK = 1_024
NONE = -1


def nearest(
    vectors_ND: Floats, present_N: NDArray[np.bool_], count: int, since_N: Ints | None = None
) -> Ints:
    """The `count` nearest other rows of each row by cosine, nearest first; NONE where fewer.

    Args:
        since_N: look among rows with a time no later than the row's own only.
    """
    rows = np.flatnonzero(present_N)
    near_NK = np.full((len(vectors_ND), count), NONE, dtype=np.int64)
    if not len(rows):
        return near_NK
    since_R = np.zeros(len(rows), np.int64) if since_N is None else since_N[rows]
    vectors_RD = unit(vectors_ND[rows])
    search = _exact if len(rows) <= EXACT else _indexed
    near_NK[rows] = np.append(rows, NONE)[search(vectors_RD, since_R, count)]
    return near_NK


def _exact(vectors_RD: Floats, since_R: Ints, count: int) -> Ints:
    """Rows of the nearest others, -1 where there are fewer; R × K."""
    blocks = []
    kept = min(count, len(vectors_RD))
    for start in range(0, len(vectors_RD), BLOCK):
        stop = min(start + BLOCK, len(vectors_RD))
        cosine_BR = vectors_RD[start:stop] @ vectors_RD.T
        cosine_BR[since_R > since_R[start:stop, None]] = -np.inf
        cosine_BR[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        near_BK = np.argpartition(-cosine_BR, kept - 1, axis=1)[:, :kept]
        found_BK = np.take_along_axis(cosine_BR, near_BK, axis=1)
        order_BK = np.argsort(-found_BK, axis=1, kind="stable")
        near_BK = np.where(np.isinf(found_BK), NONE, near_BK)
        blocks.append(np.take_along_axis(near_BK, order_BK, axis=1))
    found_RK = np.full((len(vectors_RD), count), NONE, dtype=np.int64)
    found_RK[:, :kept] = np.concatenate(blocks)
    return found_RK


def _indexed(vectors_RD: Floats, since_R: Ints, count: int) -> Ints:
    """The same from an index that is filled block by block, in order of time.

    Rows of one block and one time do not find each other, unless all have the same time.
    """
    index = Index(ndim=vectors_RD.shape[1], metric="cos", dtype="f32")
    order = np.argsort(since_R, kind="stable")
    timeless = since_R[order[0]] == since_R[order[-1]]
    found_RK = np.full((len(vectors_RD), count), NONE, dtype=np.int64)
    if timeless:
        index.add(order, vectors_RD[order], threads=1)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if len(index):
            wanted = min(count + 1, len(index))
            found = index.search(vectors_RD[block], wanted, threads=1)
            keys_BC = np.asarray(found.keys).reshape(len(block), wanted).astype(np.int64)
            found_RK[block] = _others(keys_BC, block, count)
        if not timeless:
            index.add(block, vectors_RD[block], threads=1)
    return found_RK


def _others(keys_BC: Ints, block: Ints, count: int) -> Ints:
    """The first `count` keys of each row that are not the row itself; NONE where fewer."""
    own_BC = keys_BC == block[:, None]
    order_BC = np.argsort(own_BC, axis=1, kind="stable")  # itself, where found, goes last
    kept_BC = np.take_along_axis(np.where(own_BC, NONE, keys_BC), order_BC, axis=1)[:, :count]
    found_BK = np.full((len(block), count), NONE, dtype=np.int64)
    found_BK[:, : kept_BC.shape[1]] = kept_BC
    return found_BK
