"""The gate: beyond a bound and beyond noise fails; and what reaches a consumer by each way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from star_features.compat.fit import FitSettings, fit
from star_features.compat.score import quantiles
from star_features.release.gate import (
    Bound,
    ConsumerFigures,
    MapFigures,
    calibrated,
    judge,
    measure,
)
from star_features.release.settings import GateSettings
from star_features.release.ways import Maps, as_matrix, fitted_to, score_ways

SETTINGS = GateSettings()
OLD, NEW = "job_graph_v1@a", "job_graph_v2@b"
MAP = MapFigures(
    name="job graph v2 → v1",
    held=0.95,
    held_error=0.001,
    r2=0.9,
    neighbours=0.6,
    shuffled=0.7,
    linear=0.95,
    nonlinear=0.96,
    gain=0.01,
    gain_error=0.001,
)


def scored(lost: float, rows: int = 4000, seed: int = 0) -> ConsumerFigures:
    """A consumer that loses about so much AUC: its mapped scores are noisier by that."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    today = labels + rng.standard_normal(rows)
    noise = rng.standard_normal(rows) * 20 * lost
    scores = {way: today for way in ("today", "swap", "shuffled")} | {"mapped": today + noise}
    masks = {"all": np.ones(rows, bool), "few": np.arange(rows) < 20}
    return measure("feed", labels, scores, masks)


def failed(*figures: ConsumerFigures, **settings: object) -> list[str]:
    verdict = judge([], figures, GateSettings(**settings))
    return [bound.what for bound in verdict.failed]


def test_a_consumer_that_loses_nothing_keeps_every_bound() -> None:
    figures = scored(0)
    assert judge([MAP], [figures], SETTINGS).green
    assert figures.lost["all"] == (0.0, 0.0)
    assert figures.ks == 0


def test_a_loss_beyond_the_bound_and_the_noise_fails() -> None:
    assert failed(scored(0.1)) == ["AUC lost, all", "scores moved (KS)"]


def test_the_same_loss_on_few_rows_is_noise_and_is_said_not_judged() -> None:
    figures = scored(0.1, rows=40, seed=2)
    gap, error = figures.lost["all"]
    assert gap > SETTINGS.loss
    assert gap < 2 * error
    verdict = judge([], [replace(figures, scores="order")], SETTINGS)
    assert verdict.green
    assert [bound.excused for bound in verdict.bounds if "all" in bound.what] == [True]


def test_a_slice_of_few_rows_is_shown_and_not_judged() -> None:
    figures = replace(scored(0), lost={"all": (0, 0), "few": (0.4, 0.01)})
    assert failed(figures) == []
    assert failed(figures, slice_rows=20) == ["AUC lost, few"]


def test_a_consumer_that_only_sorts_is_not_asked_what_its_scores_mean() -> None:
    figures = replace(scored(0), ks=0.9)
    assert failed(figures) == ["scores moved (KS)"]
    assert failed(replace(figures, scores="order")) == []
    assert failed(replace(figures, ks_calibrated=0.01)) == []


def test_a_calibration_is_told_by_rows_that_it_has_not_seen() -> None:
    rng = np.random.default_rng(0)
    today = rng.standard_normal(4000)
    scores = {"today": today, "mapped": 3 * today + 5}
    half = np.arange(4000) % 2 == 0
    back = quantiles(scores["mapped"][half], today[half])
    figures = calibrated(replace(scored(0), ks=0.9), back, scores, ~half)
    assert figures.ks_calibrated is not None
    assert 0 < figures.ks_calibrated < 0.05


def test_a_refusal_fails_whatever_the_bounds_are() -> None:
    assert failed(ConsumerFigures("feed", refused="SpaceMismatch"), loss=1) == ["can be scored"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"held": 0.8}, "cosine over chance"),
        ({"neighbours": 0.1}, "10 nearest kept"),
        ({"gain": 0.05}, "gain of a non-linear map"),
        ({"later": 0.9, "later_held": 0.95}, "cosine lost on later moments"),
        ({"held": float("nan")}, "cosine over chance"),
    ],
)
def test_each_figure_of_a_map_has_a_bound(change: dict[str, float], what: str) -> None:
    assert judge([MAP], [], SETTINGS).green
    assert [b.what for b in judge([replace(MAP, **change)], [], SETTINGS).failed] == [what]


def test_a_gain_within_its_noise_is_no_gain() -> None:
    assert judge([replace(MAP, gain=0.05, gain_error=0.03)], [], SETTINGS).green


def test_chance_is_nothing_and_the_native_vectors_are_all() -> None:
    assert replace(MAP, held=0.7).over_chance == 0
    assert replace(MAP, held=1).over_chance == 1


def test_a_figure_that_is_no_number_is_not_kept() -> None:
    for at_most in (True, False):
        assert not Bound("x", "y", float("nan"), 1, at_most).met
        assert not Bound("x", "y", None, 1, at_most).met


def test_what_is_recovered_counts_from_the_swap_to_the_better_of_old_and_retrained() -> None:
    ways = {"today": 0.8, "swap": 0.6, "shuffled": 0.5, "mapped": 0.7}
    figures = ConsumerFigures("feed", auc={way: {"all": value} for way, value in ways.items()})
    assert figures.recovered == pytest.approx(0.5)
    assert figures.staying is None
    retrained = replace(figures, auc={**figures.auc, "retrained": {"all": 0.85}})
    assert retrained.recovered == pytest.approx(0.4)
    assert retrained.staying == pytest.approx(0.15)
    unharmed = replace(figures, auc={**figures.auc, "swap": {"all": 0.8}})
    assert unharmed.recovered is None


class Echo:
    """Scores a row by the first number of its job's vector, and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[pd.DataFrame] = []

    def score(self, features: pd.DataFrame) -> np.ndarray:
        self.seen.append(features)
        vectors, _ = as_matrix(features["job_star__vector"], 2)
        return vectors[:, 0].astype(np.float64)


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    today = pd.DataFrame(index=range(2))
    for side in ("member", "job"):
        today[f"{side}_star__vector"] = [np.float32([1, 0]), np.float32([0, 1])]
        today[f"{side}_star__space"] = f"{side}_graph_v1@a"
    new = today.copy()
    for side in ("member", "job"):
        new[f"{side}_star__vector"] = [np.float32([0, 1, 0]), None]
    return today, new


def test_each_way_reaches_a_consumer_as_its_own_space_in_its_own_width() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((64, 3)).astype(np.float32)
    made = {}
    for name, target in (("served", rows[:, :2]), ("shuffled", rows[::-1, :2])):
        pairs = [(rows, np.ascontiguousarray(target))]
        maps = {
            side: fit(
                pairs,
                source=f"{side}_graph_v2@b",
                target=f"{side}_graph_v1@a",
                settings=FitSettings(),
            )
            for side in ("member", "job")
        }
        made[name] = maps
    today, new = frames()
    consumer = Echo()
    scores = score_ways(consumer, today, new, {"star": Maps(**made)})
    assert list(scores) == ["today", "swap", "shuffled", "mapped"]
    for frame in consumer.seen[1:]:
        assert frame["job_star__space"].tolist() == ["job_graph_v1@a", None]
        assert frame["job_star__vector"][1] is None
        assert len(frame["job_star__vector"][0]) == 2
    assert consumer.seen[1]["job_star__vector"][0].tolist() == [0, 1], "cut, as it is"
    mapped = made["served"]["job"](np.float32([[0, 1, 0]]), space="job_graph_v2@b")
    np.testing.assert_array_equal(consumer.seen[3]["job_star__vector"][0], mapped[0])


def test_a_narrower_vector_is_filled_with_zeros() -> None:
    assert fitted_to(4, np.ones((1, 2), np.float32)).tolist() == [[1, 1, 0, 0]]
