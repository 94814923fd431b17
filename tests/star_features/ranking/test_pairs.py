"""Pair features against loops, what missing means, and which mixtures are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import DataError, SpaceMismatch, UsageError
from star_features.ranking import columns
from star_features.ranking.pairs import PairSchema, learn_schema, pair_features

Market = Callable[..., pd.DataFrame]
law = settings(deadline=None, max_examples=50)


def column(frame: Any, schema: PairSchema, name: str) -> Any:
    return pair_features(frame, schema).matrix_NF[:, schema.names.index(name)]


def test_the_names_of_features_say_what_they_are(market: Market) -> None:
    schema = learn_schema(market(50), product_dims=1)
    assert schema.names == [
        "job_attributes__place",
        "member_attributes__place",
        "member_attributes__seniority",
        "match__place",
        "star__cosine",
        "star__present",
        "star__product_0",
        "text__cosine",
        "text__present",
        "text__product_0",
    ]
    assert schema.is_category == [True] * 3 + [False] * 7


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (["categorical"], {"job", "member", "match"}),
        (["text"], {"text"}),
        (["graph", "text"], {"text", "star"}),
    ],
)
def test_only_the_groups_asked_for_become_features(
    market: Market, groups: list[str], wanted: set[str]
) -> None:
    names = learn_schema(market(50), groups).names
    assert {name.split("_")[0] for name in names} == wanted


@law
@given(
    st.lists(st.sampled_from(["a", "b", "c", None, float("nan"), "", pd.NA]), max_size=20),
    st.sampled_from([1, 2, 9]),
)
def test_categories_are_coded_by_what_training_saw(values: list[Any], most: int) -> None:
    texts = columns.texts(values)
    known = columns.vocabulary(texts, most)
    drawn = [value for value in values if isinstance(value, str) and value]
    counts = {key: drawn.count(key) for key in set(drawn)}
    assert len(known) == min(most, len(counts))
    assert all(counts[k] >= counts[o] for k in known for o in counts if o not in known)
    for text, code in zip(texts, columns.codes(texts, known), strict=True):
        if text is None:
            assert np.isnan(code)
        else:
            assert code == (known.index(text) + 1 if text in known else columns.OTHER)


def test_a_category_never_seen_in_training_has_a_code_of_its_own(market: Market) -> None:
    schema = learn_schema(market(50))
    later = market(4)
    later["job_attributes__place"] = ["Oslo", "Atlantis", None, "Bonn"]
    later["member_attributes__place"] = ["Oslo", "Atlantis", "Oslo", "Rome"]
    assert column(later, schema, "job_attributes__place")[:2].tolist() == [2, 0]
    np.testing.assert_equal(column(later, schema, "match__place"), [1, 1, np.nan, 0])


def test_a_list_column_is_no_category(market: Market) -> None:
    frame = market(5)
    frame["job_attributes__skills"] = [None, ["sql"], [], ["go"], None]
    assert "job_attributes__skills" not in learn_schema(frame).vocabularies


@law
@given(st.integers(0, 100))
def test_cosine_and_products_are_those_of_loops(market: Market, seed: int) -> None:
    frame = market(8, seed=seed)
    schema = learn_schema(frame, ["text"], product_dims=2)
    for n, (a, b) in enumerate(
        zip(frame["member_text__vector"], frame["job_text__vector"], strict=True)
    ):
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        wanted = [float(a @ b), 1.0, a[0] * b[0], a[1] * b[1]]
        np.testing.assert_allclose(pair_features(frame, schema).matrix_NF[n], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "gap", [None, float("nan"), [], np.zeros(4), np.array([np.nan] * 4), [float("inf")] * 4]
)
def test_a_missing_vector_is_a_nan_a_flag_and_a_count(market: Market, gap: Any) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    frame.at[2, "job_text__vector"] = gap
    found = pair_features(frame, schema)
    cosine, present = column(frame, schema, "text__cosine"), column(frame, schema, "text__present")
    assert np.isnan(cosine).tolist() == [n == 2 for n in range(6)]
    assert present.tolist() == [float(n != 2) for n in range(6)]
    assert found.missing["job_text__vector"] == 1
    assert found.missing["member_text__vector"] == 0
    assert column(frame, schema, "star__present").all()


def test_a_side_without_any_vector_is_missing_throughout(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame, product_dims=2)
    frame["member_star__vector"], frame["member_star__space"] = None, None
    assert np.isnan(column(frame, schema, "star__product_1")).all()
    assert not column(frame, schema, "star__present").any()


@law
@given(st.permutations(range(9)))
def test_the_order_of_rows_changes_nothing_but_their_order(
    market: Market, order: list[int]
) -> None:
    frame = market(9)
    mixed = frame.iloc[order]
    assert learn_schema(frame) == learn_schema(mixed)
    schema = learn_schema(frame)
    np.testing.assert_array_equal(
        pair_features(frame, schema).matrix_NF[order], pair_features(mixed, schema).matrix_NF
    )


def test_one_member_against_many_jobs_equals_the_rows_written_out(market: Market) -> None:
    frame = market(30)
    schema = learn_schema(frame, product_dims=2)
    for name in [c for c in frame.columns if c.startswith("member_")]:
        frame[name] = [frame[name].iloc[0]] * 30
    member = {c: frame[c].tolist()[:1] for c in frame.columns if c.startswith("member_")}
    jobs = {c: frame[c].tolist() for c in frame.columns if c.startswith("job_")}
    np.testing.assert_allclose(
        pair_features({**member, **jobs}, schema).matrix_NF, pair_features(frame, schema).matrix_NF
    )


def test_the_schema_is_read_back_from_json_as_it_was(market: Market) -> None:
    schema = learn_schema(market(40), product_dims=3)
    assert PairSchema.model_validate_json(schema.model_dump_json()) == schema


def test_a_set_that_mixes_spaces_is_refused(market: Market) -> None:
    frame = market(6)
    frame.loc[3, "job_text__space"] = "job_text_v1@other"
    with pytest.raises(SpaceMismatch, match="2 spaces in job_text"):
        learn_schema(frame)


def test_member_and_job_vectors_of_two_versions_are_refused(market: Market) -> None:
    frame = market(6)
    frame["job_star__space"] = "job_graph_v2@d"
    with pytest.raises(SpaceMismatch, match="job_graph_v2@d"):
        learn_schema(frame)


def test_vectors_of_another_space_than_in_training_are_refused(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    frame["member_text__space"] = "member_text_v1@later"
    with pytest.raises(SpaceMismatch, match="member_text_v1@later"):
        pair_features(frame, schema)


def test_a_vector_without_its_space_is_refused(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    frame.loc[1, "job_star__space"] = None
    with pytest.raises(DataError, match="1 vectors without a space id"):
        pair_features(frame, schema)


def test_vectors_of_two_widths_are_refused(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    frame.at[1, "job_text__vector"] = np.ones(5, dtype=np.float32)
    with pytest.raises(DataError, match=r"widths \[4, 5\]"):
        pair_features(frame, schema)
    frame["job_text__vector"] = [np.ones(5, dtype=np.float32)] * 6
    with pytest.raises(DataError, match="widths 4 and 5"):
        pair_features(frame, schema)


def test_columns_that_are_not_there_are_named(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    with pytest.raises(DataError, match="job_star__space"):
        pair_features(frame.drop(columns="job_star__space"), schema)
    with pytest.raises(DataError, match="member_attributes__place"):
        pair_features(frame.drop(columns="member_attributes__place"), schema)
    with pytest.raises(DataError, match="graph"):
        learn_schema(frame.drop(columns="job_star__vector"))


@pytest.mark.parametrize("groups", [[], ["text", "sound"]])
def test_an_unknown_group_is_refused(market: Market, groups: list[str]) -> None:
    with pytest.raises(UsageError, match="categorical"):
        learn_schema(market(6), groups)


def test_columns_of_lengths_that_do_not_fit_are_refused(market: Market) -> None:
    frame = market(6)
    schema = learn_schema(frame)
    read = {name: frame[name].tolist() for name in frame.columns}
    read["job_attributes__place"] = read["job_attributes__place"][:4]
    with pytest.raises(DataError, match="lengths"):
        pair_features(read, schema)
