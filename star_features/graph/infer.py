"""
Exact vectors: every neighbour, layer by layer, chunk by chunk of destinations.

    ids, vectors_ND = infer(model, graph, np.datetime64("2026-03-01"), "job")

Each node's state at a layer is computed once for all who read it, which sampled mini-batches
cannot do; memory is the states of two layers and the edges of one chunk. For a few ids only what
lies within reach of them is computed: that is how one new member or job gets its vector.

    ids, vectors_ND = infer(model, graph, as_of, "job", ["new"], fresh=True)

A *key* is a node as one viewer sees it: `2 * node` as anybody sees it at the time, `2 * node + 1`
as one that is fresh sees itself. A fresh node is read by nobody but itself, so those asked for
together do not learn of each other.

Shapes: N entities asked for, U keys of a layer, R keys of a chunk, D output width.
"""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from star_features.graph.densify import require_densified
from star_features.graph.job_graph import FOREVER, Floats, Ints, JobGraph
from star_features.graph.network import Attention, GraphModel
from star_features.graph.settings import ALL
from star_features.graph.temporal import NOBODY, Edges, Hop, View, age_in_days, in_edges
from star_features.graph.vocabulary import Reading, read_graph
from star_features.progress import track

CHUNK = 2_048
"""Destinations computed at a time."""


def infer(
    model: GraphModel,
    graph: JobGraph,
    as_of: np.datetime64 | None,
    entity: Literal["member", "job"],
    ids: Sequence[str] | None = None,
    *,
    fresh: bool = False,
    chunk: int = CHUNK,
) -> tuple[NDArray[np.str_], Floats]:
    """Unit vectors of these members or jobs (all of them unless given), and their ids.

    Args:
        as_of: only edges strictly earlier are seen, and content that was there by then; None sees
            everything.
        fresh: those asked for see their own content (text, categories, attributes) although it is
            newer than `as_of`; all else, the others' view of them too, stays as of then.
        chunk: destinations at a time: smaller needs less memory and changes nothing.
    """
    graph.verify()
    require_densified(graph, model.settings.densify)
    wanted = graph.nodes[entity].ids if ids is None else np.asarray(ids, dtype=np.str_)
    node_N = graph.rows(entity, wanted.tolist())
    reading = read_graph(graph, model.vocabulary)
    time = FOREVER if as_of is None else int(as_of.astype("datetime64[us]").astype(np.int64))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        unique_U, place_N = np.unique(node_N, return_inverse=True)
        newer_U = ~reading.view.is_known(unique_U, time)
        key_U = 2 * unique_U + (newer_U if fresh else 0)
        vectors_UD = vectors_of(model, reading, key_U, time, chunk).numpy()
    model.train(was_training)
    return wanted, defined(vectors_UD)[place_N]


def vectors_of(model: GraphModel, reading: Reading, key_U: Ints, time: int, chunk: int) -> Tensor:
    """Unit vectors of these keys, sorted and each once."""
    needed = [key_U]
    for _ in model.layers:
        needed.append(_reach(reading.view, needed[-1], time, chunk))
    needed.reverse()
    wide = chunk * 16  # rows without edges are small
    h_UW = torch.cat([_start(model, reading, part, time) for part in _chunks(needed[0], wide)])
    for number, layer in enumerate(model.layers):
        attention, sources, rows = cast(Attention, layer), needed[number], needed[number + 1]
        offered = attention.sources(h_UW)
        parts = []
        for part in track(_chunks(rows, chunk), f"graph layer {number + 1}", unit="chunk"):
            hop = _hop(reading.view, part, sources, time)
            own_RW = h_UW.index_select(0, torch.from_numpy(hop.self_R))
            parts.append(attention.rows(hop, offered, own_RW, model.ends(reading, part // 2)))
        h_UW = torch.cat(parts)
    return torch.cat(
        [
            model.finish(part, model.ends(reading, keys // 2))
            for part, keys in zip(torch.split(h_UW, wide), _chunks(key_U, wide), strict=True)
        ]
    )


def _chunks(key_U: Ints, size: int) -> list[Ints]:
    return [key_U[i : i + size] for i in range(0, len(key_U), size)] or [key_U]


def _start(model: GraphModel, reading: Reading, key_U: Ints, time: int) -> Tensor:
    node_U, fresh_U = np.divmod(key_U, 2)
    return model.start(reading, node_U, reading.view.is_known(node_U, time) | (fresh_U == 1))


def _seen(view: View, key_R: Ints, time: int) -> Edges:
    """All in-edges seen at `time`; one that is fresh has the attributes of its own time."""
    node_R, fresh_R = np.divmod(key_R, 2)
    time_R = np.full(len(node_R), time)
    own_R = np.where(fresh_R == 1, view.since_U[node_R], time)
    nobody_R = np.full(len(node_R), NOBODY)
    return in_edges(view, node_R, time_R, nobody_R, lambda _: ALL, attributes_R=own_R)


def _reach(view: View, key_R: Ints, time: int, chunk: int) -> Ints:
    """These keys and all that they read, sorted."""
    found = np.zeros(2 * int(view.bounds[-1]), dtype=bool)
    found[key_R] = True
    for part in _chunks(key_R, chunk):
        found[2 * _seen(view, part, time).src_E] = True
    return np.flatnonzero(found).astype(np.int64)


def _hop(view: View, key_R: Ints, source_U: Ints, time: int) -> Hop:
    edges = _seen(view, key_R, time)
    return Hop(
        n_src=len(source_U),
        node_R=key_R // 2,
        self_R=np.searchsorted(source_U, key_R),
        src_E=np.searchsorted(source_U, 2 * edges.src_E),
        row_E=edges.row_E,
        type_E=edges.type_E,
        age_E=age_in_days(np.full(len(edges.src_E), time), edges.at_E),
    )


def defined(vectors_ND: Floats) -> Floats:
    """Where everything cancels out exactly, the first axis stands in: served vectors are unit."""
    lost_N = ~vectors_ND.any(axis=1)
    vectors_ND[lost_N, 0] = 1
    return vectors_ND
