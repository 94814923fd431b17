"""
What a node may see at a time, content and edges: exact, by binary search, for any number of hops.

A *row* is a node seen from a context; a *context* is a time and, where it matters, the pair whose
own edges are hidden. Rows are drawn from the labels outwards; each hop says which rows read which
rows over which edges. The innermost rows are plain nodes, since what a node brings with it depends
on who looks in one thing only, whether it is known yet: they are projected once each, and those
whose content is unknown to some a second time, without it.

Shapes: S seeds, R rows of a hop, E sampled edges, C contexts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from star_features.graph.job_graph import ALWAYS, Floats, Ints, Relation

DAY = 86_400_000_000  # microseconds
NOBODY = -1
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Seeds:
    """Labelled pairs: global node ids of both ends, and the time that both are seen at."""

    member_S: Ints
    job_S: Ints
    at_S: Ints

    def __len__(self) -> int:
        return len(self.member_S)

    def take(self, index: Ints) -> "Seeds":
        return Seeds(self.member_S[index], self.job_S[index], self.at_S[index])


@dataclass(frozen=True)
class Edges:
    """In-edges of rows: `src_E` is a global node id, `row_E` the destination row."""

    src_E: Ints
    row_E: Ints
    type_E: Ints
    at_E: Ints


@dataclass(frozen=True)
class Hop:
    """One layer's work: `self_R[r]` and `src_E` point into the sources of this hop."""

    n_src: int
    node_R: Ints
    self_R: Ints
    src_E: Ints
    row_E: Ints
    type_E: Ints
    age_E: Floats


@dataclass(frozen=True)
class Sample:
    """Hops from the input to the labels; `node_U` are the nodes that the first one reads.

    `known_U` says whether with their content: some nodes stand there with it and without it.
    """

    node_U: Ints
    known_U: NDArray[np.bool_]
    hops: tuple[Hop, ...]
    member_S: Ints
    job_S: Ints


@dataclass(frozen=True)
class View:
    """A graph as one model reads it: relations whose every edge has a type of the model's."""

    relations: tuple[Relation, ...]
    type_of: tuple[Ints, ...]
    bounds: Ints
    types: tuple[str, ...]
    leaf_T: NDArray[np.bool_]
    since_U: Ints

    def span(self, node_type: str) -> tuple[int, int]:
        """Global ids of this type: from, to. Empty where the graph has no such type."""
        if node_type not in self.types:
            return int(self.bounds[-1]), int(self.bounds[-1])
        at = self.types.index(node_type)
        return int(self.bounds[at]), int(self.bounds[at + 1])

    def is_leaf(self, node_N: Ints) -> NDArray[np.bool_]:
        return self.leaf_T[np.searchsorted(self.bounds, node_N, side="right") - 1]

    def is_known(self, node_N: Ints, time_N: Ints | int) -> NDArray[np.bool_]:
        """Whether the content of these nodes is there to see at these times."""
        known_N: NDArray[np.bool_] = self.since_U[node_N] <= time_N
        return known_N


def kernel(function: F) -> F:
    """Compile for the machine; the compiled form is kept between processes."""
    return cast(F, njit(cache=True)(function))


@kernel
def _visible(indptr: Ints, after: Ints, dst_R: Ints, time_R: Ints) -> Ints:
    """How many of each row's in-edges are seen at the row's time."""
    count_R = np.zeros(len(dst_R), np.int64)
    for r in range(len(dst_R)):
        low, high = indptr[dst_R[r]], indptr[dst_R[r] + 1]
        start = low
        while low < high:
            middle = (low + high) // 2
            if after[middle] < time_R[r]:
                low = middle + 1
            else:
                high = middle
        count_R[r] = low - start
    return count_R


@kernel
def _mix(state: np.uint64) -> np.uint64:
    """The finaliser of splitmix64: a good 64-bit hash."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def distinct(key_N: Ints) -> tuple[Ints, Ints]:
    """`np.unique(key_N, return_inverse=True)` of keys that are not negative, by hashing: only the
    different ones are sorted, and of a batch's sources nine in ten are not."""
    first_U, place_N = _numbered(key_N, np.uint64((2 << len(key_N).bit_length()) - 1))
    order = np.argsort(first_U)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first_U[order], rank[place_N]


@kernel
def _numbered(key_N: Ints, mask: np.uint64) -> tuple[Ints, Ints]:
    """Different keys in the order they first stand in, and the number of each key."""
    table = np.full(np.int64(mask) + 1, -1, np.int64)
    first_U = np.empty(len(key_N), np.int64)
    place_N = np.empty(len(key_N), np.int64)
    count = 0
    for n in range(len(key_N)):
        slot = _mix(np.uint64(key_N[n]) * np.uint64(0x9E3779B97F4A7C15)) & mask
        while table[slot] >= 0 and first_U[table[slot]] != key_N[n]:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = count
            first_U[count] = key_N[n]
            count += 1
        place_N[n] = table[slot]
    return first_U[:count], place_N


@kernel
def _recent(src: Ints, start: int, count: int, hidden: int, room: Ints) -> int:
    """Fill `room` with the latest edges that do not come from `hidden`; how many there were."""
    filled = 0
    for e in range(start + count - 1, start - 1, -1):
        if filled == len(room):
            break
        if src[e] != hidden:
            room[filled] = e
            filled += 1
    return filled


@kernel
def _uniform(src: Ints, start: int, count: int, hidden: int, room: Ints, seed: np.uint64) -> int:
    """Fill `room` with edges drawn by chance without replacement, likewise.

    Where there are many, by drawing again what has been drawn or is hidden: its time grows with
    the room, not with the edges, of which a popular job has thousands. Else, and where too many
    are hidden, by a reservoir over all of them.
    """
    if count > 4 * len(room) and _redrawn(src, start, count, hidden, room, seed):
        return len(room)
    filled, met, state = 0, 0, seed
    for e in range(start, start + count):
        if src[e] == hidden:
            continue
        if filled < len(room):
            room[filled] = e
            filled += 1
        else:
            state += np.uint64(0x9E3779B97F4A7C15)
            place = np.int64(_mix(state) % np.uint64(met + 1))
            if place < len(room):
                room[place] = e
        met += 1
    return filled


@kernel
def _redrawn(src: Ints, start: int, count: int, hidden: int, room: Ints, seed: np.uint64) -> bool:
    """Fill `room` by chance, drawing again on a clash; False where that does not end soon."""
    state, filled = seed, 0
    for _ in range(4 * len(room) + 16):
        if filled == len(room):
            return True
        state += np.uint64(0x9E3779B97F4A7C15)
        drawn = start + np.int64(_mix(state) % np.uint64(count))
        clash = src[drawn] == hidden
        for earlier in range(filled):
            clash |= room[earlier] == drawn
        if not clash:
            room[filled] = drawn
            filled += 1
    return filled == len(room)


@kernel
def _unhidden(indptr: Ints, src: Ints, dst_R: Ints, count_R: Ints, hidden_R: Ints) -> Ints:
    """How many of each row's first `count_R` in-edges do not come from `hidden_R`."""
    found_R = count_R.copy()
    for r in range(len(dst_R)):
        if hidden_R[r] >= 0:
            start = indptr[dst_R[r]]
            for e in range(start, start + count_R[r]):
                if src[e] == hidden_R[r]:
                    found_R[r] -= 1
    return found_R


@kernel
def _draw(
    indptr: Ints,
    src: Ints,
    dst_R: Ints,
    count_R: Ints,
    hidden_R: Ints,
    room_R: Ints,
    recent: bool,
    seed: np.uint64,
) -> tuple[Ints, Ints]:
    """Edges read by each row, at most its room, and the row of each."""
    edge_E = np.empty(room_R.sum(), np.int64)
    row_E = np.empty(len(edge_E), np.int64)
    end = 0
    for r in range(len(dst_R)):
        room = edge_E[end : end + room_R[r]]
        start = indptr[dst_R[r]]
        if recent or room_R[r] == count_R[r]:
            filled = _recent(src, start, count_R[r], hidden_R[r], room)
        else:
            own = _mix(seed + np.uint64(r) * np.uint64(0x9E3779B97F4A7C15))
            filled = _uniform(src, start, count_R[r], hidden_R[r], room, own)
        row_E[end : end + filled] = r
        end += filled
    return edge_E[:end], row_E[:end]


def in_edges(
    view: View,
    node_R: Ints,
    time_R: Ints,
    hidden_R: Ints,
    fan_out: Callable[[str], int],
    *,
    attributes_R: Ints | None = None,
    recent: bool = True,
    seed: int = 0,
) -> Edges:
    """In-edges of every row that are seen at its time and do not come from `hidden_R`.

    At most `fan_out(relation name)` per row and relation; -1 is all of them. Edges that are content
    (from leaves, from those near by text) are those seen at `attributes_R`, where that is given.
    """
    parts = []
    met_R = _met(view, node_R, time_R, hidden_R)
    for number, (relation, type_of) in enumerate(zip(view.relations, view.type_of, strict=True)):
        mine, dst_R = _rows_of(view, relation, node_R)
        limit = fan_out(relation.name)
        if not len(mine) or limit == 0 or not len(relation):
            continue
        from_leaf = view.leaf_T[view.types.index(relation.src_type)]
        own_time = (from_leaf or relation.below) and attributes_R is not None
        when_R = attributes_R if own_time and attributes_R is not None else time_R
        count_R = _visible(relation.indptr_N1, relation.after_E, dst_R, when_R[mine])
        if met_R is not None and relation.below:
            count_R[met_R[mine] >= relation.below] = 0
        room_R = count_R if limit < 0 else np.minimum(count_R, limit)
        own = np.uint64((seed * 1_000_003 + number) & 0xFFFFFFFFFFFFFFFF)
        edge_E, row_E = _draw(
            relation.indptr_N1, relation.src_E, dst_R, count_R, hidden_R[mine], room_R, recent, own
        )
        row_E = mine[row_E]
        if own_time and relation.below:  # whoever is new knows the others as of the given time only
            kept_E = view.is_known(relation.src_E[edge_E], time_R[row_E])
            edge_E, row_E = edge_E[kept_E], row_E[kept_E]
        type_E = type_of[relation.kind_E[edge_E]]
        parts.append(Edges(relation.src_E[edge_E], row_E, type_E, relation.at_E[edge_E]))
    return _joined(parts)


def version(view: View, node_R: Ints, time_R: Ints) -> Ints:
    """How much of what a node reads itself is there at a time: its in-edges, and its content.

    It never falls, so two times with one version show the same edges.
    """
    found_R = view.is_known(node_R, time_R).astype(np.int64)
    for relation in view.relations:
        mine, dst_R = _rows_of(view, relation, node_R)
        found_R[mine] += _visible(relation.indptr_N1, relation.after_E, dst_R, time_R[mine])
    return found_R


def _rows_of(view: View, relation: Relation, node_R: Ints) -> tuple[Ints, Ints]:
    """Which rows are destinations of a relation, and where they stand in it."""
    low, high = view.span(relation.dst_type)
    mine = np.flatnonzero((node_R >= low) & (node_R < high))
    return mine, node_R[mine] - low


def _met(view: View, node_R: Ints, time_R: Ints, hidden_R: Ints) -> Ints | None:
    """Timed edges that each row could read; None where no relation asks."""
    if not any(relation.below for relation in view.relations):
        return None
    met_R = np.zeros(len(node_R), np.int64)
    for relation in view.relations:
        if relation.is_timed:
            mine, dst_R = _rows_of(view, relation, node_R)
            ends = relation.indptr_N1, relation.src_E, dst_R
            count_R = _visible(relation.indptr_N1, relation.after_E, dst_R, time_R[mine])
            met_R[mine] += _unhidden(*ends, count_R, hidden_R[mine])
    return met_R


def _joined(parts: Sequence[Edges]) -> Edges:
    empty = np.empty(0, np.int64)
    names = ("src_E", "row_E", "type_E", "at_E")
    return Edges(*(np.concatenate([empty, *(getattr(p, n) for p in parts)]) for n in names))


def age_in_days(time_E: Ints, at_E: Ints) -> Floats:
    """Log of an edge's age in days; 0 for what has no time, or where there is none, or is newer."""
    timeless = (at_E == ALWAYS) | (time_E == np.iinfo(np.int64).max)
    age_E = np.where(timeless, 0, time_E - np.where(timeless, 0, at_E))
    return np.log1p(np.maximum(age_E, 0) / DAY).astype(np.float32)
