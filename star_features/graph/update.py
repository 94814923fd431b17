"""
A graph of yesterday and the rows of today: the graph that all rows together would have built.

    graph = updated(graph, members=changed, text=text, interactions=new,
                    lists={"member": ["skills"]})

A member or job of `members` or `jobs` that the graph knows is replaced: its text, categories, time,
company and list values. Its interactions and further edges stay. New nodes get rows behind the
known ones, so a known node keeps its row within its type. No id of the old graph is looked up
again, and only relations with new edges are sorted: that is what makes it cheap, since building
from tables is mostly looking ids up.

Edges of `densify` are left out, since new nodes change who is near: densify again.

Shapes: N nodes of one type, E edges of a relation, D text width.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from star_features.errors import DataError, SpaceMismatch
from star_features.graph.build import Columns, Ids, build_graph
from star_features.graph.job_graph import (
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

Tables = Mapping[str, pa.Table]
Masks = Mapping[str, NDArray[np.bool_]]
NO_NODES = Nodes(
    np.empty(0, np.str_), np.empty((0, 0), np.float32), np.empty(0, bool), np.empty(0, np.int64)
)


def updated(
    graph: JobGraph,
    *,
    members: pa.Table | None = None,
    jobs: pa.Table | None = None,
    text: Mapping[str, VectorTable] | None = None,
    interactions: pa.Table | None = None,
    edges: pa.Table | None = None,
    categorical: Columns | None = None,
    lists: Columns | None = None,
) -> JobGraph:
    """The graph with these rows in it; the tables hold what is new or changed, and no more.

    Args:
        text: vectors of at least the members and jobs given; one without has no text from now on.

    Raises:
        DataError: an edge names a member or job that neither the graph nor the tables know.
        SpaceMismatch: the new vectors live in another space than the graph's.
    """
    graph.verify()
    tables = {"member": members, "job": jobs}
    given = {name: _given(name, table) for name, table in tables.items()}
    named = _named(interactions, edges)
    whole = {name: _with_stubs(graph, name, given[name], named[name]) for name in ENTITIES}
    delta = build_graph(
        whole["member"],
        whole["job"],
        text or {},
        interactions=interactions,
        edges=edges,
        categorical=_held(categorical, whole),
        lists=_held(lists, whole),
    )
    fresh = {
        name: np.isin(nodes.ids, given[name][f"{name}_id"].to_pylist())
        if name in ENTITIES
        else ~np.isin(nodes.ids, graph.nodes[name].ids if name in graph.nodes else [])
        for name, nodes in delta.nodes.items()
    }
    return _merged(graph, delta, fresh)


def _given(entity: str, table: pa.Table | None) -> pa.Table:
    return pa.table({f"{entity}_id": pa.array([], pa.string())}) if table is None else table


def _held(columns: Columns | None, tables: Tables) -> dict[str, list[str]]:
    """Of these columns, those that the tables have."""
    return {
        name: [column for column in held if column in tables[name].column_names]
        for name, held in (columns or {}).items()
    }


def _named(interactions: pa.Table | None, edges: pa.Table | None) -> dict[str, set[str]]:
    """Ids of members and jobs that new edges name."""
    found: dict[str, set[str]] = {name: set() for name in ENTITIES}
    if interactions is not None:
        for name in ENTITIES:
            found[name] |= set(interactions[f"{name}_id"].to_pylist())
    if edges is not None:
        for end in ("src", "dst"):
            types = edges[f"{end}_type"].to_pylist()
            for kind, key in zip(types, edges[f"{end}_id"].to_pylist(), strict=True):
                if kind in found:
                    found[kind].add(key)
    return found


def _with_stubs(graph: JobGraph, entity: str, table: pa.Table, named: set[str]) -> pa.Table:
    """The rows given, and a bare row for every known one that an edge names."""
    key = f"{entity}_id"
    stubs = sorted(named - set(table[key].to_pylist()))
    graph.rows(entity, stubs)  # who is in neither is refused here, by name
    bare = pa.table({key: pa.array(stubs, pa.string())})
    return pa.concat_tables([table, bare], promote_options="default")


def _merged(old: JobGraph, new: JobGraph, fresh: Masks) -> JobGraph:
    """`fresh` marks the nodes of `new` that are new or changed; its others are stubs."""
    types = [*old.nodes, *(name for name in new.nodes if name not in old.nodes)]
    nodes, places = {}, {}
    for name in types:
        after = new.nodes.get(name, NO_NODES)
        before = old.nodes.get(name, after)
        places[name] = _places(before.ids, after.ids)
        nodes[name] = before
        if before is not after and len(after):
            nodes[name] = _grown(name, before, after, places[name], fresh[name])
    ids = {name: each.ids for name, each in nodes.items()}
    bare = JobGraph(nodes, (), ids_checksum(ids))
    changed = {name: places[name][fresh[name]] for name in ENTITIES}
    kept = {r.name: _kept(old, bare, r, changed) for r in old.relations if not r.below}
    added = {r.name: _moved(new, bare, r, places) for r in new.relations if len(r)}
    names = [*kept, *(name for name in added if name not in kept)]
    relations = [_joined(bare, kept.get(name), added.get(name)) for name in names]
    return JobGraph(nodes, tuple(relations), bare.checksum)


def _places(known: Ids, ids: Ids) -> Ints:
    """Rows of `ids` among the known ones, and behind them those that are not."""
    row_of = {key: row for row, key in enumerate(known.tolist())}
    return np.array([row_of.setdefault(key, len(row_of)) for key in ids.tolist()], dtype=np.int64)


def _grown(name: str, old: Nodes, new: Nodes, place_N: Ints, fresh_N: NDArray[np.bool_]) -> Nodes:
    """The old nodes with the fresh ones written over or behind them."""
    size = max(len(old), int(place_N.max(initial=-1)) + 1)
    at, rows = place_N[fresh_N], np.flatnonzero(fresh_N)
    if new.has_text_N[rows].any() and old.text_space != new.text_space:
        raise SpaceMismatch(got=new.text_space or "no text space", wanted=old.text_space)
    ids = np.concatenate([old.ids, new.ids[place_N >= len(old)]])
    text_ND = _over(old.text_ND, size)
    text_ND[at] = new.text_ND[rows] if new.text_ND.shape[1] == text_ND.shape[1] else 0
    has_text_N, since_N = _over(old.has_text_N, size), _over(old.since_N, size)
    has_text_N[at], since_N[at] = new.has_text_N[rows], new.since_N[rows]
    columns = {
        column: _grown_column(known, new.categories.get(column), at, rows, size)
        for column, known in old.categories.items()
    }
    if unknown := [column for column in new.categories if column not in columns]:
        raise DataError(
            f"{name}s", f"new categorical columns {unknown}", "Wanted those of the graph; build it."
        )
    return Nodes(ids, text_ND, has_text_N, since_N, columns, old.text_space)


def _over(values_N: NDArray[Any], size: int) -> NDArray[Any]:
    """A longer copy; zeros behind."""
    longer = np.zeros((size, *values_N.shape[1:]), dtype=values_N.dtype)
    longer[: len(values_N)] = values_N
    return longer


def _grown_column(old: Column, new: Column | None, at: Ints, rows: Ints, size: int) -> Column:
    codes_N = np.full(size, -1, dtype=np.int64)
    codes_N[: len(old.codes_N)] = old.codes_N
    codes_N[at] = -1
    if new is None:
        return Column(old.values, codes_N)
    code_of = {value: code for code, value in enumerate(old.values)}
    known_V = [code_of.setdefault(value, len(code_of)) for value in new.values]
    codes_N[at] = np.array([*known_V, -1], dtype=np.int64)[new.codes_N[rows]]
    return Column(tuple(code_of), codes_N)


class _Edges:
    """Edges of one relation, at home in the new graph."""

    def __init__(
        self, like: Relation, src_E: Ints, dst_E: Ints, kept_E: NDArray[np.bool_] | slice
    ) -> None:
        self.like, self.src_E, self.dst_E = like, src_E[kept_E], dst_E[kept_E]
        self.at_E, self.kind_E = like.at_E[kept_E], like.kind_E[kept_E]
        self.after_E = like.after_E[kept_E]


def _kept(old: JobGraph, bare: JobGraph, relation: Relation, changed: Mapping[str, Ints]) -> _Edges:
    """An old relation, less what changed nodes carried: their company, their list values."""
    src_type, dst_type = relation.src_type, relation.dst_type
    dst_E = _destinations(relation)
    src_E = relation.src_E + bare.offset(src_type) - old.offset(src_type)
    carried = relation.name == f"{src_type}>{dst_type}" and src_type not in ENTITIES
    if not carried or not len(changed[dst_type]):
        return _Edges(relation, src_E, dst_E, slice(None))
    return _Edges(relation, src_E, dst_E, ~np.isin(dst_E, changed[dst_type]))


def _moved(new: JobGraph, bare: JobGraph, relation: Relation, places: Mapping[str, Ints]) -> _Edges:
    src_type = relation.src_type
    src_E = places[src_type][relation.src_E - new.offset(src_type)] + bare.offset(src_type)
    return _Edges(relation, src_E, places[relation.dst_type][_destinations(relation)], slice(None))


def _destinations(relation: Relation) -> Ints:
    return np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))


def _joined(bare: JobGraph, kept: _Edges | None, added: _Edges | None) -> Relation:
    """One relation of both, sorted only where it must be."""
    parts = [part for part in (kept, added) if part is not None]
    like = parts[0].like
    kinds = list(like.kinds)
    for part in parts:
        kinds += [kind for kind in part.like.kinds if kind not in kinds]
    kind_E = [np.array([kinds.index(k) for k in p.like.kinds], np.int64)[p.kind_E] for p in parts]
    src_E, dst_E, at_E = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("src_E", "dst_E", "at_E")
    )
    low = bare.offset(like.dst_type)
    after_E = seen_after(at_E, np.maximum(bare.since[src_E], bare.since[dst_E + low]))
    n_dst = len(bare.nodes[like.dst_type])
    if len(parts) == 1 and kept is not None and np.array_equal(after_E, kept.after_E):
        indptr_N1 = np.searchsorted(dst_E, np.arange(n_dst + 1))
        return replace(
            like, indptr_N1=indptr_N1, src_E=src_E, at_E=at_E, after_E=after_E, kind_E=kept.kind_E
        )
    return sorted_relation(
        like.name,
        (like.src_type, like.dst_type),
        kinds=tuple(kinds),
        src_E=src_E,
        dst_E=dst_E,
        at_E=at_E,
        after_E=after_E,
        kind_E=np.concatenate(kind_E),
        n_dst=n_dst,
    )
