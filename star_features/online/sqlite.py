"""
SQLite, faster: `type: star_features.online.sqlite.FastSqliteOnlineStore`.

Feast's tables, one row a feature, read by one query a view and written by one upsert a batch.
Readers go on while a batch is written (write-ahead log); no two
threads use one connection at the same time.

Feast keeps whole seconds here. Two columns of ours, `event_us` and `created_us`, hold the times
exactly; Feast neither reads nor writes them, so they count only while they agree with `event_ts`.

Shapes: N entities.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from numpy.typing import NDArray
from pydantic import model_validator

from star_features.errors import StoreError
from star_features.online.columns import (
    ColumnarStore,
    Columns,
    Page,
    Rows,
    ViewRead,
    cells_of,
    gathered,
    online_name,
    whole,
)
from star_features.online.texts import refuse_search, texts_of
from star_features.online.wire import NEVER

KEYS_A_QUERY = 512
FEATURES_A_QUERY = 40  # SQLite joins at most 64 tables
MICROS = 1_000_000
EXACT = ("event_us", "created_us")

# Newer, or as new and computed no earlier. Exact where both columns agree with Feast's.
GUARD = """
    CASE WHEN stored.event_us - stored.event_ts * 1000000 BETWEEN 0 AND 999999
    THEN (excluded.event_us, excluded.created_us) >= (stored.event_us, stored.created_us)
    ELSE excluded.event_ts >= stored.event_ts END
"""


class FastSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]
    """Feast's settings; vector search inside SQLite is not offered."""

    type: Literal["star_features.online.sqlite.FastSqliteOnlineStore"] = (
        "star_features.online.sqlite.FastSqliteOnlineStore"
    )
    busy_seconds: float = 30.0
    """How long a write waits for another writer before it fails."""

    @model_validator(mode="after")
    def _no_search(self) -> "FastSqliteOnlineStoreConfig":
        refuse_search(self)
        return self


class FastSqliteOnlineStore(ColumnarStore, SqliteOnlineStore):  # type: ignore[misc]
    """Feast's SQLite store with column reads, one-statement writes and an order."""

    def __init__(self) -> None:
        self._idle: list[sqlite3.Connection] = []
        self._exact: set[str] = set()

    def read_columns(self, config: RepoConfig, reads: Sequence[ViewRead]) -> list[Columns]:
        with self._borrowed(config) as db:
            return [_read(db, f"{config.project}_{read.table}", read) for read in reads]

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: Rows) -> None:
        name = f"{config.project}_{online_name(config, table)}"
        try:
            with self._borrowed(config) as db:
                self._ensure_exact(db, name)
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    db.executemany(_upsert(name), _tuples(rows))
        except sqlite3.OperationalError as error:
            raise StoreError(_why(error, name)) from error

    def delete_rows(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> int:
        """As in ColumnarStore; the freed bytes are overwritten, so that no id or text stays."""
        name = f"{config.project}_{online_name(config, table)}"
        try:
            with self._borrowed(config) as db:
                db.execute("PRAGMA secure_delete=ON")
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    return _delete(db, name, keys)
        except sqlite3.OperationalError as error:
            raise StoreError(_why(error, name)) from error

    def scan(self, config: RepoConfig, table: FeatureView, rows: int = 5_000) -> Iterator[Page]:
        """As in ColumnarStore, by key: no transaction stays open between two pages."""
        name = f"{config.project}_{online_name(config, table)}"
        features = [feature.name for feature in table.features]
        most, last = cells_of(rows, features), b""
        while True:
            try:
                with self._borrowed(config) as db:
                    cells = whole(db.execute(_after(name), (last, most)).fetchall(), most)
            except sqlite3.OperationalError as error:
                raise StoreError(_why(error, name)) from error
            if not cells:
                return
            keys, columns = gathered(cells, features)
            yield Page(keys, Columns(columns.values, _event_us(columns.event_us_N.tolist())))
            last = keys[-1]

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        self.disconnect()
        super().teardown(config, tables, entities)
        for suffix in ("-wal", "-shm"):
            Path(self._get_db_path(config) + suffix).unlink(missing_ok=True)

    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""
        while self._idle:
            self._idle.pop().close()
        self._exact.clear()

    @contextmanager
    def _borrowed(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile: as many stay open as ever met."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = _connected(Path(self._get_db_path(config)), config.online_store.busy_seconds)
        try:
            yield db
        except BaseException:
            db.close()
            raise
        self._idle.append(db)

    def _ensure_exact(self, db: sqlite3.Connection, name: str) -> None:
        if name in self._exact:
            return
        there = {row[1] for row in db.execute(f"PRAGMA table_info({_quoted(name)})")}
        for column in EXACT:
            if there and column not in there:
                _add_column(db, name, column)
        self._exact.add(name)


def _connected(path: Path, busy_seconds: float) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(
        path,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    with suppress(sqlite3.OperationalError):  # somebody writes: the next connection switches
        db.execute("PRAGMA journal_mode=WAL")
    return db


def _read(db: sqlite3.Connection, name: str, read: ViewRead) -> Columns:
    if len(read.features) > FEATURES_A_QUERY:
        halves = [read.features[:FEATURES_A_QUERY], read.features[FEATURES_A_QUERY:]]
        first, rest = (_read(db, name, ViewRead(read.table, half, read.keys)) for half in halves)
        times = np.maximum(first.event_us_N, rest.event_us_N)
        return Columns(first.values + rest.values, times)
    values: list[list[bytes | None]] = [[] for _ in read.features]
    seconds: list[int | None] = []
    for start in range(0, len(read.keys), KEYS_A_QUERY):
        keys = read.keys[start : start + KEYS_A_QUERY]
        try:
            rows = db.execute(_select(name, read.features, len(keys)), keys).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreError(_why(error, name)) from error
        rows.sort(key=itemgetter(0))
        _, *stored, found = zip(*rows, strict=True)
        for column, part in zip(values, stored, strict=True):
            column.extend(part)
        seconds.extend(found)
    return Columns(values, _event_us(seconds))


@lru_cache(maxsize=1024)
def _select(name: str, features: tuple[str, ...], keys: int) -> str:
    """One row an entity, with its place in the request: absent rows too."""
    asked = ",".join(f"({place},?)" for place in range(keys))
    tables = [f"f{n}" for n in range(len(features))]
    joins = " ".join(
        f"LEFT JOIN {_quoted(name)} AS {table} ON {table}.entity_key = asked.entity_key"
        f" AND {table}.feature_name = {_text(feature)}"
        for table, feature in zip(tables, features, strict=True)
    )
    values = ", ".join(f"{table}.value" for table in tables)
    times = ", ".join(f"{table}.event_ts" for table in tables)
    return (
        f"WITH asked(place, entity_key) AS (VALUES {asked}) "
        f"SELECT asked.place, {values}, coalesce({times}, NULL) FROM asked {joins}"
    )


@lru_cache(maxsize=256)
def _after(name: str) -> str:
    return (
        f"SELECT entity_key, feature_name, value, event_ts FROM {_quoted(name)} "
        "WHERE entity_key > ? ORDER BY entity_key, feature_name LIMIT ?"
    )


def _delete(db: sqlite3.Connection, name: str, keys: Sequence[bytes]) -> int:
    gone = 0
    for start in range(0, len(keys), KEYS_A_QUERY):
        part = keys[start : start + KEYS_A_QUERY]
        these = f"FROM {_quoted(name)} WHERE entity_key IN ({','.join('?' * len(part))})"
        count = db.execute(f"SELECT count(DISTINCT entity_key) {these}", part)
        gone += int(count.fetchone()[0])
        db.execute(f"DELETE {these}", part)
    return gone


@lru_cache(maxsize=256)
def _upsert(name: str) -> str:
    columns = (
        "entity_key, feature_name, value, value_text, event_ts, created_ts, event_us, created_us"
    )
    written = columns.split(", ")[2:]
    return (
        f"INSERT INTO {_quoted(name)} AS stored ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET "
        f"{', '.join(f'{column} = excluded.{column}' for column in written)} WHERE {GUARD}"
    )


def _tuples(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """Table rows, sorted by entity so that neighbours fall on one page of the index."""
    order = sorted(range(len(rows)), key=rows.keys.__getitem__)
    event_s, created_s = _feast_seconds(rows.event_us_N), _feast_seconds(rows.created_us_N)
    event_us = event_s * MICROS + rows.event_us_N % MICROS
    times = [t.tolist() for t in (event_s, created_s, event_us, rows.created_us_N)]
    stamps = list(zip(*times, strict=True))
    columns = [(name, stored, texts_of(stored)) for name, stored in sorted(rows.values.items())]
    for row in order:
        for name, stored, texts in columns:
            yield (rows.keys[row], name, stored[row], texts[row], *stamps[row])


def _feast_seconds(times_us_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds as Feast's SQLite store writes them: UTC, read as if it were local time."""
    seconds_N = times_us_N // MICROS
    if _clock_is_utc():
        return seconds_N
    distinct, back = np.unique(seconds_N, return_inverse=True)
    naive = (datetime.fromtimestamp(s, UTC).replace(tzinfo=None) for s in distinct.tolist())
    return np.asarray([int(moment.timestamp()) for moment in naive], dtype=np.int64)[back]


def _event_us(seconds: Sequence[int | None]) -> NDArray[np.int64]:
    """Event times from what Feast wrote: `_feast_seconds`, the other way."""
    times = np.asarray([NEVER if s is None else s for s in seconds], dtype=np.int64)
    there = times != NEVER
    if not _clock_is_utc():
        local = [datetime.fromtimestamp(s).replace(tzinfo=UTC) for s in times[there].tolist()]
        times[there] = [int(moment.timestamp()) for moment in local]
    times[there] *= MICROS
    return times


def _clock_is_utc() -> bool:
    return time.timezone == time.altzone == 0


def _add_column(db: sqlite3.Connection, name: str, column: str) -> None:
    try:
        db.execute(f"ALTER TABLE {_quoted(name)} ADD COLUMN {column} INTEGER")
    except sqlite3.OperationalError as error:
        if "duplicate column" not in str(error):  # another writer was first
            raise


def _why(error: sqlite3.OperationalError, name: str) -> str:
    if "no such table" in str(error):
        return f"the online store has no table {name} yet.\nRun this first: star apply"
    return f"the online store's SQLite file refused: {error}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
