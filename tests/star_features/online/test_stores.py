"""What every fast store owes: Feast reads what it writes, it reads what Feast writes, in order."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from hypothesis import HealthCheck, given
from hypothesis import settings as law
from hypothesis import strategies as st

from star_features.errors import DataError, StoreError
from star_features.online.writer import write_batches

VIEW = "job_graph_v1"
LATER, SOONER = timedelta(microseconds=1), -timedelta(microseconds=1)


def written(world: SimpleNamespace, vector: list[float], **columns: Any) -> list[float]:
    """Write one vector for j1 and return the one that Feast's own client then reads."""
    write_batches(world.fast, VIEW, [world.batch(["j1"], vector, **columns)])
    return list(world.vectors_of(world.stock, ["j1"])["j1"])


def test_feast_reads_what_we_write(world: SimpleNamespace) -> None:
    write_batches(world.fast, VIEW, [world.batch(["j1", "ö-2"], [[1, 2, 3], [4, 5, 6]])])
    assert world.vectors_of(world.stock, ["ö-2", "j1", "j9"]) == {
        "ö-2": [4, 5, 6],
        "j1": [1, 2, 3],
        "j9": None,
    }


def test_we_read_what_feast_writes(world: SimpleNamespace) -> None:
    feast_writes(world.stock, "j1", [7, 8, 9], world.noon)
    assert world.vectors_of(world.fast, ["j1", "j2"]) == {"j1": [7, 8, 9], "j2": None}


def test_feasts_own_interface_writes_through_us(world: SimpleNamespace) -> None:
    feast_writes(world.fast, "j1", [7, 8, 9], world.noon)
    assert world.vectors_of(world.stock, ["j1"]) == {"j1": [7, 8, 9]}


def test_an_older_event_never_replaces_a_newer_one(world: SimpleNamespace) -> None:
    written(world, [1, 1, 1])
    older = written(world, [2, 2, 2], event=world.noon + SOONER, created=world.noon + 9 * LATER)
    assert older == [1, 1, 1]


def test_a_newer_event_replaces_an_older_one_even_if_computed_earlier(
    world: SimpleNamespace,
) -> None:
    written(world, [1, 1, 1])
    newer = written(world, [2, 2, 2], event=world.noon + LATER, created=world.noon + SOONER)
    assert newer == [2, 2, 2]


def test_a_recomputed_vector_replaces_one_of_the_same_event(world: SimpleNamespace) -> None:
    written(world, [1, 1, 1])
    assert written(world, [2, 2, 2], created=world.noon + LATER) == [2, 2, 2]
    assert written(world, [3, 3, 3], created=world.noon) == [2, 2, 2]


def test_the_same_row_again_repairs_what_is_stored(world: SimpleNamespace) -> None:
    written(world, [1, 1, 1])
    assert written(world, [2, 2, 2]) == [2, 2, 2]


def test_a_row_that_feast_wrote_is_ordered_too(world: SimpleNamespace) -> None:
    hour = timedelta(hours=1)
    feast_writes(world.stock, "j1", [7, 8, 9], world.noon)
    assert written(world, [1, 1, 1], event=world.noon - hour) == [7, 8, 9]
    assert written(world, [2, 2, 2], event=world.noon) == [2, 2, 2]
    feast_writes(world.stock, "j1", [7, 8, 9], world.noon + hour)
    assert written(world, [3, 3, 3], event=world.noon, created=world.noon + hour) == [7, 8, 9]


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_entity_twice_in_a_batch_the_newest_is_left(
    world: SimpleNamespace, order: int
) -> None:
    rows = [([1, 1, 1], world.noon), ([2, 2, 2], world.noon + LATER)][::order]
    vectors, times = ([row[n] for row in rows] for n in (0, 1))
    write_batches(world.fast, VIEW, [world.batch(["j1", "j1"], vectors, event=times)])
    assert world.vectors_of(world.stock, ["j1"]) == {"j1": [2, 2, 2]}


@law(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_any_order_of_writes_ends_in_the_newest_row(
    world: SimpleNamespace, times: list[tuple[int, int]]
) -> None:
    """Times are (event, created) in microseconds around noon; each example has its own key."""
    key = str(times)
    for event, created in times:
        moment = world.noon + timedelta(microseconds=event)
        computed = world.noon + timedelta(microseconds=created)
        row = world.batch([key], [event, created, 0], event=moment, created=computed)
        write_batches(world.fast, VIEW, [row])
    assert world.vectors_of(world.stock, [key])[key] == [*max(times), 0]


def test_views_of_one_entity_do_not_touch_each_other(world: SimpleNamespace) -> None:
    write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 1, 1])])
    write_batches(world.fast, "job_graph_v2", [world.batch(["j1"], [2, 2, 2])])
    assert world.vectors_of(world.stock, ["j1"]) == {"j1": [1, 1, 1]}
    assert world.vectors_of(world.stock, ["j1"], "job_graph_v2") == {"j1": [2, 2, 2]}


def test_small_batches_write_the_same_as_one(world: SimpleNamespace) -> None:
    ids = [f"j{n}" for n in range(1500)]
    seen: list[int] = []
    rows = [world.batch(ids, [[n, 0, 1] for n in range(1500)])]
    count = write_batches(world.fast, VIEW, rows, batch_bytes=20_000, progress=seen.append)
    assert (count, sum(seen)) == (1500, 1500)
    assert len(seen) > 2
    assert world.vectors_of(world.stock, ids) == {f"j{n}": [n, 0, 1] for n in range(1500)}


def test_readers_and_writers_of_many_threads_see_whole_rows(world: SimpleNamespace) -> None:
    ids = [f"j{n}" for n in range(20)]

    def write(step: int) -> None:
        moment = world.noon + timedelta(seconds=step)
        rows = world.batch(ids, [[step] * 3] * 20, event=moment)
        write_batches(world.fast, VIEW, [rows])

    def read(_: int) -> bool:
        found = world.vectors_of(world.fast, ids).values()
        return all(vector is None or len(set(vector)) == 1 for vector in found)

    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write, step) for step in range(1, 13)]
        assert all(pool.map(read, range(12)))
        for done in writes:
            done.result()
    assert world.vectors_of(world.fast, ids) == {key: [12, 12, 12] for key in ids}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_feasts_own_call_reads_several_views_at_once(
    world: SimpleNamespace, asynchronous: bool
) -> None:
    """One round trip; who is unknown to a view is NOT_FOUND there, on every store."""
    write_batches(world.fast, VIEW, [world.batch(["j1", "j2"], [[1, 1, 1], [2, 2, 2]])])
    write_batches(world.fast, "job_graph_v2", [world.batch(["j2"], [3, 3, 3])])
    reads: list[int] = []
    online = world.fast._get_provider().online_store
    read_columns = online.read_columns

    def counted(config: Any, asked: Any) -> Any:
        reads.append(len(asked))
        return read_columns(config, asked)

    online.read_columns = counted
    features = [f"{view}:vector" for view in (VIEW, "job_graph_v2")]
    ids = {"job_id": ["j2", "j9", "j1", "j2"]}
    try:
        if asynchronous:
            got = asyncio.run(world.fast.get_online_features_async(features, ids, True))
        else:
            got = world.fast.get_online_features(features, ids, True)
    finally:
        del online.read_columns
    assert reads == [2]
    found = got.to_dict()
    assert found["job_graph_v1__vector"] == [[2, 2, 2], None, [1, 1, 1], [2, 2, 2]]
    assert found["job_graph_v2__vector"] == [[3, 3, 3], None, None, [3, 3, 3]]
    there, missing = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
    statuses = {tuple(result.statuses) for result in got.proto.results[1:]}
    assert statuses == {(there, missing, there, there), (there, missing, missing, there)}


def test_nan_and_ragged_vectors_are_refused(world: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="NaN"):
        write_batches(world.fast, VIEW, [world.batch(["j1"], [1, float("nan"), 3])])
    ragged = world.batch(["j1", "j2"], [[1, 2, 3], [1, 2, 3]]).to_pylist()
    ragged[1]["vector"] = [1.0]
    schema = world.batch(["j1"], [1, 2, 3]).schema
    with pytest.raises(DataError, match="2 widths: 1, 3"):
        write_batches(
            world.fast, VIEW, [type(world.batch(["j"], [1, 2, 3])).from_pylist(ragged, schema)]
        )
    assert world.vectors_of(world.stock, ["j1"]) == {"j1": None}


@pytest.mark.parametrize("both", ["sqlite", "postgres"], indirect=True)
def test_a_view_without_a_table_names_the_next_command(world: SimpleNamespace) -> None:
    world.drop()
    world.fast._get_provider().online_store.disconnect()
    with pytest.raises(StoreError, match="star apply"):
        world.fast._get_provider().online_store.write_rows(
            world.fast.config, *rows_of(world, world.batch(["j1"], [1, 2, 3]))
        )


def rows_of(world: SimpleNamespace, batch: Any) -> tuple[Any, Any]:
    from star_features.online.writer import as_rows

    view = next(v for v in world.definitions if v.name == VIEW)
    return view, as_rows(batch, VIEW, "job_id", ["vector", "space"])


def feast_writes(store: Any, key: str, vector: list[float], event: datetime) -> None:
    """One row through Feast's provider, as `feast materialize` does it."""
    row = (
        EntityKey(join_keys=["job_id"], entity_values=[Value(string_val=key)]),
        {
            "vector": Value(float_list_val=FloatList(val=vector)),
            "space": Value(string_val="job_graph_v1@a"),
        },
        event,
        event,
    )
    view = store.get_feature_view(VIEW)
    store._get_provider().online_write_batch(store.config, view, [row], None)
