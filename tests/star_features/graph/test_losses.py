"""The losses and the two measures of a validation, on numbers that can be checked by eye."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star_features.graph.losses import auc, binary, contrastive, reciprocal_rank

EYE = torch.eye(3)
NONE_HIDDEN = torch.zeros(3, 3, dtype=torch.bool)
ONES = torch.ones(3)


def test_contrastive_is_the_log_of_the_softmax_of_ones_own_job():
    loss = contrastive(EYE, EYE, torch.arange(3), NONE_HIDDEN, ONES, temperature=0.5)
    assert loss.item() == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)


def test_a_hidden_job_is_no_candidate():
    hidden = ~torch.eye(3, dtype=torch.bool)
    assert contrastive(EYE, EYE, torch.arange(3), hidden, ONES, 0.5).item() == 0


def test_a_label_of_weight_zero_does_not_count():
    target, weight = torch.tensor([0, 1, 0]), torch.tensor([1.0, 1.0, 0.0])
    loss = contrastive(EYE, EYE, target, NONE_HIDDEN, weight, 0.5)
    assert loss.item() == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)


def test_a_candidate_met_twice_as_often_counts_once_after_its_share_is_taken_off():
    one = torch.tensor([[1.0, 0.0]])
    jobs, shares = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.zeros(2)
    own, weight, none = torch.tensor([0]), torch.ones(1), torch.zeros(1, 3, dtype=torch.bool)
    plain = contrastive(one, jobs, own, none[:, :2], weight, 0.5, shares)
    twice = torch.tensor([0.0, np.log(2.0), np.log(2.0)])
    assert contrastive(one, jobs[[0, 1, 1]], own, none, weight, 0.5, twice).item() == (
        pytest.approx(plain.item(), abs=1e-6)
    )
    assert contrastive(one, jobs[[0, 1, 1]], own, none, weight, 0.5).item() > plain.item() + 0.05


def test_binary_is_the_cross_entropy_of_scale_times_cosine_plus_offset():
    scale, offset = torch.tensor(2.0), torch.tensor(-1.0)
    loss = binary(EYE, EYE, torch.tensor([1.0, 1.0, 0.0]), ONES, scale, offset)
    right, wrong = np.log1p(np.exp(-1.0)), np.log1p(np.exp(1.0))
    assert loss.item() == pytest.approx((2 * right + wrong) / 3, abs=1e-5)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: len({taken for _, taken in rows}) == 2
    )
)
def test_auc_is_the_share_of_pairs_in_order(rows):
    score = np.array([s for s, _ in rows], dtype=np.float32)
    taken = np.array([t for _, t in rows], dtype=np.float32)
    won = [(s > o) + (s == o) / 2 for s, t in rows if t for o, other in rows if not other]
    assert auc(score, taken) == pytest.approx(np.mean(won))


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(auc(np.zeros(2, np.float32), np.ones(2, np.float32)))


def test_reciprocal_rank_counts_a_tie_against_the_own_job_and_skips_hidden_ones():
    member = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    job = torch.tensor([[0.5, 0.0], [0.9, 0.0], [0.9, 0.0]])
    hidden = torch.tensor([[False, True, False], [False, False, False]])
    assert reciprocal_rank(member, job, torch.tensor([0, 1]), hidden) == pytest.approx(0.5)
