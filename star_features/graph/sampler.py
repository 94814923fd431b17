"""
From a batch of labelled pairs to what the network computes for it: hops of rows.

    sample = draw(view, pairs, seeds, settings, seed=3)

Both ends of a pair are seen at the pair's time, with the content that they had by then, and no edge
between them is visible, whatever its time: an earlier view would tell that the job was of interest.
Rows are shared wherever that changes nothing: pairs without an edge of their own look from a
context that is only a time, and leaves look alike from everywhere. With `grain_hours`, neighbours
are read as a snapshot has them: older edges than need be, never newer ones, and many more rows are
shared.

Shapes: S seeds, R rows, E edges, C contexts, P pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.errors import UsageError
from star_features.graph.job_graph import FOREVER, Ints
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import (
    NOBODY,
    Hop,
    Sample,
    Seeds,
    View,
    age_in_days,
    distinct,
    in_edges,
    version,
)

HOUR = 3_600_000_000  # microseconds


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

    They stand in this order: plain times, pairs with edges of their own, coarse times, and one for
    the leaves, who see nothing. A coarse time stands twice: the second is for nodes whose content
    is newer (`fresh_C`); they see it, as one that is new between two snapshots does.
    """

    time_C: Ints
    one_C: Ints
    other_C: Ints
    plain_C: Ints
    coarse_C: Ints
    fresh_C: NDArray[np.bool_]
    plain: int

    def hidden(self, node_R: Ints, context_R: Ints) -> Ints:
        """Whose edges each row must not read."""
        one_R, other_R = self.one_C[context_R], self.other_C[context_R]
        return np.where(node_R == one_R, other_R, np.where(node_R == other_R, one_R, NOBODY))

    def simplest(self, node_R: Ints, context_R: Ints) -> Ints:
        """The same view with fewer contexts, for rows whose sources will not be expanded."""
        outside_R = self.hidden(node_R, context_R) == NOBODY
        return np.where(outside_R, self.plain_C[context_R], context_R)

    def coarse(self, view: View, node_R: Ints, context_R: Ints) -> Ints:
        """The contexts of rows that are read by others: as of a coarse time, where there is one."""
        coarse_R = self.coarse_C[context_R]
        newer_R = view.is_known(node_R, self.time_C[context_R])
        newer_R &= ~view.is_known(node_R, self.time_C[coarse_R])
        return coarse_R + newer_R

    def others(self, context_E: Ints) -> Ints:
        """How those who look from a context see others: nobody else's newer content."""
        return context_E - self.fresh_C[context_E]

    @property
    def leaf(self) -> int:
        return len(self.time_C) - 1


def contexts(seeds: Seeds, pairs: Pairs, grain: int = 0) -> tuple[Contexts, Ints]:
    """The contexts of a batch, and which one each seed looks from; `grain` in microseconds."""
    time_T, plain_S = np.unique(seeds.at_S, return_inverse=True)
    own = np.flatnonzero(pairs.linked(seeds.member_S, seeds.job_S, seeds.at_S))
    context_S = plain_S.astype(np.int64)
    context_S[own] = len(time_T) + np.arange(len(own))
    exact = len(time_T) + len(own)
    coarse_G, coarse_T = _coarse(time_T, grain)
    fresh_C = np.zeros(exact + 2 * len(coarse_G) + 1, dtype=bool)
    fresh_C[exact + 1 : -1 : 2] = True
    nobody_G, leaf = np.full(2 * len(coarse_G) + 1, NOBODY), np.array([len(fresh_C) - 1])
    itself_C = np.arange(len(fresh_C)) - fresh_C
    found = Contexts(
        time_C=np.concatenate([time_T, seeds.at_S[own], np.repeat(coarse_G, 2), [0]]),
        one_C=np.concatenate([np.full(len(time_T), NOBODY), seeds.member_S[own], nobody_G]),
        other_C=np.concatenate([np.full(len(time_T), NOBODY), seeds.job_S[own], nobody_G]),
        plain_C=np.concatenate(
            [np.arange(len(time_T)), plain_S[own], np.arange(exact, leaf[0] + 1)]
        ),
        coarse_C=np.concatenate([exact + 2 * coarse_T, itself_C[len(coarse_T) :]]),
        fresh_C=fresh_C,
        plain=len(time_T),
    )
    return found, context_S


def _coarse(time_T: Ints, grain: int) -> tuple[Ints, Ints]:
    """Coarse times, and which one is each time's; none without a grain."""
    if not grain:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    last_T = np.where(time_T == FOREVER, FOREVER, time_T // grain * grain)
    return np.unique(last_T, return_inverse=True)


def draw(view: View, pairs: Pairs, seeds: Seeds, settings: GraphSettings, seed: int) -> Sample:
    """Sample the hops of one batch; the same seed draws the same edges."""
    _refuse_duplicates(seeds)
    seen, context_S = contexts(seeds, pairs, settings.grain_hours * HOUR)
    n_contexts = len(seen.time_C)
    ends = [seeds.member_S * n_contexts + context_S, seeds.job_S * n_contexts + context_S]
    key_R, place = distinct(np.concatenate(ends))
    hops: list[Hop] = []
    for depth in range(settings.layers):
        node_R, context_R = np.divmod(key_R, n_contexts)
        time_R = seen.time_C[context_R]
        own_R = np.where(seen.fresh_C[context_R], view.since_U[node_R], time_R)
        edges = in_edges(
            view,
            node_R,
            time_R,
            seen.hidden(node_R, context_R),
            lambda relation, depth=depth: settings.fan_out(relation, depth),  # type: ignore[misc]
            attributes_R=own_R,
            recent=settings.pick == "recent",
            seed=seed * settings.layers + depth,
        )
        source = np.concatenate([node_R, edges.src_E])
        reader_E = seen.others(context_R[edges.row_E])
        if depth == settings.layers - 1:
            known_R = view.is_known(node_R, own_R)
            known_E = view.is_known(edges.src_E, seen.time_C[reader_E])
            key_R, index = distinct(source * 2 + np.concatenate([known_R, known_E]))
        else:
            expanded = _expanded(
                view, seen, settings.layers - 2 - depth, source, context_R, reader_E
            )
            key_R, index = distinct(source * n_contexts + expanded)
            if settings.grain_hours and depth == settings.layers - 2:
                key_R, index = _shared(view, seen, key_R, index)
        age_E = age_in_days(time_R[edges.row_E], edges.at_E)
        self_R, src_E = index[: len(node_R)], index[len(node_R) :]
        hops.append(Hop(len(key_R), node_R, self_R, src_E, edges.row_E, edges.type_E, age_E))
    ends_S = place[: len(seeds)], place[len(seeds) :]
    return Sample(key_R // 2, key_R % 2 == 1, tuple(reversed(hops)), *ends_S)


def _expanded(
    view: View, seen: Contexts, further: int, source: Ints, context_R: Ints, reader_E: Ints
) -> Ints:
    """The contexts of the next hop's rows: this hop's own ones, and those that they read.

    `further` hops follow after the next one.
    """
    context = np.concatenate([context_R, reader_E])
    context = np.where(view.is_leaf(source), seen.leaf, context)
    if not further:
        context = seen.simplest(source, context)
    read = slice(len(context_R), None)
    context[read] = seen.coarse(view, source[read], context[read])
    return context


def _shared(view: View, seen: Contexts, key_R: Ints, index: Ints) -> tuple[Ints, Ints]:
    """With a grain: the last rows expanded, one for all times between which a node gets no edge.

    They see the same edges at each, and are read as of the first: of an age, and of content that
    their sources changed since, up to a batch's stretch of time is lost.
    """
    node_R, context_R = np.divmod(key_R, len(seen.time_C))
    plain_R = (context_R < seen.plain) & ~view.is_leaf(node_R)
    version_R = np.full(len(key_R), -1)
    version_R[plain_R] = version(view, node_R[plain_R], seen.time_C[context_R[plain_R]])
    same_R = np.zeros(len(key_R), dtype=bool)  # as the row before it; times rise within a node
    same_R[1:] = plain_R[1:] & plain_R[:-1] & (node_R[1:] == node_R[:-1])
    same_R[1:] &= version_R[1:] == version_R[:-1]
    return key_R[~same_R], (np.cumsum(~same_R) - 1)[index]


def _refuse_duplicates(seeds: Seeds) -> None:
    triples = np.stack([seeds.member_S, seeds.job_S, seeds.at_S], axis=1)
    if len(np.unique(triples, axis=0)) != len(triples):
        raise UsageError(
            "a batch holds the same (member, job, time) twice; wanted each seed once: "
            "deduplicate the labels (star_features.graph.labels.labels_of does)"
        )
