"""
From canonical tables (docs/architecture.md, "What flows") to a JobGraph.

    graph = build_graph(
        members, jobs, {"member": member_text, "job": job_text},
        interactions=interactions,
        categorical={"job": ["department"]}, lists={"member": ["skills"], "job": ["skills"]},
    )

Node types: member, job, company, one per list column (its values, shared by members and jobs),
and those that `edges` names. Interactions become edges in both directions, all kinds in one
relation; shown-and-not-taken rows are labels, never edges. A row's `updated_at` is when its content
became true: nobody sees it earlier (`job_graph` says exactly what is seen when).

Shapes: N nodes of one type, E edges.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from star_features.errors import DataError
from star_features.graph.job_graph import (
    ALWAYS,
    ENTITIES,
    Column,
    Ints,
    JobGraph,
    Nodes,
    Relation,
    ids_checksum,
    seen_after,
    sorted_relation,
)
from star_features.spaces import VectorTable

Columns = Mapping[str, Sequence[str]]
Ids = NDArray[np.str_]


@dataclass(frozen=True)
class Links:
    """Edges by id, before anybody knows their rows: both directions come from one of these."""

    name: str
    ends: tuple[str, str]
    ids: tuple[Ids, Ids]
    at_E: Ints
    kinds: tuple[str, ...]
    kind_E: Ints


def build_graph(
    members: pa.Table,
    jobs: pa.Table,
    text: Mapping[str, VectorTable],
    *,
    interactions: pa.Table | None = None,
    edges: pa.Table | None = None,
    nodes: Mapping[str, pa.Table] | None = None,
    categorical: Columns | None = None,
    lists: Columns | None = None,
) -> JobGraph:
    """Build the graph of these tables.

    Args:
        text: text vectors by node type; a node without one reads zeros and a flag.
        interactions: rows with `label` 1 (or no label) become edges, at their time.
        edges: further relations; those that touch neither member nor job have no use.
        nodes: tables of further node types (`<type>_id`), for nodes without an edge.
        categorical: categorical columns by entity.
        lists: list columns by entity; columns of one name share their nodes.
    """
    tables = {"member": members, "job": jobs}
    links = [
        *_interaction_links(interactions),
        *_company_links(jobs),
        *_list_links(tables, lists or {}),
        *_edge_links(edges),
    ]
    ids = {entity: _entity_ids(tables[entity], entity) for entity in ENTITIES}
    ids |= _attribute_ids(links, nodes or {})
    columns = {
        entity: {
            name: _column(tables[entity][name]) for name in (categorical or {}).get(entity, ())
        }
        for entity in ENTITIES
    }
    built = {
        name: _nodes(keys, _since(tables.get(name), keys), text.get(name), columns.get(name, {}))
        for name, keys in ids.items()
    }
    bare = JobGraph(built, (), ids_checksum(ids))
    return JobGraph(built, tuple(_relations(bare, links)), bare.checksum)


def micros(times: Any) -> Ints:
    """Microseconds since 1970, UTC, of an Arrow column of timestamps; ALWAYS where null."""
    unit = pc.cast(times, pa.timestamp("us", times.type.tz), safe=False)
    return np.asarray(pc.fill_null(pc.cast(unit, pa.int64()), ALWAYS), dtype=np.int64)


def strings(column: Any) -> Ids:
    return np.asarray(column.to_pylist(), dtype=np.str_)


def _entity_ids(table: pa.Table, entity: str) -> Ids:
    ids = strings(table[f"{entity}_id"])
    if len(np.unique(ids)) != len(ids):
        raise DataError(
            f"{entity}s", "an id stands in two rows", "Wanted one row per id: run star ingest"
        )
    return ids


def _interaction_links(interactions: pa.Table | None) -> list[Links]:
    if interactions is None:
        return []
    if "label" in interactions.column_names:
        interactions = interactions.filter(pc.equal(interactions["label"], 1))
    kinds, kind_E = np.unique(strings(interactions["kind"]), return_inverse=True)
    ids = strings(interactions["member_id"]), strings(interactions["job_id"])
    at_E = micros(interactions["at"])
    return [Links("", ENTITIES, ids, at_E, tuple(kinds.tolist()), kind_E.astype(np.int64))]


def _since(table: pa.Table | None, ids: Ids) -> Ints:
    """When each row's content became what it is; ALWAYS where the tables do not say."""
    if table is None or "updated_at" not in table.column_names:
        return np.full(len(ids), ALWAYS)
    return micros(table["updated_at"])


def _timeless(name: str, ends: tuple[str, str], src: Ids, dst: Ids) -> Links:
    """Links of one kind without times of their own: they are content of their ends."""
    zeros_E = np.zeros(len(src), dtype=np.int64)
    return Links(name, ends, (src, dst), zeros_E + ALWAYS, ("",), zeros_E)


def _company_links(jobs: pa.Table) -> list[Links]:
    if "company_id" not in jobs.column_names:
        return []
    known = jobs.filter(pc.is_valid(jobs["company_id"]))
    ids = strings(known["company_id"]), strings(known["job_id"])
    return [_timeless("", ("company", "job"), *ids)]


def _list_links(tables: Mapping[str, pa.Table], lists: Columns) -> list[Links]:
    found = []
    for entity, columns in lists.items():
        owners = tables[entity][f"{entity}_id"].to_pylist()
        for column in columns:
            values = tables[entity][column].to_pylist()
            pairs = {
                (value, owner): None
                for owner, held in zip(owners, values, strict=True)
                for value in held or ()
                if value is not None
            }
            src = np.array([value for value, _ in pairs], dtype=np.str_)
            dst = np.array([owner for _, owner in pairs], dtype=np.str_)
            found.append(_timeless("", (column, entity), src, dst))
    return found


def _edge_links(edges: pa.Table | None) -> list[Links]:
    if edges is None:
        return []
    keys = edges.select(["src_type", "relation", "dst_type"]).to_pylist()
    group_E = np.array(["\x1f".join(key.values()) for key in keys], dtype=np.str_)
    found = []
    for group in np.unique(group_E).tolist():
        src_type, relation, dst_type = group.split("\x1f")
        rows = edges.filter(pa.array(group_E == group))
        links = _timeless(
            relation, (src_type, dst_type), strings(rows["src_id"]), strings(rows["dst_id"])
        )
        at_E = micros(rows["at"]) if "at" in rows.column_names else links.at_E
        found.append(Links(relation, links.ends, links.ids, at_E, links.kinds, links.kind_E))
    return found


def _attribute_ids(links: Sequence[Links], nodes: Mapping[str, pa.Table]) -> dict[str, Ids]:
    """Every attribute node that a link or a node table names, sorted, by type."""
    named: dict[str, list[Ids]] = {name: [strings(nodes[name][f"{name}_id"])] for name in nodes}
    for one in links:
        for end, ids in zip(one.ends, one.ids, strict=True):
            if end not in ENTITIES:
                named.setdefault(end, []).append(ids)
    return {name: np.unique(np.concatenate(named[name])) for name in sorted(named)}


def _column(values: Any) -> Column:
    """A categorical column, its values sorted."""
    encoded = pc.dictionary_encode(values.combine_chunks())
    names = [str(value) for value in encoded.dictionary.to_pylist()]
    order = np.argsort(np.array(names, dtype=np.str_), kind="stable")
    rank = np.append(np.argsort(order), -1)  # the last one is the code of a null
    codes_N = np.asarray(pc.fill_null(encoded.indices, -1), dtype=np.int64)
    return Column(tuple(names[i] for i in order), rank[codes_N].astype(np.int64))


def _nodes(
    ids: Ids, since_N: Ints, text: VectorTable | None, categories: Mapping[str, Column]
) -> Nodes:
    if text is None:
        none_ND, has_text_N = np.zeros((len(ids), 0), np.float32), np.zeros(len(ids), bool)
        return Nodes(ids, none_ND, has_text_N, since_N, categories)
    text_ND, has_text_N = text.aligned_to(ids.tolist())
    return Nodes(ids, text_ND, has_text_N & text_ND.any(axis=1), since_N, categories, text.space)


def _relations(graph: JobGraph, links: Sequence[Links]) -> Iterable[Relation]:
    """Both directions of every link; only members and jobs aggregate."""
    for one in links:
        src, dst = (
            graph.rows(end, ids.tolist()) for end, ids in zip(one.ends, one.ids, strict=True)
        )
        yield from _direction(graph, one, one.name, one.ends, src, dst)
        back = f"~{one.name}" if one.name else ""
        yield from _direction(graph, one, back, (one.ends[1], one.ends[0]), dst, src)


def _direction(
    graph: JobGraph, links: Links, name: str, ends: tuple[str, str], src_E: Ints, dst_E: Ints
) -> Iterable[Relation]:
    if ends[1] not in ENTITIES:
        return
    since_E = np.maximum(graph.since[src_E], graph.since[dst_E])
    yield sorted_relation(
        f"{ends[0]}{'-' if name else ''}{name}>{ends[1]}",
        ends,
        kinds=links.kinds,
        src_E=src_E,
        dst_E=dst_E - graph.offset(ends[1]),
        at_E=links.at_E,
        after_E=seen_after(links.at_E, since_E),
        kind_E=links.kind_E,
        n_dst=len(graph.nodes[ends[1]]),
    )
