"""
The gate's picture: AUC of every consumer by what reaches it, and each figure beside its bound.

    draw(Path("gate.png"), "graph v2", verdict, simulated=True)
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from star_features.release.gate import ALL, Bound, Verdict
from star_features.release.ways import WAYS

COLOURS = {
    "today": "#8a8a8a",
    "swap": "#c0504d",
    "shuffled": "#d9a441",
    "mapped": "#2f6f4f",
    "retrained": "#6fa8dc",
}
GOOD, BAD = "#2f6f4f", "#c0504d"
DOTS_PER_INCH = 110
MOST_BOUNDS = 30
LEAST, MOST = -0.5, 2.0


def draw(path: Path, title: str, verdict: Verdict, *, simulated: bool) -> None:
    """Write the picture as PNG, whole or not at all."""
    shown = _shown(verdict)
    figure = Figure(
        figsize=(13, max(4.5, 1.5 + 0.24 * len(shown))), dpi=DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_ways(left, verdict)
    _draw_bounds(right, shown)
    colour = "green" if verdict.green else "red"
    said = f"{title}: {colour}" + (" (simulated members and interactions)" if simulated else "")
    figure.suptitle(said, color=GOOD if verdict.green else BAD)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    figure.savefig(aside, format="png")
    os.replace(aside, path)


def _shown(verdict: Verdict) -> list[Bound]:
    """The failed first, then as many as there is room for."""
    rest = [bound for bound in verdict.bounds if bound.met]
    return [*verdict.failed, *rest][:MOST_BOUNDS]


def _draw_ways(axes: Any, verdict: Verdict) -> None:
    """One group a consumer, one bar a way."""
    scored = [consumer for consumer in verdict.consumers if consumer.auc]
    axes.set(title="AUC of frozen consumers by what reaches them", ylabel="AUC")
    if not scored:
        axes.text(0.5, 0.5, "no consumer was scored", ha="center", transform=axes.transAxes)
        return
    width = 0.8 / len(WAYS)
    values = [c.auc[way][ALL] for c in scored for way in c.auc]
    for place, way in enumerate(WAYS):
        heights = [c.auc[way][ALL] if way in c.auc else np.nan for c in scored]
        at = np.arange(len(scored)) + (place - (len(WAYS) - 1) / 2) * width
        drawn = axes.bar(at, heights, width * 0.92, label=way, color=COLOURS[way])
        labels = ["" if np.isnan(height) else f"{height:.3f}" for height in heights]
        axes.bar_label(drawn, labels, rotation=90, padding=3, fontsize=7)
    axes.set_xticks(np.arange(len(scored)), [consumer.name for consumer in scored])
    low, high = min([0.5, *values]), max(values)
    axes.set_ylim(max(0.0, low - 0.02), high + 0.3 * (high - low))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(WAYS), fontsize=8)


def _draw_bounds(axes: Any, shown: list[Bound]) -> None:
    """How much of its room each figure takes: beyond 1 it has failed."""
    axes.set(title="How near to its bound each figure is (beyond 1: failed)")
    rows = np.arange(len(shown))[::-1]
    shares = [_share(bound) for bound in shown]
    colours = [GOOD if bound.met else BAD for bound in shown]
    axes.barh(rows, np.clip(shares, LEAST, MOST), color=colours)
    axes.axvline(1, color="black", linewidth=0.8)
    names = [f"{bound.of}: {bound.what}" for bound in shown]
    axes.set_yticks(rows, [name[:60] for name in names], fontsize=7)
    axes.set_xlim(LEAST, MOST)


def _share(bound: Bound) -> float:
    """The figure over its bound; the other way round where the bound is the least."""
    if bound.value is None or np.isnan(bound.value):
        return MOST
    above, below = (bound.value, bound.bound) if bound.at_most else (bound.bound, bound.value)
    return above / below if below > 0 else MOST
