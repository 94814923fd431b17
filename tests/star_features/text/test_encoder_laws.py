"""What every encoder owes, whatever its backbone."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from star_features.text.encoder import TextEncoder
from star_features.text.settings import Side
from star_features.text.weights import locate

NEAR = {"rtol": 0, "atol": 2e-5}


def test_one_at_a_time_equals_a_batch(encoder: TextEncoder, texts: list[str]) -> None:
    alone = np.concatenate([encoder.encode([text], "job").vectors_ND for text in texts])
    np.testing.assert_allclose(encoder.encode(texts, "job").vectors_ND, alone, **NEAR)


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_padding_would_change_nothing(
    encoder: TextEncoder, texts: list[str], padding_side: str
) -> None:
    folder = locate(encoder.settings.model)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=padding_side)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa")
    end = tokenizer.eos_token if encoder.end_token else ""
    read = tokenizer([f"{text} {end}".strip() for text in texts], padding=True, return_tensors="pt")
    mask_NL = read["attention_mask"].bool()
    positions_NL = (mask_NL.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        states_NLD = model(**read, position_ids=positions_NL).last_hidden_state
    for got_D, states_LD, mask_L in zip(
        encoder.encode(texts, "member").vectors_ND, states_NLD, mask_NL, strict=True
    ):
        real_LD = states_LD[mask_L]
        pooled_D = real_LD[-1] if encoder.pooling == "last" else real_LD.mean(0)
        np.testing.assert_allclose(got_D, pooled_D / pooled_D.norm(), **NEAR)


def test_order_changes_nothing(encoder: TextEncoder, texts: list[str]) -> None:
    order = random.Random(3).sample(range(len(texts)), len(texts))
    shuffled = encoder.encode([texts[row] for row in order], "job").vectors_ND
    np.testing.assert_allclose(shuffled, encoder.encode(texts, "job").vectors_ND[order], **NEAR)


def test_the_same_text_has_the_same_vector_and_is_computed_once(encoder: TextEncoder) -> None:
    result = encoder.encode(["a nurse", "data", "a nurse"], "member")
    np.testing.assert_array_equal(result.vectors_ND[0], result.vectors_ND[2])
    assert not np.allclose(result.vectors_ND[0], result.vectors_ND[1])
    assert result.tokens == encoder.encode(["a nurse", "data"], "member").tokens


def test_vectors_are_float32_of_unit_length(encoder: TextEncoder, texts: list[str]) -> None:
    vectors_ND = encoder.encode(texts, "member").vectors_ND
    assert vectors_ND.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors_ND, axis=1), 1, rtol=1e-6)


def test_no_texts_give_no_rows_of_the_right_width(encoder: TextEncoder) -> None:
    result = encoder.encode([], "member")
    assert result.vectors_ND.shape == (0, encoder.width)
    assert (result.truncated, result.tokens) == (0, 0)


def test_a_text_over_the_limit_is_cut_and_counted_and_changes_no_other(
    encoder: TextEncoder,
) -> None:
    limit, over = encoder.max_tokens("job"), "the night " * 400
    result = encoder.encode(["a nurse", over, "data", over], "job")
    assert result.truncated == 2
    assert result.tokens == limit + encoder.encode(["a nurse", "data"], "job").tokens
    alone = encoder.encode(["a nurse", "data"], "job").vectors_ND
    np.testing.assert_allclose(result.vectors_ND[[0, 2]], alone, **NEAR)


def test_a_text_of_exactly_the_limit_is_not_cut(load: Callable[..., TextEncoder]) -> None:
    encoder = load(member={"max_tokens": 4})  # three words and the end token
    assert encoder.encode(["a nurse reads"], "member").truncated == 0
    assert encoder.encode(["a nurse reads data"], "member").truncated == 1
    np.testing.assert_array_equal(
        encoder.encode(["a nurse reads"], "member").vectors_ND,
        encoder.encode(["a nurse reads data"], "member").vectors_ND,
    )


@pytest.mark.parametrize("budget", [1, 7, 10_000])
def test_the_token_budget_changes_no_vector(
    load: Callable[..., TextEncoder], mistral: TextEncoder, texts: list[str], budget: int
) -> None:
    got = load(token_budget=budget).encode(texts, "job").vectors_ND
    np.testing.assert_allclose(got, mistral.encode(texts, "job").vectors_ND, **NEAR)


def test_a_prompt_is_read_as_part_of_its_side_only(
    load: Callable[..., TextEncoder], mistral: TextEncoder
) -> None:
    prompted = load(job={"prompt": "the data of "})
    np.testing.assert_array_equal(
        prompted.encode(["a nurse"], "job").vectors_ND,
        mistral.encode(["the data of a nurse"], "job").vectors_ND,
    )
    np.testing.assert_array_equal(
        prompted.encode(["a nurse"], "member").vectors_ND,
        mistral.encode(["a nurse"], "member").vectors_ND,
    )


def test_a_decoder_takes_its_last_token_and_an_encoder_the_mean(
    minilm: TextEncoder, mistral: TextEncoder
) -> None:
    assert (minilm.pooling, minilm.end_token) == ("mean", False)
    assert (mistral.pooling, mistral.end_token) == ("last", True)


def test_minilm_equals_sentence_transformers(minilm: TextEncoder, texts: list[str]) -> None:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(locate("all-MiniLM-L6-v2")), device="cpu")
    wanted_ND = peer.encode(texts, normalize_embeddings=True)
    assert (minilm.encode(texts, "member").vectors_ND * wanted_ND).sum(axis=1).min() > 0.9999


SAME_SPACE = [{"token_budget": 9}, {"device": "cpu"}, {"dtype": "bfloat16"}]
OTHER_SPACE = [
    {"job": {"prompt": "job: "}},
    {"job": {"max_tokens": 8}},
    {"pooling": "mean"},
    {"end_token": False},
    {"normalize": False},
]


@pytest.mark.parametrize("change", OTHER_SPACE, ids=str)
def test_what_moves_a_vector_names_another_space(
    load: Callable[..., TextEncoder], mistral: TextEncoder, change: dict[str, object]
) -> None:
    assert space_of(load(**change), "job") != space_of(mistral, "job")


@pytest.mark.parametrize("change", SAME_SPACE, ids=str)
def test_what_moves_no_vector_names_the_same_space(
    load: Callable[..., TextEncoder], mistral: TextEncoder, change: dict[str, object]
) -> None:
    assert space_of(load(**change), "job") == space_of(mistral, "job")


def test_a_limit_beyond_the_backbones_own_is_the_backbones_own(
    load: Callable[..., TextEncoder], mistral: TextEncoder
) -> None:
    assert mistral.max_tokens("job") == 64
    assert space_of(load(job={"max_tokens": 64}), "job") == space_of(mistral, "job")


def test_a_space_has_the_encoders_width(minilm: TextEncoder) -> None:
    assert minilm.space("job_text_v1", "job").width == minilm.width == 384


def space_of(encoder: TextEncoder, side: Side) -> str:
    return encoder.space(f"{side}_text_v1", side).id
