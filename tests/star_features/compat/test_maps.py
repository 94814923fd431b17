"""What a map does with rows, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat.maps import Map, Maps, Receipt
from star_features.errors import DataError, MissingStage, SpaceMismatch, UsageError

RECEIPT = Receipt(pairs=9, held=4, seed=0, candidates=(), cosine=0.9, cosine_error=0.01, r2=0.8)


def between(source: str, target: str, *, bias: float = 0.5) -> Map:
    """Doubles two coordinates and adds `bias` to each."""
    weight = 2 * np.eye(2, dtype=np.float32)
    plus = np.full(2, bias, dtype=np.float32)
    return Map(source, target, weight, plus, "ridge", 0.1, 1.0, RECEIPT)


map_ab = between("job_graph_v2@b", "job_graph_v1@a")


def test_a_row_is_transformed_and_brought_to_unit_length() -> None:
    mapped = map_ab(np.array([[1.25, 1.75]]), space="job_graph_v2@b")
    np.testing.assert_allclose(mapped, [[0.6, 0.8]], rtol=1e-6)
    assert mapped.dtype == np.float32


def test_a_zero_row_stays_zero_although_the_map_has_a_bias() -> None:
    mapped = map_ab(np.array([[0, 0], [0, 1]], dtype=np.float32), space="job_graph_v2@b")
    assert mapped[0].tolist() == [0, 0]
    assert mapped[1].any()


def test_a_row_that_falls_on_the_origin_stays_there() -> None:
    mapped = map_ab(np.array([[-0.25, -0.25]]), space="job_graph_v2@b")
    assert mapped.tolist() == [[0, 0]]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(0, 99))
def test_rows_one_at_a_time_equal_a_batch(rows: int, seed: int) -> None:
    batch = np.random.default_rng(seed).standard_normal((rows, 2)).astype(np.float32)
    whole = map_ab(batch, space="job_graph_v2@b")
    single = [map_ab(row[None], space="job_graph_v2@b")[0] for row in batch]
    np.testing.assert_allclose(whole, single, atol=1e-6)


def test_no_rows_give_no_rows() -> None:
    assert map_ab(np.empty((0, 2)), space="job_graph_v2@b").shape == (0, 2)


def test_the_input_is_not_written_to() -> None:
    rows = np.ones((2, 2), dtype=np.float32)
    map_ab(rows, space="job_graph_v2@b")
    assert (rows == 1).all()


@pytest.mark.parametrize("space", ["job_graph_v1@a", "job_graph_v2@c", "job_graph_v2"])
def test_vectors_of_another_space_are_refused(space: str) -> None:
    with pytest.raises(SpaceMismatch, match="job_graph_v2@b"):
        map_ab(np.ones((1, 2)), space=space)


@pytest.mark.parametrize("shape", [(1, 3), (2,), (1, 2, 2)])
def test_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        DataError, match=r"(?s)rows of 2.*star compat fit job_graph_v2 job_graph_v1"
    ):
        map_ab(np.ones(shape), space="job_graph_v2@b")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="1 of 2 vectors are not finite"):
        map_ab(np.array([[1, 1], [bad, 0]], dtype=np.float32), space="job_graph_v2@b")


def test_the_direct_map_is_found_by_both_spaces() -> None:
    other = between("job_graph_v3@c", "job_graph_v1@a")
    assert Maps([map_ab, other]).between("job_graph_v3@c", "job_graph_v1@a") is other


def test_a_chain_is_named_but_not_taken() -> None:
    maps = Maps([map_ab, between("job_graph_v3@c", "job_graph_v2@b")])
    with pytest.raises(MissingStage) as refused:
        maps.between("job_graph_v3@c", "job_graph_v1@a")
    assert "job_graph_v3@c -> job_graph_v2@b -> job_graph_v1@a" in str(refused.value)
    assert "never chained" in str(refused.value)
    assert str(refused.value).endswith("star compat fit job_graph_v3 job_graph_v1")


def test_without_a_chain_only_the_command_is_named() -> None:
    with pytest.raises(MissingStage) as refused:
        Maps([map_ab]).between("job_graph_v1@a", "job_graph_v2@b")
    assert "chain" not in str(refused.value)
    assert str(refused.value).endswith("star compat fit job_graph_v1 job_graph_v2")


def test_maps_do_not_compose() -> None:
    with pytest.raises(UsageError, match="star compat fit job_graph_v3 job_graph_v1"):
        between("job_graph_v3@c", "job_graph_v2@b").then(map_ab)
