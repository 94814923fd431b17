"""
Exact vectors: every neighbour, layer by layer, chunk by chunk of destinations.

    ids, vectors_ND = infer(model, graph, np.datetime64("2026-03-01"), "job")

Each node's state at a layer is computed once for all who read it, which sampled mini-batches
cannot do; memory is the states of two layers and the edges of one chunk. For a few ids only what
lies within reach of them is computed: that is how one new member or job gets its vector.

Shapes: N entities asked for, U nodes of a layer, D output width.
"""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    chunk: int = CHUNK,
) -> tuple[NDArray[np.str_], Floats]:
    """Unit vectors of these members or jobs (all of them unless given), and their ids.

    Args:
        as_of: only edges strictly earlier are seen; None sees all of them.
        chunk: destinations at a time: smaller needs less memory and changes nothing.
    """
    graph.verify()
    wanted = graph.nodes[entity].ids if ids is None else np.asarray(ids, dtype=np.str_)
    node_N = graph.rows(entity, wanted.tolist())
    reading = read_graph(graph, model.vocabulary)
    time = FOREVER if as_of is None else int(as_of.astype("datetime64[us]").astype(np.int64))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        unique_U, place_N = np.unique(node_N, return_inverse=True)
        vectors_UD = _vectors(model, reading, unique_U, time, chunk).numpy()
    model.train(was_training)
    return wanted, _defined(vectors_UD)[place_N]


def _vectors(model: GraphModel, reading: Reading, node_U: Ints, time: int, chunk: int) -> Tensor:
    needed = [node_U]
    for _ in model.layers:
        needed.append(_reach(reading.view, needed[-1], time, chunk))
    needed.reverse()
    h_UW = torch.cat([model.start(reading, part) for part in _chunks(needed[0], chunk * 16)])
    for number, layer in enumerate(model.layers):
        attention, sources, rows = cast(Attention, layer), needed[number], needed[number + 1]
        offered = attention.sources(h_UW)
        parts = []
        for part in track(_chunks(rows, chunk), f"graph layer {number + 1}", unit="chunk"):
            hop = _hop(reading.view, part, sources, time)
            own_RW = h_UW.index_select(0, torch.from_numpy(hop.self_R))
            parts.append(attention.rows(hop, offered, own_RW, model.ends(reading, part)))
        h_UW = torch.cat(parts)
    return torch.cat(
        [
            model.finish(part, model.ends(reading, nodes))
            for part, nodes in zip(
                torch.split(h_UW, chunk * 16), _chunks(node_U, chunk * 16), strict=True
            )
        ]
    )


def _chunks(node_U: Ints, size: int) -> list[Ints]:
    return [node_U[i : i + size] for i in range(0, len(node_U), size)] or [node_U]


def _seen(view: View, node_R: Ints, time: int) -> Edges:
    """All in-edges of these nodes that are earlier than `time`."""
    nobody_R = np.full(len(node_R), NOBODY)
    return in_edges(view, node_R, np.full(len(node_R), time), nobody_R, lambda _: ALL)


def _reach(view: View, node_R: Ints, time: int, chunk: int) -> Ints:
    """These nodes and all that they read, sorted."""
    found = np.zeros(int(view.bounds[-1]), dtype=bool)
    found[node_R] = True
    for part in _chunks(node_R, chunk):
        found[_seen(view, part, time).src_E] = True
    return np.flatnonzero(found).astype(np.int64)


def _hop(view: View, node_R: Ints, source_U: Ints, time: int) -> Hop:
    edges = _seen(view, node_R, time)
    return Hop(
        n_src=len(source_U),
        node_R=node_R,
        self_R=np.searchsorted(source_U, node_R),
        src_E=np.searchsorted(source_U, edges.src_E),
        row_E=edges.row_E,
        type_E=edges.type_E,
        age_E=age_in_days(np.full(len(edges.src_E), time), edges.at_E),
    )


def _defined(vectors_ND: Floats) -> Floats:
    """Where everything cancels out exactly, the first axis stands in: served vectors are unit."""
    lost_N = ~vectors_ND.any(axis=1)
    vectors_ND[lost_N, 0] = 1
    return vectors_ND
