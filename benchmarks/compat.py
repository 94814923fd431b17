"""
What does a frozen ranker lose when the model behind its vectors changes, and what do maps save?

    python -m benchmarks.compat [--quick] [--out FOLDER] [--worlds demo] [--seeds 0,1,2]
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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from benchmarks.common import report
from benchmarks.compat_lab import tell
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
from star_features.errors import EmptyInput
from star_features.files import write_json
from star_features.progress import bar


def main() -> None:
    options = asked()
    plan = plan_of(options)
    folder = options.out / "quick" if options.quick else options.out
    settle(folder, plan)
    if not options.table:
        run(plan, folder)
    say(folder, plan)


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


def say(folder: Path, plan: Plan) -> None:
    """Every table of the rows there are, the picture of the dial, and the claims."""
    rows, turned, apart = (tell.rows_of(folder, kind) for kind in ("versions", "dial", "distances"))
    if not rows:
        raise EmptyInput(folder / "rows", "no row yet", "Run: python -m benchmarks.compat")
    console = Console(width=140)
    columns = ["", *tell.WAYS]
    for title, heads, lines in (
        (
            "AUC by ranker, mean of worlds, versions, seeds",
            ["ranker", "feels a swap", "recovered, fitted", "recovered, joint", *tell.WAYS],
            tell.table_of_rankers(rows),
        ),
        (
            "Who is new since the promotion",
            ["world", "slice", *tell.WAYS],
            tell.table_of_slices(rows),
        ),
        (
            "Direct against chained",
            ["distance", "pairs", "direct", "chained", "gain"],
            tell.table_of_distances(apart),
        ),
    ):
        print_table(console, title, heads, lines)
    points = list(tell.points_of_dial(turned, rows))
    if points:
        simulated = [row["world"] for row in rows if row["simulated"]]
        tell.draw(folder / "dial.png", points, simulated)
        lines = [list(point.values()) for point in points]
        print_table(
            console, f"The dial, {plan.dialled} ({folder / 'dial.png'})", list(points[0]), lines
        )
    for line in tell.left_out(rows):
        console.print(f"Left out, as a raw swap costs it no more than chance: {line}")
    report(
        "Frozen rankers over versions: mean of those that feel a swap",
        ["version", *columns],
        tell.table_of_versions(rows),
        tell.claims_of(rows, apart),
        plan.seeds[0],
    )


def print_table(
    console: Console, title: str, heads: Sequence[str], lines: Sequence[Sequence[object]]
) -> None:
    table = Table(*heads, title=title)
    for line in lines:
        table.add_row(*(f"{cell:,.4g}" if isinstance(cell, float) else str(cell) for cell in line))
    console.print(table)


if __name__ == "__main__":
    main()
