"""
A synthetic job graph with power-law degrees, of any size; simulated, and only for measuring cost.

    world = make_world(edges=10_000_000, seed=0)     # 200k members, 50k jobs, 20k attribute nodes
    world.graph, world.labels

Members and jobs fall into fields. Text is a field's direction under heavy noise, interactions stay
within the field more often than not, and attributes hint at it: so neighbours tell more than a
node's own text does, and a model has something to learn. Each kind of interaction and each column
of attributes is a relation of its own, sixteen in all. Ends are drawn with Pareto weights: a few
have thousands of edges.

Shapes: M members, J jobs, E edges, D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from star_features.graph.job_graph import (
    ALWAYS,
    Ints,
    JobGraph,
    Nodes,
    Relation,
    ids_checksum,
    sorted_relation,
)
from star_features.spaces import unit

WIDTH = 384
FIELDS = 64
DAYS = 365
DAY = 86_400_000_000  # microseconds
KINDS = {"view": 0.6, "save": 0.2, "apply": 0.15, "hire": 0.05}
OF_MEMBERS = {"skills": 0.14, "titles": 0.03, "places": 0.02, "schools": 0.02}
OF_JOBS = {"skills": 0.05, "titles": 0.015, "places": 0.01, "company": 0.015}
# The rest of the edges are interactions, in both directions.
ATTRIBUTES = {"skills": 0.5, "titles": 0.2, "places": 0.05, "schools": 0.05, "company": 0.2}
STAYS = 0.7  # share of interactions and attributes within the field
LABELS = 200_000


@dataclass(frozen=True)
class World:
    """The graph, and labels of its last fifth of time: a half taken, a half refused."""

    graph: JobGraph
    labels: pa.Table


@dataclass(frozen=True)
class _Side:
    """Nodes of one type, by field: `order_N` sorted by field, `start_F1` where each begins."""

    field_N: Ints
    order_N: Ints
    start_F1: Ints
    weight_N: NDArray[np.float64]

    @classmethod
    def of(cls, size: int, rng: np.random.Generator) -> "_Side":
        field_N = rng.integers(0, FIELDS, size)
        order_N = np.argsort(field_N, kind="stable")
        start_F1 = np.searchsorted(field_N[order_N], np.arange(FIELDS + 1))
        return cls(field_N, order_N, start_F1, np.cumsum(rng.pareto(1.2, size) + 0.2))

    def anyone(self, count: int, rng: np.random.Generator) -> Ints:
        """Nodes drawn by weight: some are met by thousands."""
        return np.searchsorted(self.weight_N, rng.random(count) * self.weight_N[-1])

    def of_field(self, field_E: Ints, rng: np.random.Generator) -> Ints:
        """A node of each of these fields, or of any where a field is empty."""
        start_E, end_E = self.start_F1[field_E], self.start_F1[field_E + 1]
        low_E = np.minimum(start_E, len(self.order_N) - 1)
        # The cube prefers the first of a field: a power law inside it, too.
        place_E = low_E + ((end_E - start_E) * rng.random(len(field_E)) ** 3).astype(np.int64)
        return self.order_N[np.minimum(place_E, len(self.order_N) - 1)]


def make_world(edges: int, seed: int, width: int = WIDTH, labels: int = LABELS) -> World:
    """A world of about this many directed edges; a fiftieth as many members."""
    rng = np.random.default_rng(seed)
    sizes = {"member": edges // 50, "job": edges // 200}
    sizes |= {name: max(2, int(edges / 500 * share)) for name, share in ATTRIBUTES.items()}
    sides = {name: _Side.of(size, rng) for name, size in sizes.items()}
    nodes = {name: _nodes(name, side, width, rng) for name, side in sides.items()}
    bare = JobGraph(nodes, (), ids_checksum({name: n.ids for name, n in nodes.items()}))
    relations = tuple(_relations(bare, sides, edges, rng))
    return World(JobGraph(nodes, relations, bare.checksum), _labels(bare, sides, labels, rng))


def _nodes(name: str, side: _Side, width: int, rng: np.random.Generator) -> Nodes:
    size = len(side.field_N)
    ids = np.char.add(name[0], np.arange(size).astype(np.str_))
    timeless_N = np.full(size, ALWAYS)
    if name not in ("member", "job"):
        return Nodes(ids, np.zeros((size, 0), np.float32), np.zeros(size, bool), timeless_N)
    # One direction a field for members and jobs alike, whatever the seed's other draws.
    field_FD = np.random.default_rng(7).normal(size=(FIELDS, width)).astype(np.float32)
    text_ND = rng.normal(0, 4, (size, width)).astype(np.float32)
    text_ND += field_FD[side.field_N]
    space = f"{name}_text_v0@simulated"
    return Nodes(ids, unit(text_ND), np.ones(size, bool), timeless_N, {}, space)


def _relations(
    graph: JobGraph, sides: dict[str, _Side], edges: int, rng: np.random.Generator
) -> Iterator[Relation]:
    attributes = sum(OF_MEMBERS.values()) + sum(OF_JOBS.values())
    for kind, share in KINDS.items():
        count = int(edges * (1 - attributes) / 2 * share)
        member_E = sides["member"].anyone(count, rng)
        job_E = _matched(sides["job"], sides["member"].field_N[member_E], rng)
        at_E = rng.integers(0, DAYS * DAY, count)
        yield _relation(graph, f"-{kind}", ("member", "job"), (member_E, job_E), at_E)
        yield _relation(graph, f"-~{kind}", ("job", "member"), (job_E, member_E), at_E)
    for entity, shares in (("member", OF_MEMBERS), ("job", OF_JOBS)):
        for name, share in shares.items():
            count = int(edges * share)
            owner_E = rng.integers(0, len(sides[entity].field_N), count)
            value_E = _matched(sides[name], sides[entity].field_N[owner_E], rng)
            at_E = np.full(count, ALWAYS)
            yield _relation(graph, "", (name, entity), (value_E, owner_E), at_E)


def _matched(side: _Side, field_E: Ints, rng: np.random.Generator) -> Ints:
    """Ends that share the field of the other end, more often than not."""
    stays_E = rng.random(len(field_E)) < STAYS
    return np.where(stays_E, side.of_field(field_E, rng), side.anyone(len(field_E), rng))


def _relation(
    graph: JobGraph, name: str, ends: tuple[str, str], rows: tuple[Ints, Ints], at_E: Ints
) -> Relation:
    return sorted_relation(
        f"{ends[0]}{name}>{ends[1]}",
        ends,
        kinds=("",),
        src_E=rows[0] + graph.offset(ends[0]),
        dst_E=rows[1],
        at_E=at_E,
        after_E=at_E,
        kind_E=np.zeros_like(at_E),
        n_dst=len(graph.nodes[ends[1]]),
    )


def _labels(
    graph: JobGraph, sides: dict[str, _Side], count: int, rng: np.random.Generator
) -> pa.Table:
    member_S = sides["member"].anyone(count, rng)
    taken_S = rng.random(count) < 0.5
    job_S = np.where(
        taken_S,
        _matched(sides["job"], sides["member"].field_N[member_S], rng),
        sides["job"].anyone(count, rng),
    )
    at_S = rng.integers(int(DAYS * 0.8) * DAY, DAYS * DAY, count)
    return pa.table(
        {
            "member_id": graph.nodes["member"].ids[member_S],
            "job_id": graph.nodes["job"].ids[job_S],
            "at": pa.array(at_S, pa.timestamp("us", "UTC")),
            "label": taken_S.astype(np.int8),
        }
    )
