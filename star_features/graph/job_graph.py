"""
The graph as arrays: nodes by type, in-edges by relation, sorted by time. numpy only.

Node `r` of type `t` has the *global* id `graph.offset(t) + r`; an edge's source is global, its
destination is the position in `indptr_N1`. Everything is int64: DGL corrupts blocks of int32.
Members and jobs aggregate; every other node is a leaf, so nothing flows through it. That is why
a new member or job changes nobody else's vector.

What is seen at a time `t`:

- a node's *content* (text, categories, its own learned row) where `since_N <= t`: a label exactly
  at an edit sees the edited profile;
- an edge with a time of its own (an interaction) where `at_E < t`: no label sees itself;
- an edge without one, which is content too (company, list columns), once the content of both ends
  is seen. Its age is not told: since when a row is as it is says little about each of its edges.

`after_E` holds the last two as one number, since `since <= t` is `since - 1 < t` in whole
microseconds: an edge is seen where `after_E < t`.

Shapes: N nodes of one type, E edges of one relation, D text width.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from star_features.errors import ArtefactError, DataError

ENTITIES = ("member", "job")
ALWAYS = np.iinfo(np.int64).min  # the time of an edge that was always there
FOREVER = np.iinfo(np.int64).max  # a time that sees every edge

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """A categorical column: `values[codes_N]`, -1 where it is null."""

    values: tuple[str, ...]
    codes_N: Ints


@dataclass(frozen=True)
class Nodes:
    """All nodes of one type. `text_ND` is zero where `has_text_N` is false.

    `since_N` is when each node's content became what it is; ALWAYS where nobody says.
    `text_space` is the space that the text vectors live in; empty where there are none.
    """

    ids: NDArray[np.str_]
    text_ND: Floats
    has_text_N: NDArray[np.bool_]
    since_N: Ints
    categories: Mapping[str, Column] = field(default_factory=dict)
    text_space: str = ""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Relation:
    """In-edges of one destination type from one source type.

    The in-edges of destination `r` are `indptr_N1[r]:indptr_N1[r + 1]`, by `after_E`, then source.
    `at_E` is an edge's own time, ALWAYS where it has none; `after_E` says who sees it. Unless
    `below` is 0, only destinations with fewer timed edges than that, at the time, read the edges.
    """

    name: str
    src_type: str
    dst_type: str
    kinds: tuple[str, ...]
    indptr_N1: Ints
    src_E: Ints
    at_E: Ints
    after_E: Ints
    kind_E: Ints
    below: int = 0

    def __post_init__(self) -> None:
        for name in ("indptr_N1", "src_E", "at_E", "after_E", "kind_E"):
            dtype = getattr(self, name).dtype
            if dtype != np.int64:
                raise DataError(
                    f"relation {self.name}",
                    f"{name} is {dtype}",
                    "Wanted int64: DGL silently corrupts blocks of int32 graphs.",
                )

    def __len__(self) -> int:
        return len(self.src_E)

    @cached_property
    def is_timed(self) -> bool:
        """Whether edges have times of their own: they tell what happened, not what is."""
        return bool((self.at_E != ALWAYS).any())

    @property
    def edge_types(self) -> list[str]:
        """One name per kind: what an attention vector belongs to."""
        return [f"{self.name}:{kind}" for kind in self.kinds]


@dataclass(frozen=True)
class JobGraph:
    """Nodes by type and relations between them; `checksum` pins which id stands in which row."""

    nodes: Mapping[str, Nodes]
    relations: tuple[Relation, ...]
    checksum: str

    @cached_property
    def types(self) -> tuple[str, ...]:
        return tuple(self.nodes)

    @cached_property
    def bounds(self) -> Ints:
        """Global ids of type `types[i]` are `bounds[i]:bounds[i + 1]`."""
        sizes = [len(nodes) for nodes in self.nodes.values()]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @cached_property
    def _row_of(self) -> dict[str, dict[str, int]]:
        return {
            name: {key: row for row, key in enumerate(nodes.ids.tolist())}
            for name, nodes in self.nodes.items()
        }

    @cached_property
    def since(self) -> Ints:
        """When each node's content became what it is, by global id."""
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *(nodes.since_N for nodes in self.nodes.values())])

    def offset(self, node_type: str) -> int:
        return int(self.bounds[self.types.index(node_type)])

    def size(self) -> int:
        return int(self.bounds[-1])

    def edges(self) -> int:
        return sum(len(relation) for relation in self.relations)

    def rows(self, node_type: str, ids: Iterable[str]) -> Ints:
        """Global ids of these nodes; DataError names the first ones that are not in the graph."""
        wanted = list(ids)
        row_of = self._row_of[node_type]
        rows = np.fromiter((row_of.get(key, -1) for key in wanted), np.int64, len(wanted))
        if (rows < 0).any():
            absent = [wanted[i] for i in np.flatnonzero(rows < 0)[:3]]
            raise DataError(
                f"graph of {len(self.nodes[node_type])} {node_type}s",
                f"{int((rows < 0).sum())} unknown {node_type} ids, such as {absent}",
                f"Wanted ids of the {node_type}s table: build the graph from tables with them.",
            )
        return rows + self.offset(node_type)

    def verify(self) -> None:
        """Raise ArtefactError if an id no longer stands in the row it was built in."""
        found = ids_checksum({name: nodes.ids for name, nodes in self.nodes.items()})
        if found != self.checksum:
            raise ArtefactError(
                "graph", f"the ids in its rows have checksum {found[:12]}", self.checksum[:12]
            )


def ids_checksum(ids: Mapping[str, Sequence[str] | NDArray[np.str_]]) -> str:
    """SHA-256 of the ids of every type in row order; types by name."""
    hasher = hashlib.sha256()
    for name in sorted(ids):
        hasher.update(f"\x00{name}\x00".encode())
        hasher.update("\x1f".join(np.asarray(ids[name]).tolist()).encode())
    return hasher.hexdigest()


def seen_after(at_E: Ints, since_E: Ints) -> Ints:
    """`after_E` of edges with these times, and this time since when both ends are what they are."""
    content_E = np.maximum(since_E, ALWAYS + 1) - 1  # ALWAYS stays ALWAYS
    return np.where(at_E == ALWAYS, content_E, at_E)


def sorted_relation(
    name: str,
    ends: tuple[str, str],
    *,
    kinds: tuple[str, ...],
    src_E: Ints,
    dst_E: Ints,
    at_E: Ints,
    after_E: Ints,
    kind_E: Ints,
    n_dst: int,
    below: int = 0,
) -> Relation:
    """Sort edges by destination, who sees them, source, kind, own time: the order of the input
    changes nothing."""
    order = np.lexsort((at_E, kind_E, src_E, after_E, dst_E))
    indptr_N1 = np.zeros(n_dst + 1, dtype=np.int64)
    np.cumsum(np.bincount(dst_E, minlength=n_dst), out=indptr_N1[1:])
    src_E, at_E, after_E, kind_E = (a[order] for a in (src_E, at_E, after_E, kind_E))
    return Relation(name, *ends, kinds, indptr_N1, src_E, at_E, after_E, kind_E, below)
