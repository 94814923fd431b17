"""The reader reads what Feast reads, says what is missing, and refuses to mix spaces."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureStore

from star_features.errors import SpaceMismatch, StoreError, UsageError
from star_features.online.writer import write_batches
from star_features.serving import FeatureReader

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = "star_features.online.sqlite.FastSqliteOnlineStore"
Connect = Callable[..., FeatureReader]


def test_a_request_holds_vectors_in_the_order_of_the_ids(connect: Connect) -> None:
    request = connect().read("m1", ["j3", "j1", "j9", "j3"])
    job_star = request.jobs["job_star"]
    assert job_star.vectors_ND.dtype == np.float32
    assert job_star.vectors_ND.tolist() == [[3, 4], [1, 0], [0, 0], [3, 4]]
    assert job_star.present_N.tolist() == [True, True, False, True]
    assert (job_star.space, request.member["member_star"].space) == (
        "job_graph_v1@aa",
        "member_graph_v1@aa",
    )
    assert request.jobs.features == {"job_attributes__city": [None, "Ulm", None, None]}
    assert (job_star.vectors_ND @ request.member["member_star"].vectors_ND[0]).tolist() == [
        11,
        1,
        0,
        11,
    ]


def test_what_is_missing_is_said_by_name(connect: Connect) -> None:
    request = connect().read("m9", ["j1", "j4", "j9"])
    assert request.missing == {"member_star": ["m9"], "job_star": ["j4", "j9"]}
    assert request.member["member_star"].space is None
    assert request.jobs.features["job_attributes__city"] == ["Ulm", "Köln", None]


def test_age_is_counted_from_the_content_and_nan_where_there_is_none(connect: Connect) -> None:
    request = connect().read("m1", ["j9", "j1"])
    ages = request.jobs["job_star"].age_seconds(NOON + timedelta(seconds=90)).tolist()
    assert ages[1] == 90
    assert np.isnan(ages[0])


def test_no_jobs_make_an_empty_request(connect: Connect) -> None:
    request = connect().read("m1", [])
    assert len(request.jobs["job_star"].vectors_ND) == 0
    assert request.missing == {}


@pytest.mark.parametrize("service", ["ranker_member", "ranker_job"])
def test_a_reader_reads_what_feast_reads(
    store: FeatureStore, connect: Connect, service: str
) -> None:
    ids = ["j1", "j2", "j3", "j4", "j9", "j1"]
    key, asked = ("job_id", ids) if service == "ranker_job" else ("member_id", ["m1"])
    feast = store.get_online_features(
        store.get_feature_service(service), [{key: i} for i in asked], full_feature_names=True
    ).to_dict()
    request = connect().read("m1", ids)
    side = request.jobs if service == "ranker_job" else request.member
    ours: dict[str, list[Any]] = {key: asked, **{k: list(v) for k, v in side.features.items()}}
    for name, signal in side.signals.items():
        there = list(zip(signal.vectors_ND.tolist(), signal.present_N, strict=True))
        ours[f"{name}__vector"] = [vector if present else None for vector, present in there]
        ours[f"{name}__space"] = [signal.space if present else None for _, present in there]
    assert ours == feast


def test_the_asynchronous_twin_reads_the_same(connect: Connect) -> None:
    reader = connect()

    async def both() -> list[Any]:
        return await asyncio.gather(*(reader.read_async("m1", [j]) for j in ("j1", "j3")))

    found = [request.jobs["job_star"].vectors_ND.tolist() for request in asyncio.run(both())]
    assert found == [[[1, 0]], [[3, 4]]]


def test_fifty_asynchronous_reads_wait_at_the_same_time(
    opened: Callable[[str], FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read waits until all fifty are in the store; the event loop has its turns meanwhile."""
    reader, all_here = FeatureReader(opened(FAST)), threading.Barrier(50)
    read = reader.source.read

    def meet(*asked: Any) -> Any:
        all_here.wait(timeout=20)
        return read(*asked)

    monkeypatch.setattr(reader.source, "read", meet)

    async def everybody() -> list[Any]:
        waiting = [asyncio.create_task(reader.read_async("m1", ["j3"])) for _ in range(49)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        return await asyncio.gather(reader.read_async("m1", ["j1"]), *waiting)

    found = [request.jobs["job_star"].vectors_ND.tolist() for request in asyncio.run(everybody())]
    assert found == [[[1, 0]], *[[[3, 4]]] * 49]


def test_one_signal_in_two_spaces_is_refused(store: FeatureStore, connect: Connect) -> None:
    overwrite(store, "j2", "job_graph_v1@other", [5, 5])
    reader = connect()
    assert reader.read("m1", ["j1", "j3"]).jobs["job_star"].space == "job_graph_v1@aa"
    with pytest.raises(SpaceMismatch):
        reader.read("m1", ["j1", "j2"])


def test_a_service_whose_sides_are_two_versions_is_refused(
    store: FeatureStore, connect: Connect, redefine: Callable[[str], None]
) -> None:
    reader = connect()
    redefine("v2")
    assert reader.read("m1", ["j1"]).jobs["job_star"].space == "job_graph_v1@aa"  # still cached
    store.refresh_registry()
    with pytest.raises(SpaceMismatch, match="job_graph_v2, but the pair of member_graph_v1"):
        reader.read("m9", ["j1"])


def test_a_table_with_vectors_of_another_version_is_refused(
    store: FeatureStore, connect: Connect
) -> None:
    for job in ("j1", "j2"):
        overwrite(store, job, "job_graph_v2@bb", [5, 5])
    with pytest.raises(SpaceMismatch, match="the pair of member_graph_v1@aa"):
        connect().read("m1", ["j1", "j2"])


def test_both_sides_come_from_one_row_of_the_registry(
    store: FeatureStore, connect: Connect, redefine: Callable[[str], None]
) -> None:
    """A release moves three rows one after the other; this one decides for a reader."""
    half = store.get_feature_service("ranker_job")
    redefine("v2")
    moved = store.get_feature_service("ranker_job")
    assert half != moved
    ranker = store.get_feature_service("ranker")
    ranker.feature_view_projections = [
        *store.get_feature_service("ranker_member").feature_view_projections,
        *half.feature_view_projections,
    ]
    store.registry.apply_feature_service(ranker, store.project)
    store.refresh_registry()
    request = connect().read("m1", ["j1"])
    assert request.jobs["job_star"].view == "job_graph_v1"
    assert request.member["member_star"].view == "member_graph_v1"


def test_a_space_that_the_ranker_was_not_trained_in_is_refused(connect: Connect) -> None:
    connect(expect={"job_star": "job_graph_v1@aa"}).read("m1", ["j1"])
    with pytest.raises(SpaceMismatch, match="job_graph_v1@aa, but job_graph_v1@zz"):
        connect(expect={"job_star": "job_graph_v1@zz"}).read("m1", ["j1"])


def test_a_vector_of_another_width_than_its_neighbours_is_refused(
    store: FeatureStore, connect: Connect
) -> None:
    overwrite(store, "j2", "job_graph_v1@aa", [5, 5, 5])
    with pytest.raises(StoreError, match="3 numbers where the view promises 2"):
        connect().read("m1", ["j1", "j2"])


def test_a_vector_without_its_space_is_refused(store: FeatureStore, connect: Connect) -> None:
    overwrite(store, "j2", None, [5, 5])
    with pytest.raises(StoreError, match="without its space"):
        connect().read("m1", ["j2"])


def test_a_service_of_one_side_is_refused(connect: Connect) -> None:
    with pytest.raises(UsageError, match=r"nothing keyed by job_id.*such as ranker"):
        connect("ranker_member")


def test_a_service_that_is_not_there_names_those_that_are(connect: Connect) -> None:
    with pytest.raises(UsageError, match="'rankr'; known: ranker, ranker_job, ranker_member"):
        connect("rankr")


@pytest.mark.parametrize(
    "module",
    ["star_features.serving", "star_features.serving.over_http", "star_features.serving.packed"],
)
def test_a_ranker_starts_without_what_takes_long_to_import(module: str) -> None:
    heavy = ("torch", "dgl", "pandas", "feast", "pyarrow", "asyncio", "pydantic")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def overwrite(store: FeatureStore, job: str, space: str | None, vector: list[float]) -> None:
    utc = pa.timestamp("us", tz="UTC")
    batch = pa.record_batch(
        {
            "job_id": [job],
            "vector": pa.array([np.float32(vector)], pa.list_(pa.float32())),
            "space": pa.array([space], pa.string()),
            "event_timestamp": pa.array([NOON + timedelta(hours=1)], utc),
            "created": pa.array([NOON + timedelta(hours=1)], utc),
        }
    )
    write_batches(store, "job_graph_v1", [batch])
