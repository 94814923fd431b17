"""
A version: a trained tower, and what it says beside every label and every pair to fit maps on.

    alone = version_of(world, plan, VERSIONS[2])
    joint = version_of(world, plan, VERSIONS[2], joint=chain_of(world, plan, VERSIONS[2]))

Vectors are as of each label's moment, as a feature store would have served them. Maps are fitted on
one vector of each entity, of a moment drawn by the world's seed before the newer versions are
promoted, the same in all versions. Models and vectors lie on disk once they are made.

Shapes: L labels, P entities to fit on, N entities, D width.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks.compat_lab.plan import OLD, VERSIONS, Plan, Version
from benchmarks.compat_lab.texts import text_of
from benchmarks.compat_lab.worlds import World
from pipelines.graph import graph_of
from star_features.catalogue import ENTITIES, GraphVersion
from star_features.files import read_json, write_json
from star_features.graph.artefact import load_maps, load_model, read_manifest, save_model
from star_features.graph.infer import infer
from star_features.graph.job_graph import JobGraph
from star_features.graph.joint import Joint, moments_of, target_of
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings, JointSettings
from star_features.graph.train import train_jointly

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Told:
    """What one tower says.

    Attributes:
        labels: by entity, L × D, as of each label.
        stale: by entity, L × D, as of each label but never later than the promotion; zero rows for
            those who were not there yet.
        pairs: by entity, P × D, of the moments that maps are fitted at.
        spaces: by entity, the space id.
        trained_maps, biases: by old space id, the maps that were trained with the tower.
        facts: how it was trained.
    """

    labels: dict[str, Vectors]
    stale: dict[str, Vectors]
    pairs: dict[str, Vectors]
    spaces: dict[str, str]
    trained_maps: dict[str, Vectors]
    biases: dict[str, Vectors]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Tower:
    """One version in one world; `targets` says what it is trained together with."""

    world: World
    plan: Plan
    version: Version
    name: str
    targets: tuple["Tower", ...] = ()
    joint: JointSettings | None = None

    @property
    def folder(self) -> Path:
        return self.world.folder / "models" / self.name

    @cached_property
    def settings(self) -> GraphSettings:
        facts = {
            "output": self.version.width,
            "seed": 100 * self.world.seed + self.version.seed,
            "time": "strict" if self.world.tables.has_times else "none",
            "threads": 1,
        }
        return GraphSettings.model_validate(facts | dict(self.plan.network))

    def graph(self, text: str, early: bool) -> JobGraph:
        """With this text; edges that a training sees (`early`), or that are there to serve."""
        world, tables = self.world, self.world.tables
        edges = tables.interactions() if tables.has_times else world.learned_from(early)
        wanted = GraphVersion(width=self.version.width, text=text)
        graph = graph_of(tables, text_of(world, self.plan, text), edges, wanted)
        return cast(JobGraph, graph)

    def model(self) -> GraphModel:
        """Trained now, unless it has been."""
        if not (self.folder / "manifest.json").exists():
            self._train()
        return load_model(self.folder)[0]

    def spaces(self) -> dict[str, str]:
        weights = read_manifest(self.folder)["files"]["weights.safetensors"][:12]
        return {str(e): f"{e}_graph_{self.version.name}@{weights}" for e in ENTITIES}

    def told(self) -> Told:
        path = self.folder / "told.safetensors"
        if not path.exists():
            arrays = self._say(self.model())
            aside = path.with_suffix(".tmp")
            save_file(arrays, aside)
            aside.rename(path)
        arrays = load_file(path)
        labels, stale, pairs = (
            {str(e): arrays[f"{what}.{e}"] for e in ENTITIES}
            for what in ("labels", "stale", "pairs")
        )
        maps = load_maps(self.folder)
        weights = {space: weight_DE for space, (weight_DE, _) in maps.items()}
        biases = {space: bias_E for space, (_, bias_E) in maps.items()}
        facts = read_json(self.folder / "facts.json")
        return Told(
            labels=labels,
            stale=stale,
            pairs=pairs,
            spaces=self.spaces(),
            trained_maps=weights,
            biases=biases,
            facts=facts,
        )

    def _train(self) -> None:
        version, start = self.version, perf_counter()
        graph = self.graph(version.text, version.early)
        labels = self.world.learned_from(version.early)
        joint = self._joint(graph, labels)
        targets = perf_counter() - start
        trained = train_jointly(graph, labels, self.settings, joint, self.folder / "checkpoint")
        report = trained.report
        facts = {
            "metric": report.metric,
            "values": [row["value"] for row in report.curve],
            "labels": report.labels,
            "seconds": perf_counter() - start,
            "seconds_of_targets": targets,
        }
        write_json(self.folder / "facts.json", facts)
        save_model(self.folder, trained.model, report, trained.maps)

    def _joint(self, graph: JobGraph, labels: Any) -> Joint | None:
        if self.joint is None:
            return None
        moments = moments_of(graph, labels, self.settings, self.joint)
        targets = []
        for old in self.targets:
            model = old.model()
            seen = self.graph(old.version.text, self.version.early)
            name = old.version.name
            targets.append(target_of(name, old.spaces(), model, seen, moments, self.joint))
        return Joint(self.joint, tuple(targets))

    def _say(self, model: GraphModel) -> dict[str, Vectors]:
        """Vectors as of every weekly moment, and from them those of labels and pairs."""
        world, graph = self.world, self.graph(self.version.text, early=False)
        out: dict[str, Vectors] = {}
        for entity in ENTITIES:
            ids, since_N = world.since[entity]
            picks = Picks(world, entity)
            width = model.settings.output
            for what, rows in picks.wanted.items():
                out[f"{what}.{entity}"] = np.zeros((len(rows.row), width), np.float32)
            for number, moment in enumerate(world.moments):
                there_N = np.ones(len(ids), dtype=bool)
                if moment.until is not None:
                    there_N = since_N < np.datetime64(moment.until.replace(tzinfo=None), "us")
                found = infer(model, graph, moment.sees, entity, ids[there_N].tolist(), fresh=True)
                place_N = np.cumsum(there_N) - 1
                for what, rows in picks.wanted.items():
                    mine = np.flatnonzero(rows.moment == number)
                    out[f"{what}.{entity}"][mine] = found[1][place_N[rows.row[mine]]]
        return out


@dataclass(frozen=True)
class Rows:
    """Rows to fill: each with an entity's row, and the number of a moment (-1: none)."""

    row: NDArray[np.int64]
    moment: NDArray[np.int64]


class Picks:
    """Which entity as of which moment each label and each pair reads."""

    def __init__(self, world: World, entity: str) -> None:
        self.world = world
        self.since_N = world.since[entity][1]
        self.row_L = world.rows[entity]
        self.late_N = world.late[entity]
        starts = [np.datetime64(m.at.replace(tzinfo=None), "us") for m in world.moments]
        self.starts = np.array(starts)
        self.wanted = {"labels": self._labels(), "stale": self._stale(), "pairs": self._pairs()}

    def _labels(self) -> Rows:
        if self.world.promoted is None:
            return Rows(self.row_L, np.zeros(len(self.row_L), np.int64))
        return Rows(self.row_L, self._moment(self.world.at))

    def _stale(self) -> Rows:
        late_L = self.late_N[self.row_L]
        if self.world.promoted is None:
            return Rows(self.row_L, np.where(late_L, -1, 0))
        last = np.minimum(self.world.at, self.world.promoted - np.timedelta64(1, "us"))
        return Rows(self.row_L, np.where(late_L, -1, self._moment(last)))

    def _pairs(self) -> Rows:
        """One moment before the promotion of everyone who is there by then."""
        row_P = np.flatnonzero(~self.late_N)
        if self.world.promoted is None:
            return Rows(row_P, np.zeros(len(row_P), np.int64))
        first_P = self._moment(np.maximum(self.since_N[row_P], self.starts[0]))
        last = int(self._moment(np.array([self.world.promoted]))[0])
        rng = np.random.default_rng([self.world.seed, 17])
        share_P = rng.random(len(row_P))
        span_P = np.maximum(last - first_P, 1)  # the moment that the promotion falls into is out
        return Rows(row_P, np.minimum(first_P + (share_P * span_P).astype(np.int64), last))

    def _moment(self, at: NDArray[np.datetime64]) -> NDArray[np.int64]:
        return np.searchsorted(self.starts, at, side="right").astype(np.int64) - 1


def alone(world: World, plan: Plan, version: Version) -> Tower:
    """The version as it is trained without a thought for the others."""
    return Tower(world, plan, version, version.name)


def jointly(world: World, plan: Plan, version: Version, weight: float | None = None) -> Tower:
    """The version trained together with its maps into every older one, each trained likewise.

    Args:
        weight: of the dial, into v1 alone; None takes the default, into all.
    """
    older = VERSIONS[: VERSIONS.index(version)]
    if weight is not None:
        settings = JointSettings(targets=(OLD,), weight=weight)
        name = f"{version.name}-dial-{weight:g}"
        return Tower(world, plan, version, name, (alone(world, plan, VERSIONS[0]),), settings)
    settings = JointSettings(targets=tuple(v.name for v in older))
    targets = [alone(world, plan, v) if v.name == OLD else jointly(world, plan, v) for v in older]
    name = f"{version.name}-joint"
    return Tower(world, plan, version, name, tuple(targets), settings)
