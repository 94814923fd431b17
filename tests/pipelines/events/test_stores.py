"""On every online store: what is older never overwrites what is newer, and what is gone is gone."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from feast import Entity, FeatureView, Field, FileSource, PushSource
from feast.data_source import PushMode
from feast.types import Array, Float32, String

from benchmarks.servers import postgres_server, redis_server
from pipelines.events.compute import NewRow
from pipelines.home import Home
from star_features.spaces import unit
from star_features.store.feast_store import config_path, open_store

FAST = {
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}
MAY, JUNE, JULY = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"
VIEW = "job_text_v1"


@pytest.fixture(scope="module", params=["sqlite", "redis", "postgres"])
def on_store(
    request: pytest.FixtureRequest,
    copied: Callable[[Path], Home],
    at_work: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A worker whose home has this online store."""
    folder = tmp_path_factory.mktemp(request.param)
    home = copied(folder)
    with ExitStack() as stack:
        if request.param != "sqlite":
            server = {"redis": redis_server, "postgres": postgres_server}[request.param]
            use(home, {"type": FAST[request.param], **stack.enter_context(server(folder))})
        yield stack.enter_context(at_work(home))


def use(home: Home, online: dict[str, Any]) -> None:
    """Another online store, with Feast's tables in it."""
    path = config_path(home.path)
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"online_store": online}))
    store = open_store(home.repo, home.path)
    views = store.list_feature_views()
    store._get_provider().online_store.update(store.config, [], views, [], [], False)


def row(id: str, number: int, content_us: int, computed_us: int) -> NewRow:
    vector_D = unit(np.eye(384, dtype=np.float32)[number : number + 1] + 0.1)[0]
    return NewRow(VIEW, "job", id, "a space", vector_D, None, "", content_us, computed_us)


def stored(place: Any, id: str) -> int:
    return int(np.argmax(place.online(VIEW, id)[0].numbers_D))


@pytest.mark.parametrize(
    ("content_us", "computed_us", "replaces"),
    [(6_000_000, 1, True), (4_000_000, 99, False), (5_000_000, 8, False), (5_000_000, 10, True)],
    ids=["newer", "older", "as new, computed before", "as new, computed later"],
)
def test_the_store_itself_keeps_what_is_newer(
    on_store: Any, content_us: int, computed_us: int, replaces: bool
) -> None:
    id, views = on_store.name(), on_store.worker.applying.views
    views.write(VIEW, [row(id, 1, content_us=5_000_000, computed_us=9)])
    views.write(VIEW, [row(id, 2, content_us, computed_us)])
    assert stored(on_store, id) == (2 if replaces else 1)


def test_a_worker_on_this_store_does_what_it_does_on_any(on_store: Any, tell: Any) -> None:
    id = on_store.name()
    assert on_store.work(tell.job(id, JUNE, "zebra"))["changed"] == 1
    before = on_store.state({"job": [id]}, str)
    assert on_store.work(tell.job(id, MAY, "older"))["stale"] == 1
    assert on_store.state({"job": [id]}, str) == before
    assert on_store.work(tell.gone("job", id, JUNE))["deleted"] == 1
    assert [on_store.online(view, id) for view in on_store.views("job")] == [None, None]
    assert on_store.work(tell.job(id, MAY))["stale"] == 1
    assert on_store.online(VIEW, id) is None
    assert on_store.work(tell.job(id, JULY))["changed"] == 1
    assert on_store.online(VIEW, id) is not None


def test_what_feast_pushes_and_what_a_worker_writes_are_the_same_bytes(
    place: Any, tell: Any, tmp_path: Path
) -> None:
    """A push source of the same fields, filled by Feast's own `push`."""
    id = place.name()
    place.work(tell.job(id, MAY, "porter"))
    store = place.worker.applying.views.store
    vector, space, _ = place.online(VIEW, id)
    file = FileSource(
        name="pushed_file", path=str(tmp_path / "x.parquet"), timestamp_field="event_timestamp"
    )
    pushed = FeatureView(
        name="pushed_job_text",
        entities=[Entity(name="job", join_keys=["job_id"])],
        schema=[
            Field(name="vector", dtype=Array(Float32)),
            Field(name="space", dtype=String),
            Field(name="job_id", dtype=String),
        ],
        source=PushSource(name="job_text_pushed", batch_source=file),
    )
    store.apply([pushed])
    at = pd.Timestamp(MAY)
    frame = pd.DataFrame(
        {
            "job_id": [id],
            "vector": [vector.numbers_D.tolist()],
            "space": [space],
            "event_timestamp": [at],
        }
    )
    store.push("job_text_pushed", frame, to=PushMode.ONLINE)
    assert cells(store, "pushed_job_text", id) == cells(store, VIEW, id)


def cells(store: Any, view: str, id: str) -> list[Any]:
    """Key, feature and value as SQLite holds them."""
    with sqlite3.connect(store.config.online_store.path) as db:
        rows = db.execute(
            f"SELECT entity_key, feature_name, value, event_ts FROM star_{view} ORDER BY 1, 2"
        ).fetchall()
    return [row for row in rows if id.encode() in row[0]]
