"""
From a batch of labelled pairs to what the network computes for it: hops of rows.

    sample = draw(view, pairs, seeds, settings, seed=3)

Both ends of a pair are seen at the pair's time, with the content that they had by then, and no edge
between them is visible, whatever its time: an earlier view would tell that the job was of
interest. Rows are shared wherever that
changes nothing: pairs without an edge of their own look from a context that is only a time, and
leaves look alike from everywhere.

Shapes: S seeds, R rows, E edges, C contexts, P pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.errors import UsageError
from star_features.graph.job_graph import Ints
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import NOBODY, Hop, Sample, Seeds, View, age_in_days, in_edges


@dataclass(frozen=True)
class Pairs:
    """All pairs of nodes with an edge between them, and after when the first one is seen."""

    n_nodes: int
    key_P: Ints
    first_P: Ints

    @classmethod
    def of(cls, view: View) -> "Pairs":
        keys, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        n_nodes = int(view.bounds[-1])
        for relation in view.relations:
            low, _ = view.span(relation.dst_type)
            dst_E = low + np.repeat(
                np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1)
            )
            keys.append(_pair_key(n_nodes, relation.src_E, dst_E))
            times.append(relation.after_E)
        key_E, after_E = np.concatenate(keys), np.concatenate(times)
        order = np.lexsort((after_E, key_E))
        key_P, first = np.unique(key_E[order], return_index=True)
        return cls(n_nodes, key_P, after_E[order][first])

    def linked(self, one_S: Ints, other_S: Ints, before_S: Ints | int) -> NDArray[np.bool_]:
        """Which pairs have an edge between them, in either direction, that `before_S` sees."""
        key_S = _pair_key(self.n_nodes, one_S, other_S)
        if not len(self.key_P):
            return np.zeros(key_S.shape, dtype=bool)
        at = np.minimum(np.searchsorted(self.key_P, key_S), len(self.key_P) - 1)
        earlier: NDArray[np.bool_] = self.first_P[at] < before_S
        same: NDArray[np.bool_] = self.key_P[at] == key_S
        return same & earlier


def _pair_key(n_nodes: int, one: Ints, other: Ints) -> Ints:
    return np.minimum(one, other) * n_nodes + np.maximum(one, other)


@dataclass(frozen=True)
class Contexts:
    """Where rows look from: a time, and the two nodes whose own edges are hidden (or nobody).

    The first contexts are plain times; the last one belongs to the leaves, who see nothing.
    """

    time_C: Ints
    one_C: Ints
    other_C: Ints
    plain_C: Ints

    def hidden(self, node_R: Ints, context_R: Ints) -> Ints:
        """Whose edges each row must not read."""
        one_R, other_R = self.one_C[context_R], self.other_C[context_R]
        return np.where(node_R == one_R, other_R, np.where(node_R == other_R, one_R, NOBODY))

    def simplest(self, node_R: Ints, context_R: Ints) -> Ints:
        """The same view with fewer contexts, for rows whose sources will not be expanded."""
        outside_R = self.hidden(node_R, context_R) == NOBODY
        return np.where(outside_R, self.plain_C[context_R], context_R)

    @property
    def leaf(self) -> int:
        return len(self.time_C) - 1


def contexts(seeds: Seeds, pairs: Pairs) -> tuple[Contexts, Ints]:
    """The contexts of a batch, and which one each seed looks from."""
    time_T, plain_S = np.unique(seeds.at_S, return_inverse=True)
    own = np.flatnonzero(pairs.linked(seeds.member_S, seeds.job_S, seeds.at_S))
    context_S = plain_S.astype(np.int64)
    context_S[own] = len(time_T) + np.arange(len(own))
    nobody_T, one = np.full(len(time_T), NOBODY), np.array([NOBODY])
    leaf = np.array([len(time_T) + len(own)])
    found = Contexts(
        time_C=np.concatenate([time_T, seeds.at_S[own], [0]]),
        one_C=np.concatenate([nobody_T, seeds.member_S[own], one]),
        other_C=np.concatenate([nobody_T, seeds.job_S[own], one]),
        plain_C=np.concatenate([np.arange(len(time_T)), plain_S[own], leaf]),
    )
    return found, context_S


def draw(view: View, pairs: Pairs, seeds: Seeds, settings: GraphSettings, seed: int) -> Sample:
    """Sample the hops of one batch; the same seed draws the same edges."""
    _refuse_duplicates(seeds)
    seen, context_S = contexts(seeds, pairs)
    n_contexts = len(seen.time_C)
    ends = [seeds.member_S * n_contexts + context_S, seeds.job_S * n_contexts + context_S]
    key_R, place = np.unique(np.concatenate(ends), return_inverse=True)
    hops: list[Hop] = []
    for depth in range(settings.layers):
        node_R, context_R = np.divmod(key_R, n_contexts)
        edges = in_edges(
            view,
            node_R,
            seen.time_C[context_R],
            seen.hidden(node_R, context_R),
            lambda relation, depth=depth: settings.fan_out(relation, depth),  # type: ignore[misc]
            recent=settings.pick == "recent",
            seed=seed * settings.layers + depth,
        )
        source = np.concatenate([node_R, edges.src_E])
        context = np.concatenate([context_R, context_R[edges.row_E]])
        if depth == settings.layers - 1:
            known = view.is_known(source, seen.time_C[context])
            key_R, index = np.unique(source * 2 + known, return_inverse=True)
        else:
            context = np.where(view.is_leaf(source), seen.leaf, context)
            if depth == settings.layers - 2:
                context = seen.simplest(source, context)
            key_R, index = np.unique(source * n_contexts + context, return_inverse=True)
        age_E = age_in_days(seen.time_C[context_R[edges.row_E]], edges.at_E)
        self_R, src_E = index[: len(node_R)], index[len(node_R) :]
        hops.append(Hop(len(key_R), node_R, self_R, src_E, edges.row_E, edges.type_E, age_E))
    ends_S = place[: len(seeds)], place[len(seeds) :]
    return Sample(key_R // 2, key_R % 2 == 1, tuple(reversed(hops)), *ends_S)


def _refuse_duplicates(seeds: Seeds) -> None:
    triples = np.stack([seeds.member_S, seeds.job_S, seeds.at_S], axis=1)
    if len(np.unique(triples, axis=0)) != len(triples):
        raise UsageError(
            "a batch holds the same (member, job, time) twice; wanted each seed once: "
            "deduplicate the labels (star_features.graph.labels.labels_of does)"
        )
