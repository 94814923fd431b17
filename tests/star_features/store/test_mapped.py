"""Between two histories: pairs of one entity and moment, and every row told in the old space."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat.maps import Map, Receipt
from star_features.errors import ArtefactError, DataError, EmptyInput, SpaceMismatch
from star_features.store.history import History, as_lists
from star_features.store.mapped import map_history, pairs_between, space_of

NEW, OLD = "job_graph_v2@2", "job_graph_v1@1"
START = datetime(2026, 1, 30, tzinfo=UTC)
Row = tuple[str, int, int]  # whose, day, content


def filled(root: Path, view: str, space: str, rows: list[Row], width: int = 2) -> History:
    """A history whose vectors say who, when and what: (day + 1, content + 1, 0, …)."""
    history = History.of_vectors(root, view)
    vectors = np.zeros((len(rows), width), dtype=np.float32)
    vectors[:, :2] = [(day + 1, content + 1) for _, day, content in rows] or np.zeros((0, 2))
    times = [START + timedelta(days=day) for _, day, _ in rows]
    table = {
        "job_id": pa.array([key for key, _, _ in rows], pa.string()),
        "vector": as_lists(vectors),
        "space": pa.array([space] * len(rows), pa.string()),
        "input_hash": pa.array([f"content {content}" for _, _, content in rows], pa.string()),
        "event_timestamp": pa.array(times, history.schema.types[-1]),
        "created": pa.array([START] * len(rows), history.schema.types[-1]),
    }
    history.append(pa.table(table))
    return history


def swap(source: str = NEW, target: str = OLD) -> Map:
    """Turns (a, b) into unit (b, a)."""
    receipt = Receipt(pairs=0, held=0, seed=0, candidates=(), cosine=1, cosine_error=0, r2=1)
    weight = np.array([[0, 1], [1, 0]], dtype=np.float32)
    return Map(source, target, weight, np.zeros(2, np.float32), "procrustes", 0, 1, receipt)


def rows_of(history: History) -> list[dict]:
    table = pq.read_table(history.folder, schema=history.schema)
    return sorted(table.to_pylist(), key=lambda row: (row["job_id"], row["event_timestamp"]))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., History]:
    def of(view: str, space: str, rows: list[Row], width: int = 2) -> History:
        return filled(tmp_path, view, space, rows, width)

    return of


def test_a_pair_is_one_entity_at_one_moment_that_both_versions_have(make) -> None:
    new = make("job_graph_v2", NEW, [("a", 0, 0), ("a", 7, 0), ("b", 3, 0), ("c", 7, 0)], 3)
    old = make("job_graph_v1", OLD, [("a", 7, 5), ("b", 4, 5), ("c", 7, 6), ("d", 7, 5)])
    pairs = pairs_between(new, old, most=10, seed=0)
    assert (pairs.source, pairs.target) == (NEW, OLD)
    assert sorted(pairs.ids) == ["a", "c"]
    of = dict(
        zip(
            pairs.ids,
            zip(pairs.source_ND.tolist(), pairs.target_NE.tolist(), strict=True),
            strict=True,
        )
    )
    assert of == {"a": ([8, 1, 0], [8, 6]), "c": ([8, 1, 0], [8, 7])}


def test_of_two_rows_of_one_moment_the_newer_computed_makes_the_pair(make) -> None:
    old = make("job_graph_v1", OLD, [("a", 0, 0)])
    new = make("job_graph_v2", NEW, [("a", 0, 0)])
    later = pa.Table.from_pylist(rows_of(new), schema=new.schema).to_pylist()[0]
    later |= {"input_hash": "refined", "vector": [9.0, 9.0], "created": START + timedelta(1)}
    new.append(pa.Table.from_pylist([later], schema=new.schema))
    assert pairs_between(new, old, most=10, seed=0).source_ND.tolist() == [[9, 9]]


@settings(max_examples=15, deadline=None)
@given(
    moments=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), min_size=1, unique=True
    ),
    most=st.integers(1, 8),
    seed=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
)
def test_the_draw_depends_on_seed_and_entities_never_on_order(
    moments, most, seed, order, tmp_path_factory
) -> None:
    rows = [(key, day, 0) for key, day in moments]
    again = rows.copy()
    order.shuffle(again)
    drawn = []
    for version in (rows, again):
        root = tmp_path_factory.mktemp("draw")
        new = filled(root, "job_graph_v2", NEW, version)
        old = filled(root, "job_graph_v1", OLD, version)
        pairs = pairs_between(new, old, most=most, seed=seed)
        np.testing.assert_array_equal(pairs.source_ND, pairs.target_NE)
        drawn.append((pairs.ids.tolist(), pairs.source_ND.tolist()))
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0][0])) == len(drawn[0][0]) == min(most, len({key for key, _ in moments}))


def test_another_seed_draws_other_entities_and_other_moments(make) -> None:
    rows = [(f"j{i:02d}", day, 0) for i in range(40) for day in range(4)]
    new, old = make("job_graph_v2", NEW, rows), make("job_graph_v1", OLD, rows)
    draws = [pairs_between(new, old, most=20, seed=seed) for seed in (0, 1)]
    assert set(draws[0].ids) != set(draws[1].ids)
    assert len(set(draws[0].source_ND[:, 0])) == 4


def test_versions_without_a_common_moment_give_no_pair_and_say_so(make) -> None:
    new, old = make("job_graph_v2", NEW, [("a", 0, 0)]), make("job_graph_v1", OLD, [("a", 1, 0)])
    with pytest.raises(EmptyInput, match="star compat fit job_graph_v2 job_graph_v1"):
        pairs_between(new, old, most=10, seed=0)


def test_a_history_without_vectors_or_with_two_spaces_ends_no_map(make) -> None:
    with pytest.raises(EmptyInput, match="not one vector"):
        space_of(make("job_graph_v1", OLD, []))
    make("job_graph_v2", NEW, [("a", 0, 0)])
    with pytest.raises(DataError, match="Wanted one space"):
        space_of(make("job_graph_v2", "job_graph_v2@other", [("a", 1, 0)]))


@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(0, 2)),
        unique=True,
        max_size=12,
    ),
    first=st.integers(0, 12),
    batch=st.integers(1, 5),
)
def test_mapping_in_two_goes_and_small_batches_is_mapping_at_once(
    rows, first, batch, tmp_path_factory
) -> None:
    made = []
    for goes, size in (([rows], 100), ([rows[:first], rows], batch)):
        root = tmp_path_factory.mktemp("map")
        target = History.of_vectors(root, "job_graph_v1_from_v2")
        new = 0
        for part in goes:
            source = filled(root, "job_graph_v2", NEW, part)
            new += map_history(swap(), source, target, name="m", created=START, batch_rows=size)
        assert new == len(rows) == target.count()
        made.append(sorted(map(str, rows_of(target))))
    assert made[0] == made[1]


def test_a_mapped_row_keeps_its_time_and_names_its_map_its_source_and_the_old_space(make) -> None:
    source = make("job_graph_v2", NEW, [("a", 2, 0), ("a", 6, 1)])
    target = History.of_vectors(source.root, "job_graph_v1_from_v2")
    now = START + timedelta(days=30)
    map_history(swap(), source, target, name="abc", created=now)
    rows = rows_of(target)
    assert [row["event_timestamp"] for row in rows] == [START + timedelta(d) for d in (2, 6)]
    assert [row["input_hash"] for row in rows] == ["abc of content 0", "abc of content 1"]
    assert {(row["space"], row["created"]) for row in rows} == {(OLD, now)}
    np.testing.assert_allclose(rows[0]["vector"], np.array([1, 3]) / 10**0.5, rtol=1e-6)


def test_a_refit_is_appended_beside_the_first_map_and_is_what_is_newest(make) -> None:
    source = make("job_graph_v2", NEW, [("a", 0, 0), ("b", 0, 0)])
    target = History.of_vectors(source.root, "job_graph_v1_from_v2")
    for hours, name in enumerate(("first", "second")):
        created = START + timedelta(hours=hours)
        assert map_history(swap(), source, target, name=name, created=created) == 2
    assert target.count() == 4
    assert set(target.newest_hash().values()) == {"second of content 0"}


def test_a_moment_that_was_computed_again_or_put_back_is_mapped_as_it_stands(make) -> None:
    source = make("job_graph_v2", NEW, [("a", 0, 0)])
    target = History.of_vectors(source.root, "job_graph_v1_from_v2")
    (first,) = rows_of(source)
    again = first | {"input_hash": "content 1", "vector": [1.0, 2.0]}
    for hours, row in enumerate((first, again, first)):
        created = START + timedelta(hours=hours)
        source.append(pa.Table.from_pylist([row | {"created": created}], schema=source.schema))
        assert map_history(swap(), source, target, name="m", created=created) == 1
        assert map_history(swap(), source, target, name="m", created=created) == 0
        assert target.newest_hash() == {"a": f"m of {row['input_hash']}"}
    at_once = History.of_vectors(source.root, "job_graph_v1_from_v3")
    assert map_history(swap(), source, at_once, name="m", created=START) == 1
    assert at_once.newest_hash() == {"a": "m of content 0"}


def test_vectors_of_another_space_are_neither_read_nor_written_under_a_name(make) -> None:
    source = make("job_graph_v2", NEW, [("a", 0, 0)])
    target = make("job_graph_v1_from_v2", OLD, [("a", 0, 0)])
    with pytest.raises(SpaceMismatch):
        map_history(swap(source="job_graph_v3@3"), source, target, name="m", created=START)
    with pytest.raises(ArtefactError, match="job_graph_v1@other"):
        map_history(swap(target="job_graph_v1@other"), source, target, name="m", created=START)
