"""
What does a frozen ranker lose when the model behind its vectors changes, and what do maps save?

    python -m benchmarks.compat [--quick] [--out FOLDER] [--worlds demo,applications] [--seeds 0,1,2]
    python -m benchmarks.compat --table     # only what is there already

Five versions in a row, as real life has them: v1 frozen text and graph, v2 tuned text, v3 more data
and another seed, v4 a wider output, v5 another text backbone of another width. Five kinds of ranker
are trained on v1 and frozen (compat_lab/rankers.py); compat_lab/compared.py lists the ways in which
a newer version's vectors reach them. Point in time throughout: maps are fitted on what was there
before the newer version was promoted, and AUC is that of later interactions.

*Recovered* is (mapped - swap) / (reference - swap), where the reference is the better of v1's own
vectors and a ranker retrained on the newer version. A ranker whose reference - swap is below two
standard errors of chance is named and left out of the averages.

Worlds: a simulated job market, and `../shared/data/resume_applications` (real applications, without
times). Every row is kept in FOLDER (.star-compat) as soon as it is known: killed and called again,
the experiment goes on. `--quick`: one simulated world of 500 members, two versions, less training.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from benchmarks.compat_lab.compared import (
    Frozen,
    compared,
    dialled,
    distances,
    frozen_rankers,
)
from benchmarks.compat_lab.plan import QUICK, VERSIONS, Plan, WorldName, settle
from benchmarks.compat_lab.versions import jointly
from benchmarks.compat_lab.worlds import World
from star_features.files import read_json, write_json
from star_features.progress import bar

Row = Any


def main() -> None:
    options = asked()
    plan = plan_of(options)
    folder = options.out / "quick" if options.quick else options.out
    settle(folder, plan)
    if not options.table:
        run(plan, folder)


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small world")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", help="which, such as 0,1")
    parser.add_argument("--worlds", help=f"which of {','.join(get_args(WorldName))}")
    parser.add_argument("--backbone", help="a model folder for the text of v5")
    parser.add_argument("--out", type=Path, default=Path(".star-compat"))
    parser.add_argument("--table", action="store_true", help="run nothing, tell what is there")
    return parser.parse_args()


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    seeds = options.seeds.split(",") if options.seeds else [options.seed + s for s in plan.seeds]
    plan = replace(plan, seeds=tuple(map(int, seeds)), backbone=options.backbone)
    return replace(plan, worlds=tuple(options.worlds.split(","))) if options.worlds else plan


def run(plan: Plan, folder: Path) -> None:
    """Every row that is not there yet: the versions of all worlds by seed, then the dial."""
    jobs = [("versions", *case) for case in plan.cases()] + [("dial", *c) for c in plan.cases()]
    first = [job for job in jobs if job[2] == plan.seeds[0]]
    with bar("compat", len(jobs), "world") as progress:
        for what, name, seed in dict.fromkeys([*first, *jobs]):
            work = Worlds(plan, folder, name, seed)
            work.versions() if what == "versions" else work.dial()
            progress.update(1)


class Worlds:
    """One world of one seed: its rows, made one by one."""

    def __init__(self, plan: Plan, folder: Path, name: WorldName, seed: int) -> None:
        self.plan, self.name, self.seed = plan, name, seed
        self.folder, self.rows = folder / f"{name}-{seed}", folder / "rows"
        self._world: World | None = None
        self._frozen: Frozen | None = None

    @property
    def world(self) -> World:
        self._world = self._world or World.of(self.name, self.seed, self.plan, self.folder)
        return self._world

    @property
    def frozen(self) -> Frozen:
        self._frozen = self._frozen or frozen_rankers(self.world, self.plan)
        return self._frozen

    def versions(self) -> None:
        for version in self.plan.wanted():
            self._keep(
                version.name, lambda v=version: compared(self.world, self.plan, v, self.frozen)
            )
        self._keep("distances", lambda: distances(self.world, self.plan))

    def dial(self) -> None:
        version = next(v for v in VERSIONS if v.name == self.plan.dialled)
        for weight in self.plan.dial:
            self._keep(
                f"dial-{weight:g}",
                lambda w=weight: dialled(
                    self.world, self.plan, jointly(self.world, self.plan, version, w), self.frozen
                ),
            )

    def _keep(self, name: str, make: Any) -> None:
        path = self.rows / f"{self.name}-{self.seed}-{name}.json"
        if not path.exists():
            write_json(path, make())


if __name__ == "__main__":
    main()
