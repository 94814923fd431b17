"""Pairs are the same entities in both spaces, whatever order they came in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat import pairs as under_test
from star_features.compat.pairs import in_blocks, pairs_of, sampled_ids
from star_features.errors import DataError, EmptyInput
from star_features.spaces import VectorTable

NEW, OLD = "job_graph_v2@2", "job_graph_v1@1"
ids = st.lists(st.text("abc", min_size=1, max_size=4), unique=True, max_size=30)


def table(space: str, ids: str, plus: int = 0) -> VectorTable:
    """One-letter ids; a letter's vector is its number in the alphabet."""
    numbers = [[ord(letter) - ord("a") + plus] for letter in ids]
    return VectorTable(space, np.array(list(ids)), np.array(numbers, dtype=np.float32))


@settings(deadline=None, max_examples=50)
@given(ids, st.randoms(), st.integers(0, 40), st.integers(0, 5))
def test_the_sample_does_not_depend_on_the_order_of_ids(drawn, random, most, seed) -> None:
    again = list(drawn)
    random.shuffle(again)
    sample = sampled_ids(drawn, most, seed)
    assert sampled_ids(iter(again), most, seed) == sample
    assert len(sample) == min(most, len(drawn))
    assert set(sample) <= set(drawn)


def test_another_seed_draws_another_sample() -> None:
    drawn = [str(number) for number in range(200)]
    one, other = (set(sampled_ids(drawn, 20, seed)) for seed in (0, 1))
    assert len(one & other) < 10


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    drawn = [str(number) for number in range(50)]
    assert sampled_ids(drawn, 30, 0)[:10] == sampled_ids(drawn, 10, 0)


def test_pairs_join_by_id_and_not_by_row() -> None:
    found = pairs_of(table(NEW, "dcba"), table(OLD, "bxcd", plus=10), most=9, seed=0)
    assert set(found.ids) == {"b", "c", "d"}
    assert (found.target_NE == found.source_ND + 10).all()
    assert (found.source, found.target) == (NEW, OLD)


def test_a_duplicate_id_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"(?s)'b'.*star compat fit job_graph_v2 job_graph_v1"):
        pairs_of(table(NEW, "abb"), table(OLD, "ab"), most=9, seed=0)


def test_spaces_without_a_common_entity_are_refused() -> None:
    with pytest.raises(EmptyInput, match="none of them in both"):
        pairs_of(table(NEW, "ab"), table(OLD, "cd"), most=9, seed=0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30), max_size=6))
def test_blocks_are_the_same_however_the_stream_was_cut(cuts: list[int]) -> None:
    rows = np.arange(1, 31, dtype=np.float32)[:, None]
    pieces = np.split(rows, sorted(cuts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "BLOCK_ROWS", 8)
        blocks = list(in_blocks(((piece, -piece) for piece in pieces), "here", "fit"))
    assert [len(source) for source, _ in blocks] == [8, 8, 8, 6]
    assert np.concatenate([source for source, _ in blocks]).tolist() == rows.tolist()
    assert all((source == -target).all() for source, target in blocks)


def test_a_reader_may_use_its_buffer_again(monkeypatch) -> None:
    monkeypatch.setattr(under_test, "BLOCK_ROWS", 8)

    def reader():
        buffer = np.empty((5, 1), dtype=np.float32)
        for start in range(1, 31, 5):
            buffer[:, 0] = np.arange(start, start + 5)
            yield buffer, buffer

    read = [source.copy() for source, _ in in_blocks(reader(), "here", "fit")]
    assert np.concatenate(read).ravel().tolist() == list(range(1, 31))


def test_a_pair_that_is_zero_on_either_side_is_left_out() -> None:
    source = np.array([[1], [0], [2], [3]], dtype=np.float32)
    target = np.array([[1], [5], [0], [3]], dtype=np.float32)
    [(left, right)] = in_blocks([(source, target)], "here", "fit")
    assert left.tolist() == right.tolist() == [[1], [3]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_number_that_is_not_finite_is_refused(bad: float, side: int) -> None:
    sides = [np.ones((3, 2), dtype=np.float32), np.ones((3, 2), dtype=np.float32)]
    sides[side][1, 1] = bad
    with pytest.raises(DataError, match=r"(?s)1 of 3 pairs.*then: fit"):
        list(in_blocks([(sides[0], sides[1])], "here", "fit"))


@pytest.mark.parametrize("shapes", [((3, 2), (2, 2)), ((3,), (3, 2)), ((3, 2), (3, 2, 1))])
def test_sides_that_do_not_pair_up_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(DataError, match="one row per entity"):
        list(in_blocks([(np.ones(shapes[0]), np.ones(shapes[1]))], "here", "fit"))


def test_a_width_that_changes_on_the_way_is_refused() -> None:
    stream = [(np.ones((2, 3)), np.ones((2, 2))), (np.ones((2, 4)), np.ones((2, 2)))]
    with pytest.raises(DataError, match="width 4 -> 2 after 3 -> 2"):
        list(in_blocks(stream, "here", "fit"))
