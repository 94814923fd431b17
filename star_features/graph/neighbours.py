"""
Nearest by text: who resembles whom, before anybody has met anybody.

    near_NK = nearest(nodes.text_ND, nodes.has_text_N, 10)

Exact for up to EXACT rows (usearch's own exact search took 20 times a matrix product's time); a
graph index (usearch) above, filled by one thread, since the order of
insertion decides what such an index finds.

Shapes: N rows, D width, K neighbours.
"""

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from star_features.graph.job_graph import Floats, Ints
from star_features.spaces import unit

EXACT = 50_000
BLOCK = 1_024
NONE = -1


def nearest(vectors_ND: Floats, present_N: NDArray[np.bool_], count: int) -> Ints:
    """The `count` nearest other rows of each row by cosine, nearest first; NONE where fewer."""
    rows = np.flatnonzero(present_N)
    near_NK = np.full((len(vectors_ND), count), NONE, dtype=np.int64)
    if len(rows) < 2:
        return near_NK
    found_RC = rows[_search(unit(vectors_ND[rows]), min(count + 1, len(rows)))]
    other_RC = found_RC != rows[:, None]
    first_RC = np.argsort(~other_RC, axis=1, kind="stable")  # itself, where found, goes last
    kept_RC = np.take_along_axis(found_RC, first_RC, axis=1)[:, : min(count, len(rows) - 1)]
    near_NK[rows, : kept_RC.shape[1]] = kept_RC
    return near_NK


def _search(vectors_RD: Floats, count: int) -> Ints:
    if len(vectors_RD) > EXACT:
        index = Index(ndim=vectors_RD.shape[1], metric="cos", dtype="f32")
        index.add(np.arange(len(vectors_RD)), vectors_RD, threads=1)
        found = index.search(vectors_RD, count, threads=1)
        return np.asarray(found.keys).reshape(len(vectors_RD), count).astype(np.int64)
    blocks = []
    for start in range(0, len(vectors_RD), BLOCK):
        cosine_BR = vectors_RD[start : start + BLOCK] @ vectors_RD.T
        near_BC = np.argpartition(-cosine_BR, count - 1, axis=1)[:, :count]
        order_BC = np.argsort(-np.take_along_axis(cosine_BR, near_BC, axis=1), axis=1)
        blocks.append(np.take_along_axis(near_BC, order_BC, axis=1))
    return np.concatenate(blocks).astype(np.int64)
