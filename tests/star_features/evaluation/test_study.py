"""A study's table: mean and spread over seeds, by row and slice."""

import math

from star_features.evaluation.study import summary


def result(row: str, seed: int, auc: float, recall: float = 0.5) -> dict[str, object]:
    return {"row": row, "seed": seed, "slices": {"all": {"pairs": 9, "auc": auc, "recall": recall}}}


def test_a_line_is_the_mean_and_the_ends_of_its_seeds() -> None:
    lines = summary([result("b", 0, 0.6), result("a", 0, 0.5), result("b", 1, 0.8)])
    assert [(line.row, line.seeds, line.pairs) for line in lines] == [("b", 2, 9), ("a", 1, 9)]
    auc = lines[0].figures["auc"]
    assert (round(auc.value, 9), auc.low, auc.high) == (0.7, 0.6, 0.8)


def test_a_figure_that_a_seed_lacks_is_absent() -> None:
    lines = summary([result("a", 0, math.nan), result("a", 1, 0.6)])
    assert list(lines[0].figures) == ["recall"]
