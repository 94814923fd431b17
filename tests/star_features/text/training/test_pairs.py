"""Pairs: nothing lost, nothing read twice, the later ones held out."""

from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from star_features.errors import DataError, EmptyInput
from star_features.text.training import TrainSettings
from star_features.text.training.pairs import Pairs, batch_of, index_of, order, steps_per_epoch

PAGE = pa.table(
    {
        "member_text": ["nurse", "nurse", "carpenter", "nurse"],
        "job_text": ["night", "stage", "stage", "night"],
        "label": [1, 0, 1, 1],
    }
)
MEMBERS = st.lists(st.integers(0, 5), min_size=1, max_size=40).map(np.array)


def test_each_text_is_kept_once_and_each_pair_finds_its_own() -> None:
    pairs = Pairs.of(PAGE)
    assert pairs.member_texts == ("nurse", "carpenter")
    assert pairs.member_N.tolist() == [0, 0, 1, 0]
    assert pairs.job_N.tolist() == [0, 1, 1, 0]
    assert pairs.taken_N.tolist() == [True, False, True, True]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column label"):
        Pairs.of(PAGE.drop_columns(["label"]))


def test_took_knows_taken_pairs_and_not_those_that_were_only_shown() -> None:
    took = Pairs.of(PAGE).took(np.array([1, 0]), np.array([0, 1]))
    assert took.tolist() == [[False, True], [True, False]]


def test_the_last_pairs_are_held_out() -> None:
    table = pa.table(
        {"member_text": [f"m{n}" for n in range(20)], "job_text": ["j"] * 20, "label": [0, 1] * 10}
    )
    training, validation = Pairs.of(table).split(TrainSettings(validation=0.3))
    assert training.member_N.tolist() == list(range(14))
    assert validation.member_N.tolist() == list(range(14, 20))
    few = Pairs.of(table).split(TrainSettings(validation=0.3, validation_pairs=5))[1]
    assert len(few) == 5
    assert (np.diff(few.member_N) > 0).all()


def test_pairs_of_one_label_only_cannot_train() -> None:
    taken = PAGE.set_column(2, "label", [[1, 1, 1, 1]])
    with pytest.raises(EmptyInput, match="label 0"):
        Pairs.of(taken).split(TrainSettings(validation=0.5))


@examples(deadline=None)
@given(MEMBERS, st.integers(1, 4), st.integers(0, 3))
def test_an_order_has_every_row_once_and_no_longer_run_of_a_member_than_asked(
    member_N: np.ndarray, together: int, seed: int
) -> None:
    rows = order(member_N, together, (seed, 0))
    assert sorted(rows) == list(range(len(member_N)))
    counts = np.bincount(member_N)
    groups = sum(-(-count // together) for count in counts)
    runs = [len(list(run)) for _, run in groupby(member_N[rows])]
    assert len(runs) <= groups
    np.testing.assert_array_equal(rows, order(member_N, together, (seed, 0)))


@examples(deadline=None)
@given(MEMBERS, st.integers(2, 9))
def test_an_epoch_reads_no_pair_twice_and_the_next_one_another_order(
    member_N: np.ndarray, size: int
) -> None:
    pairs = Pairs((), (), member_N, member_N, member_N > 2)
    settings = TrainSettings(effective_batch=size, rows_per_member=2)
    steps = steps_per_epoch(len(pairs), settings)
    read = np.concatenate([index_of(pairs, settings, step) for step in range(steps)])
    assert len(set(read)) == len(read) > len(pairs) - size
    assert (len(read) == len(pairs)) or len(read) == steps * size
    if len(pairs) > 20:
        assert read.tolist() != index_of(pairs, settings, steps).tolist()[: len(read)]


def test_a_batch_points_at_the_texts_of_its_pairs() -> None:
    pairs = Pairs.of(PAGE)
    batch = batch_of(pairs, np.array([3, 2]))
    assert batch.members_M[batch.member_S].tolist() == pairs.member_N[[3, 2]].tolist()
    assert batch.jobs_J[batch.job_S].tolist() == pairs.job_N[[3, 2]].tolist()
    assert batch.taken_S.tolist() == [True, True]
    assert batch.took_MJ.tolist() == [[True, False], [False, True]]


def test_other_labels_are_other_pairs() -> None:
    other = PAGE.set_column(2, "label", [[1, 1, 1, 1]])
    assert Pairs.of(PAGE).digest() == Pairs.of(PAGE).digest() != Pairs.of(other).digest()
