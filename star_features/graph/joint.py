"""
Train a new tower together with its maps into the versions that rankers still read.

    moments = moments_of(graph, labels, settings, joint)
    targets = [target_of("v1", old_spaces, old_model, old_graph, moments, joint)]
    trained = train_jointly(graph, labels, settings, Joint(joint, tuple(targets)), checkpoint)
    trained.model, trained.maps["member_graph_v1@…"]    # train_jointly is in train.py

After BC-Aligner (Learning Backward Compatible Embeddings, KDD 2022), its joint multi-step form with
three changes. Every version that is still served is a target of its own, by a direct map and never
by a chain. There is one map per entity type, since the two sides drift differently. And the mapped
vectors are asked to do the task too, in the old language: an old ranker gains from what the new
tower has learned, where nearness alone would bring it back to what the old one knew.

A target is what the old model says of members and jobs as of some moments of the training window,
as it would have been served. `weight` is the one dial: at 0 nothing here is computed, and the tower
is the one that is trained without it, to the last bit.

Shapes: A anchors (members, or as many jobs), N entities of a snapshot, D width of the new tower, E
of an old one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from star_features.errors import DataError
from star_features.graph.infer import infer
from star_features.graph.job_graph import ENTITIES, FOREVER, Floats, JobGraph
from star_features.graph.labels import labels_of, split
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings, JointSettings
from star_features.graph.temporal import Seeds
from star_features.spaces import digest

Ends = tuple[Tensor, Tensor]
"""Vectors of members, and of the jobs beside them."""


@dataclass(frozen=True)
class Snapshot:
    """An old version's vectors as of one moment, of those whose content was there by then.

    Attributes:
        at: microseconds; FOREVER sees everything, for data without times.
        ids, vectors: by entity, N ids and N × E vectors.
    """

    at: int
    ids: Mapping[str, NDArray[np.str_]]
    vectors: Mapping[str, Floats]


@dataclass(frozen=True)
class Target:
    """An old version: its name, the ids of its two spaces, and what it said as of each moment."""

    name: str
    spaces: Mapping[str, str]
    snapshots: tuple[Snapshot, ...]

    @property
    def width(self) -> int:
        return int(self.snapshots[0].vectors["member"].shape[1])


@dataclass(frozen=True)
class Joint:
    """The dial, and the versions to stay compatible with."""

    settings: JointSettings
    targets: tuple[Target, ...]

    @property
    def moments(self) -> list[int]:
        """The moments that every target was taken as of."""
        return [snapshot.at for snapshot in self.targets[0].snapshots]

    def to_json(self) -> dict[str, Any]:
        """What was asked for, and which spaces were meant."""
        spaces = {target.name: dict(target.spaces) for target in self.targets}
        return {"settings": self.settings.model_dump(mode="json"), "targets": spaces}

    def digest(self) -> str:
        """Names everything that the training depends on."""
        said = [
            [target.name, dict(target.spaces), snapshot.at, *map(_checksum, ends)]
            for target in self.targets
            for snapshot in target.snapshots
            for ends in ((snapshot.ids, snapshot.vectors),)
        ]
        return digest([self.settings.model_dump(), said])

    def refuse_future(self, known_before: int) -> None:
        """Refuse targets that were taken after the last label that is trained on.

        Raises:
            DataError: an old vector has seen what the new tower must not.
        """
        moments = [snapshot.at for target in self.targets for snapshot in target.snapshots]
        late = [at for at in moments if at > known_before]
        if late:
            raise DataError(
                "targets of joint training",
                f"{len(late)} snapshots are later than the last label that is trained on",
                "Wanted what was known by then: take them as of moments_of(graph, labels, ...).",
            )


def moments_of(
    graph: JobGraph, labels: pa.Table, settings: GraphSettings, joint: JointSettings
) -> list[int]:
    """As of when to take the old vectors: even shares of the labels trained on, up to the last.

    Labels held out for validation are later than all of them. Data without times have one moment.
    """
    if settings.time == "none":
        return [FOREVER]
    training, _ = split(*labels_of(graph, labels, settings), settings)
    shares = np.linspace(0, 1, joint.snapshots + 1)[1:]
    return sorted({int(at) for at in np.quantile(training.seeds.at_S, shares, method="higher")})


def target_of(
    name: str,
    spaces: Mapping[str, str],
    model: GraphModel,
    graph: JobGraph,
    moments: Sequence[int],
    joint: JointSettings,
) -> Target:
    """What an old model says of members and jobs as of these moments.

    Args:
        spaces: by entity, the id of the space that rankers know the old vectors under.
        graph: as the old model reads it, with the text of its own version.
    """
    return Target(
        name, spaces, tuple(_snapshot(model, graph, at, joint.entities) for at in moments)
    )


def _snapshot(model: GraphModel, graph: JobGraph, at: int, most: int) -> Snapshot:
    ids: dict[str, NDArray[np.str_]] = {}
    vectors: dict[str, Floats] = {}
    for entity in ENTITIES:
        nodes = graph.nodes[entity]
        known = np.flatnonzero(nodes.since_N <= at)
        drawn = np.sort(np.random.default_rng(model.settings.seed).permutation(known)[:most])
        as_of = None if at == FOREVER else np.datetime64(at, "us")
        wanted = nodes.ids[drawn].tolist()
        ids[entity], vectors[entity] = infer(
            model, graph, as_of, cast(Literal["member", "job"], entity), wanted
        )
    return Snapshot(at, ids, vectors)


def _checksum(by_entity: Mapping[str, NDArray[Any]]) -> str:
    hasher = hashlib.sha256()
    for entity in ENTITIES:
        hasher.update(np.ascontiguousarray(by_entity[entity]).tobytes())
    return hasher.hexdigest()


@dataclass(frozen=True)
class Anchors:
    """Members and jobs to compute as of one moment, and by space what they should map to."""

    seeds: Seeds
    wanted: Mapping[str, Tensor]


class AnchorDraw:
    """Draws anchors that every target knows; the same key draws the same."""

    def __init__(self, graph: JobGraph, joint: Joint) -> None:
        self.joint = joint
        self.rows = [
            {e: _shared(graph, joint, number, e) for e in ENTITIES}
            for number in range(len(joint.moments))
        ]

    def draw(self, key: Sequence[int]) -> Anchors:
        """Anchors of one moment, drawn by `key`."""
        rng = np.random.default_rng(key)
        number = int(rng.integers(len(self.rows)))
        rows = self.rows[number]
        count = min(self.joint.settings.anchors, *(len(rows[e][0]) for e in ENTITIES))
        place = {e: rng.permutation(len(rows[e][0]))[:count] for e in ENTITIES}
        wanted = {
            target.spaces[e]: torch.from_numpy(
                target.snapshots[number].vectors[e][rows[e][1 + i][place[e]]]
            )
            for i, target in enumerate(self.joint.targets)
            for e in ENTITIES
        }
        member_A, job_A = (rows[e][0][place[e]] for e in ENTITIES)
        at_A = np.full(count, self.joint.moments[number])
        return Anchors(Seeds(member_A, job_A, at_A), wanted)


def _shared(graph: JobGraph, joint: Joint, number: int, entity: str) -> list[NDArray[np.int64]]:
    """Global ids of those in every target's snapshot, and their row in each."""
    all_ids = [target.snapshots[number].ids[entity] for target in joint.targets]
    shared = all_ids[0]
    for ids in all_ids[1:]:
        shared = np.intersect1d(shared, ids)
    order = [np.argsort(ids, kind="stable") for ids in all_ids]
    rows = [o[np.searchsorted(ids[o], shared)] for o, ids in zip(order, all_ids, strict=True)]
    return [graph.rows(entity, shared.tolist()), *rows]


class Learner(nn.Module):
    """What is trained: the tower, and beside it one linear map for each space to stay close to."""

    def __init__(self, tower: GraphModel, joint: Joint | None) -> None:
        super().__init__()
        self.tower = tower
        self.spaces: list[tuple[str, str, int]] = [
            (target.spaces[e], e, target.width)
            for target in (joint.targets if joint else ())
            for e in ENTITIES
        ]
        self.maps = nn.ModuleList(
            nn.Linear(tower.settings.output, width) for _, _, width in self.spaces
        )

    def told(self, ends: Ends) -> list[tuple[str, Tensor]]:
        """The members or jobs in each old space, unit length."""
        of = dict(zip(ENTITIES, ends, strict=True))
        return [
            (space, functional.normalize(linear(of[entity]), dim=1))
            for (space, entity, _), linear in self._linears()
        ]

    def as_arrays(self) -> dict[str, tuple[Floats, Floats]]:
        """By old space id: weight, D × E, and bias, as rows are multiplied."""
        return {
            space: (linear.weight.detach().numpy().T.copy(), linear.bias.detach().numpy().copy())
            for (space, _, _), linear in self._linears()
        }

    def _linears(self) -> list[tuple[tuple[str, str, int], nn.Linear]]:
        return list(zip(self.spaces, cast(list[nn.Linear], list(self.maps)), strict=True))

    def told_pairs(self, ends: Ends) -> list[Ends]:
        """Members and jobs in each old version's language."""
        told = [vectors for _, vectors in self.told(ends)]
        return list(zip(told[::2], told[1::2], strict=True))


def apart(learner: Learner, ends: Ends, wanted: Mapping[str, Tensor]) -> Tensor:
    """1 - cosine between the mapped anchors and what the old versions said; mean over all."""
    gaps = [1 - (mapped * wanted[space]).sum(dim=1).mean() for space, mapped in learner.told(ends)]
    return torch.stack(gaps).mean()
