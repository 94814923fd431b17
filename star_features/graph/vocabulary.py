"""
Which rows of a model's tables a graph's nodes and edges read.

A model is trained on one graph and reads later ones: new companies, new skills, new categories
read the unknown row (0), and edges of a type that the model never saw are not read at all.

Shapes: N nodes of one type, K categorical columns, D text width, T node types.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from star_features.errors import SpaceMismatch
from star_features.files import Settings
from star_features.graph.job_graph import (
    ENTITIES,
    Floats,
    Ints,
    JobGraph,
    Nodes,
    Relation,
    sorted_relation,
)
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import View

UNKNOWN = 0
Values = TypeVar("Values", Floats, Ints)


class Vocabulary(Settings):
    """What a model knows by name; it travels as JSON beside the weights."""

    node_types: tuple[str, ...]
    """In the order of the model's input layers."""
    text_spaces: dict[str, str]
    """The space that each node type's text lives in; absent where no text is read."""
    text_widths: dict[str, int]
    """Its width."""
    categories: dict[str, dict[str, tuple[str, ...]]]
    """Known values by node type and column; row `i + 1` of the embedding is value `i`."""
    ids: dict[str, tuple[str, ...]]
    """Known ids of the node types that have one embedding each."""
    edge_types: tuple[str, ...]
    """`relation:kind`, in the order of the attention vectors."""


def vocabulary_of(graph: JobGraph, settings: GraphSettings) -> Vocabulary:
    """Everything in `graph` that `settings` let a model read."""
    types = [t for t in graph.types if t in ENTITIES or settings.use_attributes]
    texts = {t: graph.nodes[t] for t in types if settings.use_text and graph.nodes[t].text_space}
    categories = {
        t: {name: column.values for name, column in graph.nodes[t].categories.items()}
        for t in types
        if settings.use_categorical
    }
    embedded = [t for t in types if t not in ENTITIES or settings.use_ids]
    return Vocabulary(
        node_types=tuple(types),
        text_spaces={t: nodes.text_space for t, nodes in texts.items()},
        text_widths={t: nodes.text_ND.shape[1] for t, nodes in texts.items()},
        categories=categories,
        ids={t: tuple(graph.nodes[t].ids.tolist()) for t in embedded},
        edge_types=tuple(
            name
            for relation in graph.relations
            if relation.src_type in types
            for name in relation.edge_types
        ),
    )


@dataclass(frozen=True)
class Inputs:
    """What the nodes of one type bring with them: text, and rows of the model's embeddings."""

    text_ND: Floats | None
    has_text_N: Floats
    category_NK: Ints
    id_N: Ints | None

    def of(self, row_N: Ints, known_N: NDArray[np.bool_]) -> "Inputs":
        """What these rows bring; where its content is not known yet, a node brings nothing."""
        return Inputs(
            text_ND=None if self.text_ND is None else _blanked(self.text_ND[row_N], known_N),
            has_text_N=_blanked(self.has_text_N[row_N], known_N),
            category_NK=_blanked(self.category_NK[row_N], known_N),
            id_N=None if self.id_N is None else _blanked(self.id_N[row_N], known_N),
        )


def _blanked(values_N: Values, known_N: NDArray[np.bool_]) -> Values:
    """Zero, which is UNKNOWN too, where not known; `values_N` is a fresh copy, written over."""
    values_N[~known_N] = UNKNOWN
    return values_N


@dataclass(frozen=True)
class Reading:
    """A graph as one model reads it: its edges (`view`) and its nodes' inputs, by type."""

    view: View
    inputs: Mapping[str, Inputs]


def read_graph(graph: JobGraph, vocabulary: Vocabulary) -> Reading:
    """Look every node and edge of `graph` up in `vocabulary`."""
    known = set(vocabulary.node_types)
    relations = [_known_edges(r, vocabulary) for r in graph.relations if r.src_type in known]
    code = {name: number for number, name in enumerate(vocabulary.edge_types)}
    view = View(
        relations=tuple(relations),
        type_of=tuple(np.array([code[n] for n in r.edge_types], np.int64) for r in relations),
        bounds=graph.bounds,
        types=graph.types,
        leaf_T=np.array([t not in ENTITIES for t in graph.types]),
        since_U=graph.since,
    )
    return Reading(
        view, {t: _inputs(t, graph.nodes[t], vocabulary) for t in graph.types if t in known}
    )


def _known_edges(relation: Relation, vocabulary: Vocabulary) -> Relation:
    known = set(vocabulary.edge_types)
    kept_K = np.array([name in known for name in relation.edge_types], dtype=bool)
    if kept_K.all():
        return relation
    kinds = tuple(np.array(relation.kinds)[kept_K].tolist())
    dst_E = np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))
    kept_E = kept_K[relation.kind_E]
    return sorted_relation(
        relation.name,
        (relation.src_type, relation.dst_type),
        kinds=kinds,
        src_E=relation.src_E[kept_E],
        dst_E=dst_E[kept_E],
        at_E=relation.at_E[kept_E],
        after_E=relation.after_E[kept_E],
        kind_E=(np.cumsum(kept_K) - 1)[relation.kind_E[kept_E]],
        n_dst=len(relation.indptr_N1) - 1,
        below=relation.below,
    )


def _inputs(node_type: str, nodes: Nodes, vocabulary: Vocabulary) -> Inputs:
    wanted = vocabulary.text_spaces.get(node_type)
    if wanted is not None and nodes.text_space != wanted:
        raise SpaceMismatch(got=nodes.text_space or "no text space", wanted=wanted)
    columns = [
        _codes(nodes, name, values)
        for name, values in vocabulary.categories.get(node_type, {}).items()
    ]
    ids = vocabulary.ids.get(node_type)
    return Inputs(
        text_ND=None if wanted is None else nodes.text_ND,
        has_text_N=nodes.has_text_N.astype(np.float32),
        category_NK=np.stack(columns, axis=1) if columns else np.zeros((len(nodes), 0), np.int64),
        id_N=None if ids is None else _rows(nodes.ids.tolist(), ids),
    )


def _codes(nodes: Nodes, name: str, values: tuple[str, ...]) -> Ints:
    column = nodes.categories.get(name)
    if column is None:
        return np.full(len(nodes), UNKNOWN, dtype=np.int64)
    row_V = np.append(_rows(column.values, values), UNKNOWN)  # a null's code is -1: the last
    return np.asarray(row_V[column.codes_N])


def _rows(names: list[str] | tuple[str, ...], known: tuple[str, ...]) -> Ints:
    row_of = {name: row for row, name in enumerate(known, start=1)}
    return np.fromiter((row_of.get(name, UNKNOWN) for name in names), np.int64, len(names))
