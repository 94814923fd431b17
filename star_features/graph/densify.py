"""
Densification: whoever has met few reads those who resemble him by text.

    graph = densified(graph, settings.densify)      # unchanged where it is None

Each member and job gets edges from its nearest by text among the older ones, in a relation of its
own (`job-near>job`). They are read only while the node has fewer than `below` interactions at the
time it is seen: who will stay cold is not known before, so edges for those alone would tell.

After LiGNN (KDD 2024), which adds edges to sparse nodes of a snapshot.
"""

import numpy as np

from star_features.errors import DataError
from star_features.graph.job_graph import (
    ALWAYS,
    ENTITIES,
    JobGraph,
    Relation,
    seen_after,
    sorted_relation,
)
from star_features.graph.neighbours import NONE, nearest
from star_features.graph.settings import Densify

NEAR = "near"


def densified(graph: JobGraph, settings: Densify | None) -> JobGraph:
    """The graph with a `near` relation for members and one for jobs."""
    if settings is None:
        return graph
    near = tuple(_near(graph, entity, settings) for entity in ENTITIES)
    return JobGraph(graph.nodes, (*graph.relations, *near), graph.checksum)


def name_of(entity: str) -> str:
    """The name of an entity's near relation."""
    return f"{entity}-{NEAR}>{entity}"


def require_densified(graph: JobGraph, settings: Densify | None) -> None:
    """Raise DataError where a model was trained on near edges that this graph does not have."""
    if settings is None:
        return
    found = {relation.name: relation.below for relation in graph.relations}
    for entity in ENTITIES:
        if found.get(name_of(entity)) != settings.below:
            raise DataError(
                f"graph of {graph.size():,} nodes",
                f"no relation {name_of(entity)} for nodes below {settings.below} interactions",
                "This model was trained on a densified graph: "
                "densified(graph, model.settings.densify) first.",
            )


def _near(graph: JobGraph, entity: str, settings: Densify) -> Relation:
    nodes = graph.nodes[entity]
    near_NK = nearest(nodes.text_ND, nodes.has_text_N, settings.neighbours, nodes.since_N)
    dst_E, place_E = np.nonzero(near_NK != NONE)
    src_E = near_NK[dst_E, place_E]
    timeless_E = np.full(len(dst_E), ALWAYS)
    return sorted_relation(
        name_of(entity),
        (entity, entity),
        kinds=("",),
        src_E=src_E + graph.offset(entity),
        dst_E=dst_E,
        at_E=timeless_E,
        after_E=seen_after(timeless_E, np.maximum(nodes.since_N[src_E], nodes.since_N[dst_E])),
        kind_E=np.zeros_like(dst_E),
        n_dst=len(nodes),
        below=settings.below,
    )
