"""
One picture of a run: how the graph tower learnt, and what each ranker reaches.

    draw(Path("report.png"), curves, bars, simulated=True)

`curves` holds named lines over epochs; `bars` AUC per ranker and slice, one value per seed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from star_features.evaluation.metrics import Interval, seed_spread

Curves = Mapping[str, Sequence[float]]
Bars = Mapping[str, Mapping[str, Sequence[float]]]

COLOURS = ("#b8c4d0", "#6fa8dc", "#f1a84e", "#2f6f4f", "#8a8a8a", "#a64d79")
INCHES = (13, 5)
DOTS_PER_INCH = 110


def draw(path: Path, curves: Curves, bars: Bars, *, simulated: bool) -> None:
    """Write the picture as PNG.

    Args:
        curves: by name, one value per epoch; a name with `AUC` in it is drawn to the right scale.
        bars: by ranker, then by slice, AUC for each seed. NaN leaves a gap.
        simulated: say in the title that members and interactions are simulated.
    """
    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_curves(left, curves)
    _draw_bars(right, bars)
    if simulated:
        figure.suptitle("Simulated members and interactions on real job texts", fontsize=11)
    save_png(figure, path)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    figure.savefig(aside, format="png")
    os.replace(aside, path)


def _draw_curves(axes: Any, curves: Curves) -> None:
    """Losses on the left scale, AUC on the right one."""
    axes.set(title="Graph tower, learning", xlabel="epoch", ylabel="loss")
    scales = {False: axes, True: axes.twinx() if any("AUC" in name for name in curves) else axes}
    if scales[True] is not axes:
        scales[True].set_ylabel("AUC")
    lines = [
        scales["AUC" in name].plot(
            np.arange(1, len(values) + 1),
            values,
            color=colour,
            linestyle="--" if "AUC" in name else "-",
            marker=".",
            label=name,
        )[0]
        for (name, values), colour in zip(curves.items(), _colours(len(curves)), strict=True)
    ]
    axes.xaxis.get_major_locator().set_params(integer=True)
    if lines:
        _legend(axes, lines)
    else:
        axes.text(0.5, 0.5, "no training in this run", ha="center", transform=axes.transAxes)


def _draw_bars(axes: Any, bars: Bars) -> None:
    """One group per slice, one bar per ranker; the whisker spans the seeds."""
    slices = list(dict.fromkeys(part for row in bars.values() for part in row))
    width = 0.8 / max(1, len(bars))
    for row, (ranker, colour) in enumerate(zip(bars, _colours(len(bars)), strict=True)):
        spread = [_spread(bars[ranker].get(part, ())) for part in slices]
        heights = np.array([interval.value for interval in spread])
        reach = np.array([[i.value - i.low, i.high - i.value] for i in spread]).T
        at = np.arange(len(slices)) + (row - (len(bars) - 1) / 2) * width
        whisker = reach if len(slices) and np.nansum(reach) > 0 else None
        drawn = axes.bar(
            at, heights, width * 0.92, yerr=whisker, label=ranker, color=colour, capsize=2
        )
        labels = ["" if np.isnan(height) else f"{height:.3f}" for height in heights]
        axes.bar_label(drawn, labels, rotation=90, padding=3, fontsize=7)
    axes.set_xticks(np.arange(len(slices)), slices)
    axes.set(title="Ranker AUC on held-out interactions", ylabel="AUC", ylim=_limits(bars))
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    if bars:
        _legend(axes, axes.get_legend_handles_labels()[0])


def _legend(axes: Any, handles: Sequence[Any]) -> None:
    """Under the axes, where it hides nothing."""
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
    axes.legend(handles=handles, ncols=3, fontsize=8, **below)


def _spread(values: Sequence[float]) -> Interval:
    known = [value for value in values if not np.isnan(value)]
    return seed_spread(known) if known else Interval(np.nan, np.nan, np.nan)


def _limits(bars: Bars) -> tuple[float, float]:
    """From a little under the least value (or one half) to room for the labels."""
    values = [v for row in bars.values() for seeds in row.values() for v in seeds if v == v]
    low, high = min([0.5, *values]), max([0.6, *values])
    return max(0.0, low - 0.03), high + 0.25 * (high - low)


def _colours(count: int) -> list[str]:
    return [COLOURS[row % len(COLOURS)] for row in range(count)]
