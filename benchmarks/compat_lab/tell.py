"""
From rows to tables, claims and a picture.

Losses are told in two ways: in AUC, and as a share of what the reference's AUC is above chance
(0.5), since half an AUC is worth nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.common import Claim
from star_features.files import read_json

PUBLISHED = {
    "swap": -26.5,
    "fitted": -10.2,
    "joint": -0.65,
    "joint, retrained": -3.0,
    "kept": 0.0,
}
"""Loss in percent in BC-Aligner's table; consumers that are kept on old vectors forgo 26.8."""
WAYS = ("kept", "never", "swap", "shuffled", "fitted", "joint", "retrained", "joint, retrained")
SLICES = ("known", "new members", "new jobs")
SURE = 2.0
"""Standard errors that a swap must cost before a ranker is said to feel it."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One ranker of one row."""

    row: Row
    ranker: str

    @property
    def name(self) -> str:
        return f"{self.row['world']} {self.row['seed']}"

    def auc(self, way: str, part: str = "all") -> float:
        return float(self.row["rankers"][self.ranker]["auc"].get(way, {}).get(part, np.nan))

    def reference(self, way: str) -> float:
        """The better of v1's own vectors and a ranker retrained on the version in question."""
        retrained = "joint, retrained" if way.startswith("joint") else "retrained"
        return max(self.auc("kept"), self.auc(retrained))

    def felt(self, way: str) -> bool:
        """Whether a raw swap costs this ranker more than chance."""
        swap = "joint, swap" if way.startswith("joint") else "swap"
        noise = float(self.row["rankers"][self.ranker]["noise"][swap])
        return self.reference(way) - self.auc(swap) > SURE * noise

    def recovered(self, way: str, of: float | None = None) -> float:
        """Share of what the raw swap loses; `of` is another reference than the strict one."""
        swap = self.auc("joint, swap" if way.startswith("joint") else "swap")
        reference = self.reference(way) if of is None else of
        return (self.auc(way) - swap) / (reference - swap)

    def share(self, way: str) -> float:
        """Gain (below 0: loss) against the reference, in percent of what is above chance."""
        best = max(self.auc("kept"), self.auc("retrained"))
        return 100 * (self.auc(way) - best) / (best - 0.5)


def rows_of(folder: Path, kind: str) -> list[Row]:
    """The rows there are: `versions`, `dial` or `distances`."""
    found = []
    for path in sorted((folder / "rows").glob("*.json")):
        name = path.stem.split("-", 2)[2]
        is_kind = "dial" if name.startswith("dial") else name if name == "distances" else "versions"
        if is_kind == kind:
            row = read_json(path)
            found += row if isinstance(row, list) else [row]
    return found


def cases(rows: Sequence[Row]) -> list[Case]:
    return [Case(row, ranker) for row in rows for ranker in row["rankers"]]


def table_of_versions(rows: Sequence[Row]) -> list[list[object]]:
    """A line a world and version: mean AUC over seeds and rankers that feel a swap, and losses."""
    lines: list[list[object]] = []
    for world in sorted({row["world"] for row in rows}):
        for version in sorted({row["version"] for row in rows if row["world"] == world}):
            mine = [r for r in rows if (r["world"], r["version"]) == (world, version)]
            felt = [case for case in cases(mine) if case.felt("fitted")]
            if not felt:
                continue
            name = f"{world} {version}"
            lines.append([name, "AUC", *(round(mean(c.auc(w) for c in felt), 4) for w in WAYS)])
            shares = (round(mean(c.share(w) for c in felt), 1) for w in WAYS)
            lines.append(["", "%", *shares])
            found = {
                w: mean(c.recovered(w) for c in felt if c.felt(w)) for w in ("fitted", "joint")
            }
            cells = [f"{found[w]:.1%}" if w in found else "" for w in WAYS]
            lines.append(["", "recovered", *cells])
    published = [PUBLISHED.get(way, "") for way in WAYS]
    return [*lines, ["published", "%", *published]]


def _recovered(rows: Sequence[Row], way: str) -> str:
    shares = [case.recovered(way) for case in cases(rows) if case.felt(way)]
    return f"{mean(shares):.1%}" if shares and way in ("fitted", "joint") else ""


def table_of_slices(rows: Sequence[Row]) -> list[list[object]]:
    """AUC on who was known at the promotion, and on who came later; all rankers, all versions."""
    lines: list[list[object]] = []
    for world in sorted({row["world"] for row in rows}):
        mine = cases([row for row in rows if row["world"] == world])
        for part in SLICES:
            there = [c for c in mine if not np.isnan(c.auc("never", part))]
            if there:
                aucs = (round(mean(c.auc(way, part) for c in there), 4) for way in WAYS)
                lines.append([world, part, *aucs])
    return lines


def table_of_rankers(rows: Sequence[Row]) -> list[list[object]]:
    """A line a ranker: how often it feels a swap, and what it recovers."""
    lines: list[list[object]] = []
    for ranker in dict.fromkeys(case.ranker for case in cases(rows)):
        mine = [case for case in cases(rows) if case.ranker == ranker]
        felt = [case for case in mine if case.felt("fitted")]
        line: list[object] = [ranker, f"{len(felt)} of {len(mine)}"]
        for way in ("fitted", "joint"):
            shares = [case.recovered(way) for case in mine if case.felt(way)]
            line.append(f"{mean(shares):.1%}" if shares else "left out")
        lines.append([*line, *(round(mean(c.auc(way) for c in mine), 4) for way in WAYS)])
    return lines


def table_of_distances(rows: Sequence[Row]) -> list[list[object]]:
    """Mean cosine to the old version's own vectors, direct and chained, by distance."""
    lines: list[list[object]] = []
    for distance in sorted({row["distance"] for row in rows}):
        mine = [row for row in rows if row["distance"] == distance]
        direct, chained = (
            mean(mean(row[way].values()) for row in mine) for way in ("direct", "chained")
        )
        lines.append([distance, len(mine), *(round(x, 4) for x in (direct, chained)),
                      round(direct - chained, 4)])  # fmt: skip
    return lines


def points_of_dial(dial: Sequence[Row], rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """By world and weight: recovered, cost to the new model, cosine kept; 0 is a map afterwards."""
    for world in sorted({row["world"] for row in dial}):
        turned = [row for row in dial if row["world"] == world]
        alone = [
            row
            for row in rows
            if row["world"] == world
            and any((row["seed"], row["version"]) == (d["seed"], d["version"]) for d in turned)
        ]
        if alone:
            yield _point(world, 0.0, alone, alone, "fitted")
        for weight in sorted({row["weight"] for row in turned}):
            mine = [row for row in turned if row["weight"] == weight]
            yield _point(world, weight, mine, alone, "joint")


def _point(
    world: str, weight: float, mine: Sequence[Row], alone: Sequence[Row], way: str
) -> dict[str, Any]:
    costs = []
    for row in mine:
        plain = next((a for a in alone if a["seed"] == row["seed"]), None)
        if plain is None:
            continue
        for ranker in row["rankers"]:
            retrained = "retrained" if way == "fitted" else "joint, retrained"
            before = Case(plain, ranker).auc("retrained")
            costs.append(100 * (1 - Case(row, ranker).auc(retrained) / before))
    felt = [case for case in cases(mine) if case.felt(way)]
    maps = [row["maps"].get("fitted", row["maps"]) for row in mine]
    return {
        "world": world,
        "weight": weight,
        "seeds": len(mine),
        "recovered": mean(case.recovered(way) for case in felt) if felt else float("nan"),
        "cost": mean(costs) if costs else float("nan"),
        "mapped": mean(case.auc(way) for case in cases(mine)),
        "cosine": mean(side["cosine"] for both in maps for side in both.values()),
    }


def draw(path: Path, points: Sequence[dict[str, Any]], simulated: Sequence[str]) -> None:
    """Cost to the new model against what the old rankers recover, a line a world."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for world in dict.fromkeys(point["world"] for point in points):
        mine = [point for point in points if point["world"] == world]
        x, y = [p["cost"] for p in mine], [100 * p["recovered"] for p in mine]
        label = f"{world} (simulated)" if world in simulated else world
        axes.plot(x, y, marker="o", linewidth=1, label=label)
        for point in mine:
            text = "afterwards" if point["weight"] == 0 else f"{point['weight']:g}"
            axes.annotate(text, (point["cost"], 100 * point["recovered"]), fontsize=8)
    axes.axhline(98, color="grey", linewidth=0.5)
    axes.axvline(1, color="grey", linewidth=0.5)
    axes.set(xlabel="cost to the new model, % of its AUC", ylabel="recovered by old rankers, %")
    axes.set_title("The dial: weight of staying compatible", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def claims_of(rows: Sequence[Row], apart: Sequence[Row]) -> dict[str, Claim]:
    """What the issue asks for, over all rows there are."""
    every = cases(rows)
    claims: dict[str, Claim] = {}
    for way, aim in (("fitted", 0.85), ("joint", 0.98)):
        felt = [case for case in every if case.felt(way)]
        share = mean(case.recovered(way) for case in felt)
        claims[f"recovered, {way}"] = Claim(share, "of what a raw swap loses", aim)
        of_old = mean(case.recovered(way, of=case.auc("kept")) for case in felt)
        claims[f"recovered, {way}, of v1's own vectors alone"] = Claim(of_old, "of the loss")
        claims[f"rankers that feel a raw swap, {way}"] = Claim(len(felt), f"of {len(every)}")
    cost = [1 - case.auc("joint, retrained") / case.auc("retrained") for case in every]
    claims["cost of joint training to the new model"] = Claim(
        100 * mean(cost), "% of its AUC", 1.0, at_most=True
    )
    above = [
        (case.auc("retrained") - case.auc("joint, retrained")) / (case.auc("retrained") - 0.5)
        for case in every
    ]
    claims["the same, of what is above chance"] = Claim(100 * mean(above), "%")
    for way in ("fitted", "joint"):
        for other in ("never", "kept"):
            gain = mean(case.auc(way) - case.auc(other) for case in every)
            claims[f"{way} over {other}"] = Claim(gain, "AUC, mean", 0.0)
        for part in SLICES[1:]:
            gains = [case.auc(way, part) - case.auc("never", part) for case in every]
            if there := [gain for gain in gains if not np.isnan(gain)]:
                claims[f"{way} over never, {part}"] = Claim(mean(there), "AUC, mean", 1e-9)
    for line in table_of_distances(apart):
        claims[f"direct over chained at distance {line[0]}"] = Claim(
            float(str(line[-1])), "cosine, mean", 1e-9
        )
    if chained := [case for case in every if not np.isnan(case.auc("chained"))]:
        gain = mean(case.auc("fitted") - case.auc("chained") for case in chained)
        claims["direct over chained, frozen rankers"] = Claim(gain, "AUC, mean", 0.0)
    return claims


def left_out(rows: Sequence[Row]) -> list[str]:
    """Rankers that no swap costs more than chance, with the rows where that is so."""
    found: dict[str, list[str]] = {}
    for case in cases(rows):
        if not case.felt("fitted"):
            found.setdefault(case.ranker, []).append(f"{case.name} {case.row['version']}")
    return [f"{ranker}: {', '.join(where)}" for ranker, where in found.items()]
