"""
A study: one figure a row and seed, and their mean and spread over the seeds.

    lines = summary(results)          # of {"row", "seed", "slices": {slice: {figure: value}}}
    lines[0].figures["auc"].value, .low, .high

Seeds are trainings of one row on one world; their spread says which differences are noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from star_features.evaluation.metrics import Interval, seed_spread


@dataclass(frozen=True)
class Line:
    """One row of a study on one slice. A figure that no seed has is absent."""

    row: str
    slice: str
    pairs: int
    seeds: int
    figures: Mapping[str, Interval]


def summary(results: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Mean, least and greatest over the seeds of every figure, by row and slice, in their order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for part, figures in result["slices"].items():
            groups.setdefault((result["row"], part), []).append(figures)
    return [
        Line(
            row=row,
            slice=part,
            pairs=int(group[0]["pairs"]),
            seeds=len(group),
            figures={name: _spread(group, name) for name in _names(group)},
        )
        for (row, part), group in groups.items()
    ]


def _names(group: Sequence[Mapping[str, float]]) -> list[str]:
    """Figures that every seed has, in the order of the first."""
    known = [{name for name, value in figures.items() if value == value} for figures in group]
    return [name for name in group[0] if name != "pairs" and all(name in k for k in known)]


def _spread(group: Sequence[Mapping[str, float]], name: str) -> Interval:
    return seed_spread([figures[name] for figures in group])
