"""
A world: tables, who learns from which rows, and the day that the newer versions are promoted.

    world = World.of("demo", seed=0, plan=plan, folder=folder)

Graph towers learn from the history, rankers from what came after it, figures are taken of what
came last; newer versions are promoted on the day the test begins. `new` is who has no vector of
v1 by then: a ranker that never updates knows nothing of them. `applications` have no times: one
application of each member is tested, and a tenth of members and jobs, drawn by the seed, stand for
those who come later; v1 and v2 have not learned from their rows.

Shapes: L labels, N entities.
"""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.compat_lab.plan import Plan, WorldName
from pipelines import ingest, market
from pipelines.graph import Moment, moments
from pipelines.home import Home
from pipelines.roles import label_frame
from star_features.catalogue import ENTITIES
from star_features.errors import DataError
from star_features.evaluation.protocols import Protocol, Split, split
from star_features.tables.canonical import Tables

SHARED = Path("../shared/data/resume_applications")
CONFIG = Path(__file__).parents[2] / "examples/resume_applications/dataset.toml"
EARLY = 2 / 3
"""Share of the history that v1 and v2 learn from, where times tell."""
LATE_COMERS = 0.1
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """See the module."""

    name: WorldName
    seed: int
    folder: Path
    tables: Tables
    parts: Split
    labels: pd.DataFrame

    @classmethod
    def of(cls, name: WorldName, seed: int, plan: Plan, folder: Path) -> "World":
        home = Home(folder / "home", Home.find().repo)
        if name == "demo":
            market.stage(home, plan.members, seed).run(home)
            ingest.stage(home, home.market).run(home)
        else:
            ingest.stage(home, real(), CONFIG).run(home)
        tables = Tables(home.tables)
        protocol: Protocol = "time-split" if tables.has_times else "leave-one-out"
        parts = split(tables.interactions(), protocol, seed=seed)
        return cls(name, seed, folder, tables, parts, _labels(tables, parts, plan.labels, seed))

    @cached_property
    def moments(self) -> list[Moment]:
        return list(moments(self.tables, self.parts))

    @cached_property
    def promoted(self) -> np.datetime64 | None:
        """When the newer versions take over; None without times."""
        cut = self.parts.cutoffs.get("test")
        return np.datetime64(cut.replace(tzinfo=None), "us") if cut else None

    @cached_property
    def since(self) -> dict[str, tuple[NDArray[np.str_], NDArray[np.datetime64]]]:
        """By entity: ids, and when each became what it is."""
        found: dict[str, tuple[NDArray[np.str_], NDArray[np.datetime64]]] = {}
        for entity in ENTITIES:
            rows = self.tables.table(f"{entity}s", [f"{entity}_id", "updated_at"])
            ids = np.asarray(rows[0].to_pylist(), dtype=np.str_)
            found[entity] = ids, rows[1].to_numpy().astype("datetime64[us]")
        return found

    @cached_property
    def late(self) -> dict[str, Mask]:
        """By entity, N: who comes only after the newer versions were promoted."""
        found: dict[str, Mask] = {}
        for number, entity in enumerate(ENTITIES):
            ids, since_N = self.since[entity]
            if self.promoted is not None:
                found[entity] = since_N >= self.promoted
            else:
                rng = np.random.default_rng([self.seed, 11, number])
                found[entity] = rng.random(len(ids)) < LATE_COMERS
        return found

    @cached_property
    def rows(self) -> dict[str, NDArray[np.int64]]:
        """By entity, L: the row of each label's entity in `since`."""
        place = {e: {key: i for i, key in enumerate(self.since[e][0].tolist())} for e in ENTITIES}
        return {e: np.array([place[e][key] for key in self.labels[f"{e}_id"]]) for e in ENTITIES}

    @cached_property
    def at(self) -> NDArray[np.datetime64]:
        """L: when each label happened."""
        times = self.labels["event_timestamp"].dt.tz_convert(None).to_numpy()
        return np.asarray(times.astype("datetime64[us]"))

    def role(self, name: str) -> Mask:
        return np.asarray(self.labels["role"] == name)

    @cached_property
    def slices(self) -> dict[str, Mask]:
        """Of the test rows: all, both sides known to v1 at the promotion, new ones."""
        test = self.role("test")
        new = {e: self.late[e][self.rows[e]][test] for e in ENTITIES}
        return {
            "all": np.ones(int(test.sum()), dtype=bool),
            "known": ~new["member"] & ~new["job"],
            "new members": new["member"],
            "new jobs": new["job"],
        }

    def learned_from(self, early: bool) -> pa.Table:
        """The interactions that a version's graph tower is trained on."""
        history = self.parts.history
        if not early:
            return history
        if self.tables.has_times:
            history = history.sort_by([("at", "ascending"), ("member_id", "ascending")])
            return history.slice(0, int(len(history) * EARLY))
        keep = np.ones(len(history), dtype=bool)
        for entity in ENTITIES:
            ids, _ = self.since[entity]
            known = pa.array(ids[~self.late[entity]].tolist())
            keep &= np.asarray(pc.is_in(history[f"{entity}_id"], value_set=known))
        return history.filter(pa.array(keep))


def real() -> Path:
    """The folder of real applications, beside the repository."""
    if not SHARED.is_dir():
        raise DataError(
            SHARED, "there is no such folder", "Without it, run the demo world alone: --worlds demo"
        )
    return SHARED


def _labels(tables: Tables, parts: Split, most: tuple[int, int], seed: int) -> pd.DataFrame:
    """Labels of ranker and test, at most so many of each."""
    rng = np.random.default_rng([seed, 13])
    kept = []
    for role, rows, limit in zip(("ranker", "test"), (parts.ranker, parts.test), most, strict=True):
        frame = label_frame(rows, role, tables)
        kept.append(frame.iloc[np.sort(rng.permutation(len(frame))[:limit])])
    return pd.concat(kept, ignore_index=True)


def forget(folder: Path) -> None:
    """Remove a world's home, which its tables and seed make again."""
    shutil.rmtree(folder / "home", ignore_errors=True)
