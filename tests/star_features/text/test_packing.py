"""The arithmetic of packed batches, without a model."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from star_features.text.packing import attention, batches, last_token, mean_of_tokens, pack

LENGTHS = st.lists(st.integers(1, 40), max_size=30)


@given(LENGTHS, st.integers(1, 100))
def test_every_text_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    rows = [row for batch in batches(lengths, budget) for row in batch]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 100))
def test_only_a_text_alone_may_pass_the_budget(lengths: list[int], budget: int) -> None:
    for batch in batches(lengths, budget):
        assert len(batch) == 1 or sum(lengths[row] for row in batch) <= budget


@given(LENGTHS, st.integers(1, 100))
def test_no_batch_could_have_taken_the_next_text_as_well(lengths: list[int], budget: int) -> None:
    made = list(batches(lengths, budget))
    for batch, following in itertools.pairwise(made):
        assert sum(lengths[row] for row in [*batch, following[0]]) > budget


def test_texts_lie_end_to_end_and_each_counts_its_positions_from_zero() -> None:
    packed = pack([np.array([7, 8]), np.array([9, 7]), np.array([5])])
    assert packed.ids_T.tolist() == [7, 8, 9, 7, 5]
    assert packed.positions_T.tolist() == [0, 1, 0, 1, 0]
    assert [tuple(span) for span in packed.spans] == [(0, 4, 2), (4, 5, 1)]


def test_pooling_sees_one_text_at_a_time() -> None:
    packed = pack([np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(1, np.int64)])
    hidden_TD = torch.tensor([[1.0], [3.0], [10.0], [20.0], [7.0]])
    assert mean_of_tokens(hidden_TD, packed.spans).tolist() == [[2.0], [15.0], [7.0]]
    assert last_token(hidden_TD, packed.spans).tolist() == [[3.0], [20.0], [7.0]]


def by_the_book(q_LE: Tensor, k_LE: Tensor, v_LE: Tensor, causal: bool) -> Tensor:
    scores_LL = q_LE @ k_LE.T / q_LE.shape[1] ** 0.5
    if causal:
        future_LL = torch.ones_like(scores_LL).triu(1).bool()
        scores_LL = scores_LL.masked_fill(future_LL, -torch.inf)
    return scores_LL.softmax(dim=1) @ v_LE


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_textbook_formula_within_each_text(causal: bool) -> None:
    torch.manual_seed(1)
    query, key, value = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    module = nn.Module()
    module.is_causal = causal  # type: ignore[assignment]
    spans = pack([np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(1, np.int64)]).spans
    got_THE = attention(module, query, key, value, None, spans=spans)[0][0]
    for head in range(4):
        for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
            wanted = by_the_book(
                query[0, head, rows], key[0, head // 2, rows], value[0, head // 2, rows], causal
            )
            torch.testing.assert_close(got_THE[rows, head], wanted)
