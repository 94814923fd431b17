"""MELO's figures worked out by hand, and its files read."""

from pathlib import Path

import numpy as np
import pytest

from star_features.errors import DataError
from star_features.evaluation.melo import figures, read_melo

SHARED = Path(__file__).parents[4] / "shared" / "data" / "melo_en"


def test_average_precision_and_first_rank_are_those_worked_out_by_hand() -> None:
    # In order of score: wrong, right, wrong, right.
    found = figures(np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32), np.array([3, 1]))
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found["mrr"] == pytest.approx(1 / 2)
    assert found["recall_10"] == 1


def test_equal_scores_do_not_flatter() -> None:
    found = figures(np.array([0.5, 0.5, 0.5], dtype=np.float32), np.array([0]))
    assert found["mrr"] == pytest.approx(1 / 3)


def test_recall_counts_what_stands_among_the_first() -> None:
    scores_C = -np.arange(200, dtype=np.float32)
    found = figures(scores_C, np.array([3, 50, 150]))
    assert (found["recall_10"], found["recall_100"]) == pytest.approx((1 / 3, 2 / 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two queries, the second without a right answer; one name stands under two concepts."""
    (tmp_path / "queries.tsv").write_text("Q1\tNurses\nQ2\tOthers\n")
    (tmp_path / "corpus_elements.tsv").write_text("C1_0\tnurse\nC1_1\tcarer\nC2_0\tcarer\n")
    (tmp_path / "annotations.tsv").write_text("Q1\t0\tC1_0\t1\nQ1\t0\tC1_1\t1\nQ2\t0\tC2_0\t0\n")
    return tmp_path


def test_a_query_is_right_with_all_names_of_its_concept_and_no_other(folder: Path) -> None:
    task = read_melo(folder)
    assert task.queries == ("Nurses",)
    assert task.corpus == ("nurse", "carer", "carer")
    assert [right.tolist() for right in task.right] == [[0, 1]]
    vectors_CD = np.eye(3, dtype=np.float32)
    found = task.score(np.array([[0.1, 0.5, 0.9]], dtype=np.float32), vectors_CD)
    assert found["map"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_missing_file_and_a_judgement_of_nothing_are_named(folder: Path) -> None:
    (folder / "annotations.tsv").write_text("Q1\t0\tC9_0\t1\n")
    with pytest.raises(DataError, match="line 1 judges Q1 and C9_0"):
        read_melo(folder)
    (folder / "queries.tsv").unlink()
    with pytest.raises(DataError, match=r"queries\.tsv"):
        read_melo(folder)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.exists(), reason="MELO is not here")
def test_the_english_task_has_the_published_size() -> None:
    task = read_melo(SHARED)
    assert (len(task.queries), len(task.corpus)) == (633, 33_809)
    assert sum(map(len, task.right)) == 7_852
