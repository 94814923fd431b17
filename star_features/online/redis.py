"""
Redis, faster: `type: star_features.online.redis.FastRedisOnlineStore`.

Feast's hashes: one an entity, a field a feature. Reads of all views go out as one packed pipeline.
Writes are compared and stored by a script inside the server, so that two writers cannot race, and
a chunk is packed while the server still works on the one before.

Feast keeps no `created` here: it travels unseen in the stored event time (`wire.timestamp`).

Shapes: N entities.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Literal

import numpy as np
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from pydantic import model_validator
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, TimeoutError

from star_features.errors import StoreError, UsageError
from star_features.online.columns import (
    ColumnarStore,
    Columns,
    Page,
    Rows,
    ViewRead,
    online_name,
)
from star_features.online.wire import NEVER, event_times, key_prefix, timestamp

CHUNK_BYTES = 256 << 10
"""What one script call carries: the server answers nobody else meanwhile, for about 1 ms."""

ROWS_A_SCRIPT = 500

# KEYS: entities. ARGV: seconds to live, the field names (event time first), then the values of
# every entity in that order. Times are compared as (seconds, nanoseconds, created).
SCRIPT = """
local function parse(stamp)
  local seconds, nanos, at = 0, 0, 1
  while at <= #stamp do
    local tag, number, below, scale, first = stamp:byte(at), 0, 0, 1, at + 1
    if tag ~= 8 and tag ~= 16 then break end
    local byte
    repeat
      at = at + 1
      byte = stamp:byte(at)
      number = number + (byte % 128) * scale
      if at < first + 9 then below = below + (127 - byte % 128) * scale end
      scale = scale * 128
    until byte < 128
    if at == first + 9 then number = -(below + 1) end -- ten bytes: before 1970
    at = at + 1
    if tag == 8 then seconds = number else nanos = number end
  end
  local created = -math.huge
  if stamp:byte(at) == 121 then created = struct.unpack('<i8', stamp, at + 1) end
  return seconds, nanos, created
end
local function older(new, old)
  if new == old then return false end
  local s1, n1, c1 = parse(new)
  local s2, n2, c2 = parse(old)
  if s1 ~= s2 then return s1 < s2 end
  if n1 ~= n2 then return n1 < n2 end
  return c1 < c2
end
local ttl, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = 2 + fields
for place, key in ipairs(KEYS) do
  local stored = redis.call('HGET', key, ARGV[3])
  if not (stored and older(ARGV[at + 1], stored)) then
    local row = {}
    for n = 1, fields do
      row[2 * n - 1] = ARGV[2 + n]
      row[2 * n] = ARGV[at + n]
    end
    redis.call('HSET', key, unpack(row))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
  end
  at = at + fields
end
"""
SHA = hashlib.sha1(SCRIPT.encode()).hexdigest().encode()  # how Redis names a script


class FastRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]
    """Feast's settings, for one server or Sentinel."""

    type: Literal["star_features.online.redis.FastRedisOnlineStore"] = (
        "star_features.online.redis.FastRedisOnlineStore"
    )

    @model_validator(mode="after")
    def _one_server(self) -> "FastRedisOnlineStoreConfig":
        if self.redis_type == "redis_cluster" or self.client != "redis":
            raise UsageError(
                f"{self.type} speaks to one Redis server or Sentinel through redis-py; got"
                f" redis_type {self.redis_type.value}, client {self.client.value}."
                " For these take Feast's own store: type: redis"
            )
        return self


class FastRedisOnlineStore(ColumnarStore, RedisOnlineStore):  # type: ignore[misc]
    """Feast's Redis store with packed pipelines and an order that holds against races."""

    def read_columns(self, config: RepoConfig, reads: Sequence[ViewRead]) -> list[Columns]:
        project = config.project.encode()
        request = b"".join(_asks(read, project) for read in reads)
        count = sum(len(read.keys) for read in reads)
        replies = self._talk(config, lambda connection: _replies(connection, request, count))
        columns, start = [], 0
        for read in reads:
            columns.append(_columns(read, replies[start : start + len(read.keys)]))
            start += len(read.keys)
        return columns

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: Rows) -> None:
        name = online_name(config, table)
        lived = config.online_store.key_ttl_seconds or 0
        fields = _fields(name, rows.values)
        keys = [key + config.project.encode() for key in rows.keys]
        self._talk(config, lambda connection: _send(connection, lived, fields, keys, rows))

    def delete_rows(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> int:
        names = [feature.name for feature in table.features]
        fields = _fields(online_name(config, table), names)
        stored = [key + config.project.encode() for key in dict.fromkeys(keys)]
        replies = self._talk(config, lambda connection: _delete(connection, fields, stored))
        return sum(removed > 0 for removed in replies)

    def scan(self, config: RepoConfig, table: FeatureView, rows: int = 5_000) -> Iterator[Page]:
        """As in ColumnarStore. Redis walks over all it holds and shows this entity's hashes."""
        project = config.project.encode()
        prefix = key_prefix(table.join_keys[0])
        features = tuple(feature.name for feature in table.features)
        name = online_name(config, table)
        client = self._get_client(config.online_store)
        pattern = _literally(prefix) + b"*" + _literally(project)
        shown = self._answered(client.scan_iter(match=pattern, count=rows))
        while found := list(islice(shown, rows)):
            keys = [key.removesuffix(project) for key in dict.fromkeys(found)]
            (read,) = self.read_columns(config, [ViewRead(name, features, keys)])
            there = [place for place, at in enumerate(read.event_us_N.tolist()) if at != NEVER]
            yield Page(
                [keys[place] for place in there],
                Columns(
                    [[column[place] for place in there] for column in read.values],
                    read.event_us_N[there],
                ),
            )

    def delete_entities(
        self, config: RepoConfig, tables: Sequence[FeatureView], keys: Sequence[bytes]
    ) -> int:
        """Whole hashes: fields of views that were taken out of the repository stay in them."""
        project = config.project.encode()
        words = [b"DEL", *(key + project for key in dict.fromkeys(keys))]
        request = b"*%d\r\n" % len(words) + b"".join(map(_bulk, words))
        if not keys:
            return 0
        return sum(self._talk(config, lambda connection: _replies(connection, request, 1)))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Feast's asynchronous write, in a thread, so that it keeps the same order."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""
        client, self._client = getattr(self, "_client", None), None
        if client:
            client.close()

    def _answered(self, keys: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from keys
        except RedisError as error:
            raise StoreError(f"the Redis online store cannot be read: {error}") from error

    def _talk(self, config: RepoConfig, say: Callable[[Any], list[Any]]) -> list[Any]:
        """Say something on a pooled connection, once more where the connection had gone stale.

        Both what we read and what we write may be said twice.
        """
        pool = self._get_client(config.online_store).connection_pool
        try:
            with suppress(RedisConnectionError, TimeoutError), _borrowed(pool) as connection:
                return say(connection)
            with _borrowed(pool) as connection:
                return say(connection)
        except (RedisConnectionError, TimeoutError) as error:
            raise StoreError(f"the Redis online store cannot be reached: {error}") from error
        except RedisError as error:
            raise StoreError(f"the Redis online store refused: {error}") from error


@contextmanager
def _borrowed(pool: Any) -> Iterator[Any]:
    """A connection of the pool; one that failed may still have replies coming, so it is cut."""
    connection = pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _fields(name: str, features: Iterable[str]) -> list[bytes]:
    """Where a view's rows stand in an entity's hash: the event time, then every feature."""
    return [f"_ts:{name}".encode(), *(_mmh3(f"{name}:{feature}") for feature in features)]


def _literally(text: bytes) -> bytes:
    """Bytes as a pattern that only they match."""
    return re.sub(rb"([*?\[\]\\^])", rb"\\\1", text)


def _asks(read: ViewRead, project: bytes) -> bytes:
    """One HMGET an entity: the event time, then every feature."""
    fields = _fields(read.table, read.features)
    head = b"*%d\r\n" % (2 + len(fields)) + _bulk(b"HMGET")
    tail = project + b"\r\n" + b"".join(map(_bulk, fields))
    extra = len(project)
    return b"".join([b"%b$%d\r\n%b%b" % (head, len(key) + extra, key, tail) for key in read.keys])


def _delete(connection: Any, fields: list[bytes], keys: list[bytes]) -> list[int]:
    """One HDEL an entity; a hash without fields is gone by itself."""
    tail = b"".join(map(_bulk, fields))
    head = b"*%d\r\n" % (2 + len(fields)) + _bulk(b"HDEL")
    removed: list[int] = []
    for start in range(0, len(keys), ROWS_A_SCRIPT):
        part = keys[start : start + ROWS_A_SCRIPT]
        connection.send_packed_command([b"".join(head + _bulk(key) + tail for key in part)])
        removed += [int(connection.read_response()) for _ in part]
    return removed


def _replies(connection: Any, request: bytes, count: int) -> list[Any]:
    if not count:
        return []
    connection.send_packed_command([request])
    return [connection.read_response(disable_decoding=True) for _ in range(count)]


def _columns(read: ViewRead, replies: list[list[bytes | None]]) -> Columns:
    if not replies:
        return Columns([[] for _ in read.features], np.zeros(0, dtype=np.int64))
    stamps, *values = zip(*replies, strict=True)
    return Columns(list(map(list, values)), event_times(stamps))


def _send(
    connection: Any, lived: int, fields: list[bytes], keys: list[bytes], rows: Rows
) -> list[Any]:
    """Send all rows; at most two calls are on their way at a time."""
    waiting = [LOAD]
    connection.send_packed_command([LOAD])
    for call in _calls(lived, fields, keys, rows):
        connection.send_packed_command([call], check_health=False)
        waiting.append(call)
        if len(waiting) > 2:
            connection.read_response()
            waiting.pop(0)
    for _ in waiting:
        connection.read_response()
    return []


def _calls(lived: int, fields: list[bytes], keys: list[bytes], rows: Rows) -> Iterator[bytes]:
    """The packed script calls."""
    times = zip(rows.event_us_N.tolist(), rows.created_us_N.tolist(), strict=True)
    columns = [[timestamp(event, created) for event, created in times], *rows.values.values()]
    named = b"".join(map(_bulk, [b"%d" % lived, b"%d" % len(fields), *fields]))
    row_bytes = sum(len(value) for column in columns for value in column) // max(1, len(rows))
    step = max(1, min(ROWS_A_SCRIPT, CHUNK_BYTES // max(1, row_bytes)))
    for start in range(0, len(rows), step):
        part = keys[start : start + step]
        words = 3 + len(part) + 2 + len(fields) + len(part) * len(columns)
        pieces = [b"*%d\r\n" % words, EVALSHA, _bulk(b"%d" % len(part)), *map(_bulk, part), named]
        for values in zip(*(column[start : start + step] for column in columns), strict=True):
            pieces += map(_bulk, values)
        yield b"".join(pieces)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


LOAD = b"*3\r\n" + b"".join(map(_bulk, [b"SCRIPT", b"LOAD", SCRIPT.encode()]))
EVALSHA = _bulk(b"EVALSHA") + _bulk(SHA)
