"""A ranker's Feast store: two members, jobs in two versions, attributes; fast or Feast's own."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureService, FeatureStore
from feast.types import String

from benchmarks.small_feast import embedding_view, entity, small_store, view
from star_features.online.writer import write_batches
from star_features.serving import FeatureReader

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = "star_features.online.sqlite.FastSqliteOnlineStore"
Opener = Callable[[str], FeatureStore]


def definitions(root: Path, job_version: str = "v1") -> list[Any]:
    member, job = entity("member"), entity("job")
    views = {
        name: embedding_view(of, name, root / f"{name}.parquet")
        for of, name in ((member, "member_graph_v1"), (job, "job_graph_v1"), (job, "job_graph_v2"))
    }
    attributes = view(job, "job_attributes", root / "attributes.parquet", {"city": String})
    for_member = [views["member_graph_v1"].with_name("member_star")]
    for_job = [views[f"job_graph_{job_version}"].with_name("job_star"), attributes]
    return [
        *(member, job, *views.values(), attributes),
        FeatureService(name="ranker_member", features=for_member),
        FeatureService(name="ranker_job", features=for_job),
        FeatureService(name="ranker", features=for_member + for_job),
    ]


def rows(key: str, ids: list[str], **columns: Any) -> pa.RecordBatch:
    times = pa.array([NOON] * len(ids), pa.timestamp("us", tz="UTC"))
    return pa.record_batch({key: ids, **columns, "event_timestamp": times, "created": times})


def vectors(key: str, space: str, by_id: dict[str, list[float]]) -> pa.RecordBatch:
    lists = pa.array([np.float32(v) for v in by_id.values()], pa.list_(pa.float32()))
    return rows(key, list(by_id), vector=lists, space=[space] * len(by_id))


def open_feast(folder: Path, kind: str) -> FeatureStore:
    return small_store(folder, online={"type": kind, "path": str(folder / "online.db")})


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry and a filled online store; each test gets a copy of it."""
    folder = tmp_path_factory.mktemp("filled")
    store = open_feast(folder, FAST)
    store.apply(definitions(folder))
    writes = {
        "member_graph_v1": vectors("member_id", "member_graph_v1@aa", {"m1": [1, 2]}),
        "job_graph_v1": vectors(
            "job_id", "job_graph_v1@aa", {"j1": [1, 0], "j2": [0, 1], "j3": [3, 4]}
        ),
        "job_graph_v2": vectors("job_id", "job_graph_v2@bb", {"j1": [9, 9, 9]}),
        "job_attributes": rows(
            "job_id", ["j1", "j2", "j4"], city=pa.array(["Ulm", None, "Köln"], pa.string())
        ),
    }
    for name, batch in writes.items():
        write_batches(store, name, [batch])
    store._get_provider().online_store.disconnect()
    return folder


@pytest.fixture
def opened(filled: Path, tmp_path: Path) -> Iterator[Opener]:
    """Open the store by its `type`; m1, j1..j3 and j4 (attributes only) are there, m9 is not."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    stores: list[FeatureStore] = []

    def open_as(kind: str) -> FeatureStore:
        stores.append(open_feast(tmp_path, kind))
        return stores[-1]

    yield open_as
    for store in stores:
        if hasattr(online := store._get_provider().online_store, "disconnect"):
            online.disconnect()


@pytest.fixture
def redefine(tmp_path: Path, opened: Opener) -> Callable[[str], None]:
    """Point `job_star` to another version, as a release does."""
    return lambda version: opened(FAST).apply(definitions(tmp_path, version))


@contextmanager
def serving(store: FeatureStore) -> Iterator[str]:
    """The URL of Feast's feature server with our route, in a thread of this process."""
    import uvicorn
    from feast.feature_server import get_app

    from star_features.serving.server import add_vectors

    app = get_app(store)
    add_vectors(app, store)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(opened: Opener) -> Iterator[str]:
    """The URL of a feature server over the fast store."""
    with serving(opened(FAST)) as url:
        yield url


@pytest.fixture(params=["fast", "feast", "http"])
def place(request: pytest.FixtureRequest, opened: Opener) -> Iterator[tuple[FeatureStore, Any]]:
    """A store, and how to open readers of it: in this process over either class, or over HTTP."""
    store = opened("sqlite" if request.param == "feast" else FAST)
    if request.param != "http":
        yield store, lambda *services, **more: FeatureReader(store, *services, **more)
        return
    with serving(store) as url:
        yield store, lambda *services, **more: FeatureReader.over_http(url, *services, **more)


@pytest.fixture
def store(place: tuple[FeatureStore, Any]) -> FeatureStore:
    return place[0]


@pytest.fixture
def connect(place: tuple[FeatureStore, Any]) -> Callable[..., FeatureReader]:
    return place[1]
