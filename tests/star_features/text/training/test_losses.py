"""The losses against numbers worked out by hand, and the widths as laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from star_features.text.training import TrainSettings
from star_features.text.training.losses import (
    Objective,
    all_widths,
    binary,
    contrastive,
    cut,
    semi_hard,
    triplet,
)
from star_features.text.training.pairs import Batch

NOTHING_HIDDEN = torch.zeros(1, 5, dtype=torch.bool)
# The own job at .60; one nearer; two within a margin of .1, the nearer at .55; one far off.
COSINES = torch.tensor([[0.60, 0.90, 0.52, 0.55, 0.30]])
OWN = torch.tensor([0])


def test_contrastive_is_the_cross_entropy_of_the_own_job() -> None:
    cosine = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    got = contrastive(cosine, torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.bool), 0.5)
    assert got.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(2)) / 2)


def test_a_job_that_the_member_took_too_is_no_candidate() -> None:
    hidden = torch.tensor([[False, True]])
    got = contrastive(torch.tensor([[0.1, 0.9]]), OWN, hidden, 0.05)
    assert got.item() == 0


def test_binary_is_the_logistic_loss_of_scale_times_cosine_plus_offset() -> None:
    got = binary(
        torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), torch.tensor(2.0), torch.tensor(-1.0)
    )
    assert got.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_semi_hard_is_the_nearest_that_is_farther_than_the_own_job_and_within_the_margin() -> None:
    assert semi_hard(COSINES, OWN, NOTHING_HIDDEN, 0.1).tolist() == [3]
    without = torch.tensor([[False, False, False, True, False]])
    assert semi_hard(COSINES, OWN, without, 0.1).tolist() == [2]
    assert semi_hard(COSINES, OWN, NOTHING_HIDDEN, 0.04).tolist() == [-1]
    assert semi_hard(COSINES, torch.tensor([1]), NOTHING_HIDDEN, 0.31).tolist() == [0]


def test_a_triplet_costs_what_is_missing_to_the_margin_and_nothing_where_there_is_none() -> None:
    assert triplet(COSINES, OWN, NOTHING_HIDDEN, 0.1).item() == pytest.approx(0.05)
    two = COSINES.repeat(2, 1)
    hidden = torch.stack([NOTHING_HIDDEN[0], torch.ones(5, dtype=torch.bool)])
    assert triplet(two, torch.tensor([0, 0]), hidden, 0.1).item() == pytest.approx(0.05)
    assert triplet(COSINES, OWN, ~NOTHING_HIDDEN, 0.1).item() == 0


VECTORS = arrays(np.float64, (3, 6), elements=st.floats(0.1, 1))


@examples(deadline=None)
@given(VECTORS, st.integers(1, 6), st.integers(1, 6))
def test_widths_are_nested_and_of_unit_length(vectors: np.ndarray, one: int, another: int) -> None:
    small, large = sorted((one, another))
    vectors_ND = torch.from_numpy(vectors)
    torch.testing.assert_close(cut(cut(vectors_ND, large), small), cut(vectors_ND, small))
    torch.testing.assert_close(
        cut(vectors_ND, small).norm(dim=1), torch.ones(3, dtype=torch.float64)
    )


def test_the_full_width_is_always_trained_and_none_beyond_it() -> None:
    assert all_widths((256, 64, 384, 1024), 384) == (64, 256, 384)


# Two members; the first took jobs 0 and 1, the second was shown job 2 and took job 1.
BATCH = Batch(
    members_M=np.array([4, 9]),
    jobs_J=np.array([1, 2, 5]),
    member_S=np.array([0, 1, 1]),
    job_S=np.array([0, 2, 1]),
    taken_S=np.array([True, False, True]),
    took_MJ=np.array([[True, True, False], [False, True, False]]),
)
MEMBERS = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
JOBS = torch.tensor([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])


def test_the_contrastive_objective_hides_other_taken_jobs_and_means_over_widths() -> None:
    settings = TrainSettings(loss="contrastive", widths=(1,), temperature=1.0)
    narrow, full = Objective(settings, 2).terms(MEMBERS, JOBS, BATCH)
    # Full: member 0 has jobs 0 (.8) and 2 (1.0); member 1 has 0 (.96), 1 (.8) and 2 (.6).
    first = math.log(math.exp(0.8) + math.exp(1.0)) - 0.8
    second = math.log(math.exp(0.96) + math.exp(0.8) + math.exp(0.6)) - 0.8
    assert full.item() == pytest.approx((first + second) / 2 / 2)
    # One coordinate: every cosine is 1, but job 1's, which is 0.
    first, second = math.log(2), math.log(1 + 2 * math.e)
    assert narrow.item() == pytest.approx((first + second) / 2 / 2)


def test_the_papers_objective_is_binary_plus_weighted_triplets() -> None:
    settings = TrainSettings(
        widths=(), loss="bce+triplet", margin=0.25, triplet_weight=2.0, scale=10.0
    )
    objective = Objective(settings, 2)
    (got,) = objective.terms(MEMBERS, JOBS, BATCH)
    logits = 10 * torch.tensor([0.8, 0.6, 0.8])
    binary_part = (math.log1p(math.exp(-8)) * 2 + math.log1p(math.exp(6))) / 3
    assert logits.tolist() == pytest.approx([8, 6, 8])
    # Member 0: job 2 is nearer than its own, so none; member 1: job 2 (.6) under its own (.8).
    assert got.item() == pytest.approx(binary_part + 2 * (0.6 - 0.8 + 0.25), rel=1e-5)


def test_the_binary_loss_starts_at_its_offset_for_the_mean_cosine() -> None:
    objective = Objective(TrainSettings(widths=(), scale=10.0, offset=-0.5), 2)
    objective.centre(MEMBERS, JOBS[:2])
    assert objective.offset_W.item() == pytest.approx(-0.5 - 10 * 0.8)


def test_a_batch_without_a_taken_job_costs_nothing() -> None:
    none = Batch(
        BATCH.members_M,
        BATCH.jobs_J,
        BATCH.member_S,
        BATCH.job_S,
        np.zeros(3, dtype=bool),
        np.zeros((2, 3), dtype=bool),
    )
    (got,) = Objective(TrainSettings(widths=()), 2).terms(MEMBERS, JOBS, none)
    assert got.item() == 0
