"""The picture is a PNG that holds what it was given, read back through matplotlib's own text."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from star_features.evaluation import report

CURVES = {"training loss": [0.9, 0.5, 0.4], "validation AUC": [0.6, 0.7, 0.72]}
BARS = {
    "categorical": {"all": [0.61, 0.63], "cold members": [0.55]},
    "attainable": {"all": [0.81, 0.82], "cold members": [float("nan")]},
}


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of the figure that is saved."""
    seen: list[str] = []
    save = Figure.savefig

    def spy(figure: Figure, *args: object, **options: object) -> None:
        seen.extend(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return seen


def test_the_picture_names_rankers_slices_values_and_that_it_is_simulated(
    tmp_path: Path, words: list[str]
) -> None:
    report.draw(tmp_path / "new" / "report.png", CURVES, BARS, simulated=True)
    assert (tmp_path / "new" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.png"]
    for word in ("categorical", "attainable", "cold members", "0.620", "0.550", "training loss"):
        assert word in words
    assert any("Simulated" in word for word in words)


def test_real_data_is_not_called_simulated(tmp_path: Path, words: list[str]) -> None:
    report.draw(tmp_path / "report.png", CURVES, BARS, simulated=False)
    assert not any("imulated" in word for word in words)


def test_a_run_without_curve_or_bars_still_has_a_picture(tmp_path: Path, words: list[str]) -> None:
    report.draw(tmp_path / "report.png", {}, {}, simulated=False)
    assert "no training in this run" in words


def test_bars_leave_room_for_every_value() -> None:
    low, high = report._limits({"a": {"all": [0.4, float("nan")]}, "b": {"all": [0.9]}})
    assert low < 0.4 < 0.9 < high
    assert np.isfinite([low, high]).all()
