"""
One vector at a time: members and jobs that changed after the graph was built, or are new.

    live = LiveGraph(model, graph, as_of, carried={"job": ["company", "skills"]})
    live.vectors([Fresh("job", "j1", since_us, text_D, {"place": "Oslo"}, {"skills": ["s1"]})])

What `infer(..., fresh=True)` would say of a graph with that one row changed, without building it:
all else is as of the snapshot, nobody else's later content is seen, and nobody sees the fresh one.
So a vector depends on its own entity and on the snapshot alone, not on what else arrived or in
which order. Interactions that were told since the snapshot are read by their two ends only.

The graph is read once, at the start. A vector costs what lies within reach of it.

Shapes: F fresh nodes, B nodes of the snapshot within reach, E edges, D text width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from star_features.errors import DataError
from star_features.graph.densify import require_densified
from star_features.graph.infer import CHUNK, defined, vectors_of
from star_features.graph.job_graph import (
    ALWAYS,
    ENTITIES,
    FOREVER,
    Floats,
    Ints,
    JobGraph,
    Relation,
    seen_after,
    sorted_relation,
)
from star_features.graph.network import GraphModel
from star_features.graph.settings import ALL
from star_features.graph.temporal import NOBODY, Edges, View, in_edges
from star_features.graph.vocabulary import UNKNOWN, Inputs, Reading, read_graph


@dataclass(frozen=True)
class Met:
    """An interaction of a fresh node: with whom, what, and when in microseconds."""

    other: str
    kind: str
    at_us: int


@dataclass(frozen=True)
class Fresh:
    """A member or job as it is now.

    Attributes:
        since_us: when its content became true.
        text_D: its text vector, in the space that the model reads; None where it has no text.
        categories: by column; one that is absent is null.
        attributes: ids of its attribute nodes by their type, such as company and skills.
        met: interactions that the snapshot may not hold yet; those it holds are read once.
    """

    entity: str
    id: str
    since_us: int
    text_D: Floats | None = None
    categories: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    met: Sequence[Met] = ()


class LiveGraph:
    """A snapshot as one model reads it, kept warm.

    Args:
        as_of: the snapshot's time, as `infer` takes it.
        carried: by entity, the attribute types that a `Fresh` brings whole; of all others it has
            the edges of the snapshot.
    """

    def __init__(
        self,
        model: GraphModel,
        graph: JobGraph,
        as_of: np.datetime64 | None,
        carried: Mapping[str, Sequence[str]],
    ) -> None:
        graph.verify()
        require_densified(graph, model.settings.densify)
        self.model, self.graph = model.eval(), graph
        self.carried = {entity: frozenset(types) for entity, types in carried.items()}
        self.time = FOREVER if as_of is None else int(as_of.astype("datetime64[us]").astype(int))
        self.reading = read_graph(graph, model.vocabulary)
        self.codes = {name: code for code, name in enumerate(model.vocabulary.edge_types)}
        self._values = {
            entity: {
                column: {value: row for row, value in enumerate(values, start=1)}
                for column, values in model.vocabulary.categories.get(entity, {}).items()
            }
            for entity in ENTITIES
        }
        self._lengths = {
            entity: np.maximum(np.linalg.norm(graph.nodes[entity].text_ND, axis=1), 1e-12)
            for entity in (ENTITIES if model.settings.densify else ())
        }
        self._row_of = {
            name: {key: row for row, key in enumerate(nodes.ids.tolist())}
            for name, nodes in graph.nodes.items()
        }

    def knows(self, entity: str, id: str) -> bool:
        """Whether the snapshot has this member or job."""
        return id in self._row_of[entity]

    def vectors(self, fresh: Sequence[Fresh]) -> Floats:
        """F unit vectors, in this order."""
        if not fresh:
            return np.zeros((0, self.model.settings.output), dtype=np.float32)
        own = [self._own_edges(one) for one in fresh]
        around = self._around(np.concatenate([edges.src_E for edges in own]))
        reading, place_F = _Cut(self, fresh, own, around).reading()
        key_U = 2 * np.sort(place_F)
        with torch.no_grad():
            vectors_FD = vectors_of(self.model, reading, key_U, self.time, CHUNK).numpy()
        return defined(vectors_FD)[np.argsort(np.argsort(place_F))]

    def node(self, node_type: str, id: str) -> int:
        """Its global id in the snapshot; -1 where it has none."""
        row = self._row_of.get(node_type, {}).get(id, -1)
        return -1 if row < 0 else self.graph.offset(node_type) + row

    def _around(self, start_B: Ints) -> Edges:
        """In-edges, as of the snapshot, of all that a fresh node reads through others."""
        found: list[Edges] = []
        done_B, next_B = np.empty(0, np.int64), np.unique(start_B[start_B >= 0])
        for _ in range(len(self.model.layers) - 1):
            rows_R = np.setdiff1d(next_B, done_B)
            time_R, nobody_R = np.full(len(rows_R), self.time), np.full(len(rows_R), NOBODY)
            edges = in_edges(self.reading.view, rows_R, time_R, nobody_R, lambda _: ALL)
            found.append(replace(edges, row_E=rows_R[edges.row_E]))
            done_B, next_B = np.union1d(done_B, rows_R), np.unique(edges.src_E)
        return _joined(found)

    def _own_edges(self, one: Fresh) -> Edges:
        """What a fresh node reads itself: its attributes of now, interactions, and, where those
        are few, who is near. -1 stands for an attribute that the snapshot does not have, less its
        type: see `_Cut`."""
        row = self._row_of[one.entity].get(one.id)
        mine = [r for r in self.reading.view.relations if r.dst_type == one.entity]
        parts, met = [], 0
        for relation in (r for r in mine if not r.below):
            unnamed = relation.name == f"{relation.src_type}>{one.entity}"
            if unnamed and relation.src_type in self.carried.get(one.entity, ()):
                parts.append(self._carried_edges(relation, one))
                continue
            held = self._held_edges(relation, one, row)
            told = unnamed and relation.src_type in ENTITIES
            read = [held, self._met_edges(relation, one, held)] if told else [held]
            parts += read
            met += sum(len(edges.src_E) for edges in read) if relation.is_timed or told else 0
        near = [self._near_edges(relation, one, row) for relation in mine if met < relation.below]
        return _joined(parts + near)

    def _near_edges(self, relation: Relation, one: Fresh, row: int | None) -> Edges:
        """The nearest by text among those that are no newer, as far as the snapshot knows them."""
        nodes, densify = self.graph.nodes[one.entity], self.model.settings.densify
        if one.text_D is None or densify is None or not one.text_D.any():
            return _joined([])
        older_N = nodes.has_text_N & (nodes.since_N <= one.since_us)
        if row is not None:
            older_N[row] = False
        product_N = nodes.text_ND @ _of_width(one, nodes.text_ND.shape[1])
        cosine_N = np.where(older_N, product_N / self._lengths[one.entity], -np.inf)
        kept = min(densify.neighbours, int(older_N.sum()))
        nearest = np.argpartition(-cosine_N, max(kept - 1, 0))[:kept]
        nearest = nearest[nodes.since_N[nearest] <= self.time]
        src_E = nearest + self.graph.offset(one.entity)
        return _edges(src_E, self.codes[f"{relation.name}:"], ALWAYS)

    def _carried_edges(self, relation: Relation, one: Fresh) -> Edges:
        ids = one.attributes.get(relation.src_type, ())
        absent = -1 - self.graph.types.index(relation.src_type)
        nodes = [self.node(relation.src_type, id) for id in dict.fromkeys(ids)]
        src_E = np.array([absent if node < 0 else node for node in nodes], dtype=np.int64)
        return _edges(src_E, self.codes[f"{relation.name}:"], ALWAYS)

    def _held_edges(self, relation: Relation, one: Fresh, row: int | None) -> Edges:
        """The snapshot's edges that this node sees with its own content of now."""
        if row is None:
            return _joined([])
        mine = slice(relation.indptr_N1[row], relation.indptr_N1[row + 1])
        src_E, at_E = relation.src_E[mine], relation.at_E[mine]
        since_E = np.maximum(self.graph.since[src_E], one.since_us)
        leaf = relation.src_type not in ENTITIES
        now = max(one.since_us, self.time) if leaf else self.time
        seen_E = seen_after(at_E, since_E) < now
        kinds = np.array([self.codes[name] for name in relation.edge_types], dtype=np.int64)
        type_E = kinds[relation.kind_E[mine]]
        zeros_E = np.zeros(int(seen_E.sum()), dtype=np.int64)
        return Edges(src_E[seen_E], zeros_E, type_E[seen_E], at_E[seen_E])

    def _met_edges(self, relation: Relation, one: Fresh, held: Edges) -> Edges:
        """Interactions that the snapshot does not hold, with those that it knows."""
        known = set(zip(held.src_E.tolist(), held.type_E.tolist(), held.at_E.tolist(), strict=True))
        new = dict.fromkeys(
            (self.node(relation.src_type, met.other), code, met.at_us)
            for met in one.met
            if (code := self.codes.get(f"{relation.name}:{met.kind}")) is not None
        )
        rows = [key for key in new if key[0] >= 0 and key not in known]
        src_E, type_E, at_E = (np.array([row[n] for row in rows], np.int64) for n in range(3))
        return Edges(src_E, np.zeros(len(rows), dtype=np.int64), type_E, at_E)


class _Cut:
    """The part of a snapshot that some fresh nodes reach, with them in it, as a small graph.

    Nodes of a type stand in this order: those of the snapshot, the fresh ones, one for attributes
    that the snapshot does not have.
    """

    def __init__(
        self, live: LiveGraph, fresh: Sequence[Fresh], own: Sequence[Edges], around: Edges
    ) -> None:
        self.live, self.fresh, self.own, self.around = live, fresh, own, around
        read = np.concatenate([around.row_E, around.src_E, *(edges.src_E for edges in own)])
        self.node_B = np.unique(read[read >= 0])
        view = live.reading.view
        self.types = tuple(name for name in view.types if name in live.reading.inputs)
        self.held = {name: self._between(*view.span(name)) for name in self.types}
        self.fresh_of = {
            name: [place for place, one in enumerate(fresh) if one.entity == name]
            for name in self.types
        }
        sizes = [
            len(self.held[name]) + len(self.fresh_of[name]) + (name not in ENTITIES)
            for name in self.types
        ]
        self.bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def reading(self) -> tuple[Reading, Ints]:
        """The small graph, and where in it each fresh node stands."""
        place_F = np.zeros(len(self.fresh), dtype=np.int64)
        for name in ENTITIES:
            start = self._start(name) + len(self.held[name])
            for offset, place in enumerate(self.fresh_of[name]):
                place_F[place] = start + offset
        mine = [replace(e, row_E=e.row_E + place_F[n]) for n, e in enumerate(self.own)]
        around = replace(self.around, row_E=self._places(self.around.row_E))
        edges = _joined([around, *mine])
        edges = replace(edges, src_E=self._places(edges.src_E))
        view = View(
            relations=tuple(self._relation(name, edges) for name in ENTITIES),
            type_of=(np.arange(len(self.live.codes)),) * len(ENTITIES),
            bounds=self.bounds,
            types=self.types,
            leaf_T=np.array([name not in ENTITIES for name in self.types]),
            since_U=self._since(),
        )
        return Reading(view, {name: self._inputs(name) for name in self.types}), place_F

    def _between(self, low: int, high: int) -> Ints:
        """Nodes of one type, as rows of that type."""
        return self.node_B[(self.node_B >= low) & (self.node_B < high)] - low

    def _start(self, name: str) -> int:
        return int(self.bounds[self.types.index(name)])

    def _places(self, node_E: Ints) -> Ints:
        """Where nodes of the snapshot, and the absent ones of each type, stand here."""
        place_E = np.empty(len(node_E), dtype=np.int64)
        for name in self.types:
            low, high = self.live.reading.view.span(name)
            hit_E = (node_E >= low) & (node_E < high)
            place_E[hit_E] = self._start(name) + np.searchsorted(
                self.held[name], node_E[hit_E] - low
            )
            absent_E = node_E == -1 - self.live.graph.types.index(name)
            place_E[absent_E] = self.bounds[self.types.index(name) + 1] - 1
        return place_E

    def _relation(self, name: str, edges: Edges) -> Relation:
        """All edges into nodes of one type; each was seen, so here all are always there."""
        low, high = self._start(name), int(self.bounds[self.types.index(name) + 1])
        into_E = (edges.row_E >= low) & (edges.row_E < high)
        src_E = edges.src_E[into_E]
        return sorted_relation(
            name,
            (name, name),
            kinds=tuple(self.live.codes),
            src_E=src_E,
            dst_E=edges.row_E[into_E] - low,
            at_E=edges.at_E[into_E],
            after_E=np.full(len(src_E), ALWAYS),
            kind_E=edges.type_E[into_E],
            n_dst=high - low,
        )

    def _since(self) -> Ints:
        """Of the snapshot's nodes as it has it; a fresh one is known to itself."""
        view, out = self.live.reading.view, np.full(int(self.bounds[-1]), ALWAYS)
        for name in self.types:
            rows, low = self.held[name], view.span(name)[0]
            start = self._start(name)
            out[start : start + len(rows)] = view.since_U[low + rows]
        return out

    def _inputs(self, name: str) -> Inputs:
        whole, rows = self.live.reading.inputs[name], self.held[name]
        fresh = [self.fresh[place] for place in self.fresh_of[name]]
        extra = len(fresh) + (name not in ENTITIES)
        text_ND, has_text_N = None, np.zeros(extra, dtype=np.float32)
        if whole.text_ND is not None:
            text_XD = np.zeros((extra, whole.text_ND.shape[1]), dtype=np.float32)
            for place, one in enumerate(fresh):
                if one.text_D is not None and one.text_D.any():
                    text_XD[place] = _of_width(one, text_XD.shape[1])
                    has_text_N[place] = 1
            text_ND = np.concatenate([whole.text_ND[rows], text_XD])
        category_XK = np.full((extra, whole.category_NK.shape[1]), UNKNOWN, dtype=np.int64)
        for place, one in enumerate(fresh):
            values = self.live._values[name].items()
            category_XK[place] = [
                known.get(one.categories.get(c, ""), UNKNOWN) for c, known in values
            ]
        return Inputs(
            text_ND=text_ND,
            has_text_N=np.concatenate([whole.has_text_N[rows], has_text_N]),
            category_NK=np.concatenate([whole.category_NK[rows], category_XK]),
            id_N=None if whole.id_N is None else self._ids(name, whole.id_N, rows, fresh, extra),
        )

    def _ids(
        self, name: str, id_N: Ints, rows: Ints, fresh: Sequence[Fresh], extra: int
    ) -> NDArray[np.int64]:
        """Rows of the model's own embeddings: a fresh node keeps the one it had."""
        id_X = np.full(extra, UNKNOWN, dtype=np.int64)
        for place, one in enumerate(fresh):
            row = self.live._row_of[name].get(one.id)
            id_X[place] = UNKNOWN if row is None else id_N[row]
        return np.concatenate([id_N[rows], id_X])


def _edges(src_E: Ints, code: int, at: int) -> Edges:
    zeros_E = np.zeros(len(src_E), dtype=np.int64)
    return Edges(src_E, zeros_E, zeros_E + code, zeros_E + at)


def _joined(parts: Sequence[Edges]) -> Edges:
    empty, names = np.empty(0, np.int64), ("src_E", "row_E", "type_E", "at_E")
    return Edges(*(np.concatenate([empty, *(getattr(p, n) for p in parts)]) for n in names))


def _of_width(one: Fresh, width: int) -> Floats:
    text_D = np.asarray(one.text_D, dtype=np.float32)
    if text_D.shape != (width,):
        raise DataError(
            f"{one.entity} {one.id}",
            f"its text vector has shape {text_D.shape}",
            f"Wanted {width} numbers, of the space that the model reads.",
        )
    return text_D
