"""The picture of a training shows validation over passes, and each relation's steps."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from star_features.evaluation.schedule import draw_schedule

CURVE = [{"loss": 0.9, "value": 0.6}, {"loss": 0.7, "value": 0.61}, {"loss": 0.6, "value": 0.66}]
STEPS = {"*": [(1, 1), (2, 2), (6, 3)], "skills>job": [(1, 1), (2, 1), (2, 1)]}


def test_every_relation_and_hop_is_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[float]] = {}
    save = Figure.savefig

    def spy(figure: Figure, *args: object, **options: object) -> None:
        for axes in figure.axes:
            drawn.update({line.get_label(): list(line.get_ydata()) for line in axes.lines})
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    draw_schedule(tmp_path / "graph.png", CURVE, STEPS, metric="auc", title="graph v1")
    assert drawn == {
        "auc": [0.6, 0.61, 0.66],
        "loss": [0.9, 0.7, 0.6],
        "other relations, hop 1": [1, 2, 6],
        "other relations, hop 2": [1, 2, 3],
        "skills>job, hop 1": [1, 2, 2],
        "skills>job, hop 2": [1, 1, 1],
    }
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
