"""
One picture of a graph training: validation, pass by pass, over how many neighbours were read.

    draw_schedule(Path("graph_v2.png"), curve, {"*": [(1, 1), (2, 2)]}, metric="auc")

Lines of the same colour are one relation; the first hop is whole, the next ones are dashed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from star_features.evaluation.report import save_png

STYLES = ("-", "--", ":")


def draw_schedule(
    path: Path,
    curve: Sequence[Mapping[str, float]],
    fan_outs: Mapping[str, Sequence[Sequence[int]]],
    *,
    metric: str,
    title: str = "",
) -> None:
    """Write the picture as PNG.

    Args:
        curve: a row a pass, with `value` and `loss`.
        fan_outs: by relation, in-edges read per node in each pass, one number a hop.
        metric: what `value` is.
    """
    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    passes = range(1, len(curve) + 1)
    lines = above.plot(passes, [row["value"] for row in curve], marker=".", label=metric)
    losses = above.twinx()
    lines += losses.plot(passes, [row["loss"] for row in curve], "--", color="grey", label="loss")
    above.set(ylabel=f"validation {metric}", title=title)
    losses.set_ylabel("loss")
    above.legend(handles=lines, fontsize=8)
    _draw_fan_outs(below, passes, fan_outs)
    save_png(figure, path)


def _draw_fan_outs(
    axes: Any, passes: Sequence[int], fan_outs: Mapping[str, Sequence[Sequence[int]]]
) -> None:
    for number, (name, steps) in enumerate(fan_outs.items()):
        for hop in range(len(steps[0]) if steps else 0):
            axes.step(
                passes,
                [step[hop] for step in steps],
                STYLES[hop % len(STYLES)],
                where="mid",
                color=f"C{number}",
                label=f"{'other relations' if name == '*' else name}, hop {hop + 1}",
            )
    axes.set(xlabel="pass", ylabel="in-edges read")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if fan_outs:
        axes.legend(fontsize=8)
