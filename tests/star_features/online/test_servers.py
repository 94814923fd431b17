"""What only a server does: time to live, connections cut, settings that cannot work."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from feast.repo_config import RepoConfig

from star_features.errors import StoreError, UsageError
from star_features.online.writer import write_batches

VIEW = "job_graph_v1"


def on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("both", kinds, indirect=True)


@on("redis")
def test_redis_forgets_an_entity_after_its_time_to_live(world: SimpleNamespace) -> None:
    settings, online = world.fast.config.online_store, world.fast._get_provider().online_store
    settings.key_ttl_seconds = 100
    write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 2, 3])])
    settings.key_ttl_seconds = None
    client = online._get_client(settings)
    (key,) = client.keys("*j1p")
    assert 0 < client.ttl(key) <= 100


@on("redis")
def test_redis_orders_rows_from_before_1970(world: SimpleNamespace) -> None:
    old = world.noon.replace(year=1960)
    for step in (1, 0, 2, -1):
        moment = old + timedelta(seconds=step)
        write_batches(world.fast, VIEW, [world.batch(["j1"], [step] * 3, event=moment)])
    assert world.vectors_of(world.fast, ["j1"]) == {"j1": [2, 2, 2]}


@on("redis", "postgres")
def test_a_cut_connection_is_opened_again(world: SimpleNamespace) -> None:
    write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 2, 3])])
    cut_all_connections(world)
    assert world.vectors_of(world.fast, ["j1"]) == {"j1": [1, 2, 3]}
    cut_all_connections(world)
    write_batches(world.fast, VIEW, [world.batch(["j1"], [4, 5, 6])])
    assert world.vectors_of(world.fast, ["j1"]) == {"j1": [4, 5, 6]}


def cut_all_connections(world: SimpleNamespace) -> None:
    if world.kind == "redis":
        import redis

        host, _, port = world.fast.config.online_store.connection_string.partition(":")
        redis.Redis(host, int(port)).client_kill_filter(_type="normal", skipme=True)
        return
    import psycopg

    place = world.fast.config.online_store
    with psycopg.connect(
        host=place.host, user=place.user, dbname=place.database, autocommit=True
    ) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    world.stock._get_provider().online_store._conn = None


@on("redis")
def test_a_server_that_is_not_there_is_a_readable_error(world: SimpleNamespace) -> None:
    settings, online = world.fast.config.online_store, world.fast._get_provider().online_store
    right = settings.connection_string
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    online.disconnect()
    settings.connection_string = "127.0.0.1:1"
    online._get_client(settings).set_retry(Retry(NoBackoff(), 0))
    with pytest.raises(StoreError, match="cannot be reached"):
        write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 2, 3])])
    online.disconnect()
    settings.connection_string = right


@pytest.mark.parametrize(
    "online",
    [
        {"type": "star_features.online.sqlite.FastSqliteOnlineStore", "vector_enabled": True},
        {"type": "star_features.online.redis.FastRedisOnlineStore", "redis_type": "redis_cluster"},
    ],
    ids=["search in SQLite", "a Redis cluster"],
)
def test_settings_that_the_fast_store_cannot_serve_are_refused(online: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Feast's own store"):
        RepoConfig(project="p", provider="local", registry="unused.db", online_store=online)
