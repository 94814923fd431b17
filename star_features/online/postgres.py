"""
PostgreSQL, faster: `type: star_features.online.postgres.FastPostgreSQLOnlineStore`.

Feast's tables, one row a feature. All views of a request are read by one statement; a batch is
written by statements that carry whole columns as arrays, in one transaction. Connections come from
a pool, one a thread; rows are locked in the order of their keys, so that writers wait in turn.

Shapes: N entities.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Literal, TypeVar

import numpy as np
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from psycopg import Connection, Error, InterfaceError, OperationalError, sql
from psycopg.errors import UndefinedTable
from psycopg.types.numeric import Int8BinaryLoader
from psycopg_pool import ConnectionPool
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

STATEMENT_BYTES = 512 << 10
"""What one statement carries: with eight times as much the server was a quarter slower."""

ATTEMPTS = 3

MICROS_TO_2000 = 946_684_800_000_000  # PostgreSQL counts from 2000
T = TypeVar("T")


class FastPostgreSQLOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]
    """Feast's settings; vector search inside PostgreSQL is not offered."""

    type: Literal["star_features.online.postgres.FastPostgreSQLOnlineStore"] = (
        "star_features.online.postgres.FastPostgreSQLOnlineStore"
    )

    @model_validator(mode="after")
    def _no_search(self) -> "FastPostgreSQLOnlineStoreConfig":
        refuse_search(self)
        return self


class FastPostgreSQLOnlineStore(ColumnarStore, PostgreSQLOnlineStore):  # type: ignore[misc]
    """Feast's PostgreSQL store with column reads, array writes and an order."""

    def __init__(self) -> None:
        self._pool: ConnectionPool[Connection[Any]] | None = None
        self._opening = threading.Lock()

    def read_columns(self, config: RepoConfig, reads: Sequence[ViewRead]) -> list[Columns]:
        asked = [read for read in reads if read.keys]
        tables = tuple(f"{config.project}_{read.table}" for read in asked)
        params = [part for read in asked for part in (read.keys, list(read.features))]
        rows = self._run(config, lambda db: _select(db, tables, params)) if asked else []
        found = iter(_sorted_out(asked, rows))
        empty = np.zeros(0, dtype=np.int64)
        return [
            next(found) if read.keys else Columns([[] for _ in read.features], empty)
            for read in reads
        ]

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: Rows) -> None:
        rows = rows.once_each()
        statement = _upsert(f"{config.project}_{online_name(config, table)}", tuple(rows.values))
        self._run(config, lambda db: _write(db, statement, rows))

    def delete_rows(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> int:
        statement = sql.SQL(
            "WITH gone AS (DELETE FROM {} WHERE entity_key = ANY(%b::bytea[]) RETURNING entity_key)"
            " SELECT count(DISTINCT entity_key) FROM gone"
        ).format(sql.Identifier(f"{config.project}_{online_name(config, table)}"))
        asked = sorted(set(keys))
        (count,) = self._run(config, lambda db: db.execute(statement, [asked]).fetchone()) or (0,)
        return int(count)

    def scan(self, config: RepoConfig, table: FeatureView, rows: int = 5_000) -> Iterator[Page]:
        """As in ColumnarStore, by key: no transaction stays open between two pages."""
        features = [feature.name for feature in table.features]
        most, last = cells_of(rows, features), b""
        statement = _after(f"{config.project}_{online_name(config, table)}")
        while True:
            cells = whole(self._run(config, partial(_fetch, statement, [last, most])), most)
            if not cells:
                return
            keys, columns = gathered(cells, features)
            yield Page(keys, Columns(columns.values, columns.event_us_N + MICROS_TO_2000))
            last = keys[-1]

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        super().teardown(config, tables, entities)
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""
        pool, self._pool = self._pool, None
        if pool:
            pool.close()

    @contextmanager
    def _get_conn(
        self, config: RepoConfig, autocommit: bool = False
    ) -> Generator[Connection[Any], None, None]:
        """What Feast's own methods (apply, teardown) ask for a connection."""
        with self._connections(config).connection() as db:
            db.set_autocommit(autocommit)
            try:
                yield db
            finally:
                db.rollback()
                db.set_autocommit(True)

    def _run(self, config: RepoConfig, work: Callable[[Connection[Any]], T]) -> T:
        """Run on a pooled connection; again where it had gone stale or met a deadlock.

        Both what we read and what we write may be run twice.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self._connections(config).connection() as db:
                    return work(db)
            except UndefinedTable as error:
                raise StoreError(f"{error}Run this first: star apply") from error
            except (OperationalError, InterfaceError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise StoreError(f"the PostgreSQL online store: {error}") from error
                self._connections(config).check()  # a restarted server cut all of them at once
            except Error as error:
                raise StoreError(f"the PostgreSQL online store refused: {error}") from error
        raise AssertionError("unreachable")

    def _connections(self, config: RepoConfig) -> "ConnectionPool[Connection[Any]]":
        with self._opening:
            if self._pool is None:
                settings = config.online_store
                self._pool = ConnectionPool(
                    conninfo=_get_conninfo(settings),
                    min_size=settings.min_conn,
                    max_size=max(settings.min_conn, settings.max_conn),
                    kwargs={**_get_conn_kwargs(settings), "autocommit": True},
                    open=True,
                )
            return self._pool


def _select(db: Connection[Any], tables: tuple[str, ...], params: list[Any]) -> list[Any]:
    return _fetch(_read_statement(tables), params, db)


def _fetch(statement: sql.Composed, params: list[Any], db: Connection[Any]) -> list[Any]:
    cursor = db.cursor(binary=True)
    cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)  # as it travels: a number
    return cursor.execute(statement, params, prepare=True).fetchall()


@lru_cache(maxsize=256)
def _after(name: str) -> sql.Composed:
    return sql.SQL(
        "SELECT entity_key, feature_name, value, event_ts FROM {}"
        " WHERE entity_key > %b::bytea ORDER BY entity_key, feature_name LIMIT %b::int8"
    ).format(sql.Identifier(name))


@lru_cache(maxsize=256)
def _read_statement(tables: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(" UNION ALL ").join(
        sql.SQL(
            "SELECT {place}::int4, entity_key, feature_name, value, event_ts FROM {table}"
            " WHERE entity_key = ANY(%b::bytea[]) AND feature_name = ANY(%b::text[])"
        ).format(place=sql.Literal(place), table=sql.Identifier(table))
        for place, table in enumerate(tables)
    )


def _sorted_out(reads: Sequence[ViewRead], rows: list[Any]) -> list[Columns]:
    """Put every row where its view, feature and entity stand in the request."""
    places = [{key: place for place, key in enumerate(read.keys)} for read in reads]
    values: list[dict[str, list[bytes | None]]] = [
        {name: [None] * len(read.keys) for name in read.features} for read in reads
    ]
    times = [[NEVER] * len(read.keys) for read in reads]
    for view, key, feature, value, event in rows:
        place = places[view][key]
        values[view][feature][place] = value
        times[view][place] = event + MICROS_TO_2000
    return [
        Columns(list(columns.values()), np.asarray(event_us, dtype=np.int64))
        for columns, event_us in zip(values, times, strict=True)
    ]


def _write(db: Connection[Any], statement: sql.Composed, rows: Rows) -> None:
    """All rows in one transaction: a commit waits for the disk, whatever it carries."""
    with db.transaction():
        for params in _arrays(rows):
            db.execute(statement, params)


@lru_cache(maxsize=256)
def _upsert(name: str, features: tuple[str, ...]) -> sql.Composed:
    """One statement for arrays of keys and times, and of values and texts a feature."""
    names = [f"v{n}" for n in range(len(features))]
    arrays = ", ".join(
        ["%b::bytea[], %b::int8[], %b::int8[]", *["%b::bytea[], %b::text[]"] * len(names)]
    )
    columns = ", ".join(["key, event_us, created_us", *(f"{v}, {v}_text" for v in names)])
    each = sql.SQL(", ").join(
        sql.SQL("({}, {}, {})").format(
            sql.Literal(feature), sql.Identifier(v), sql.Identifier(f"{v}_text")
        )
        for feature, v in zip(features, names, strict=True)
    )
    return sql.SQL(
        "INSERT INTO {table} AS stored"
        " (entity_key, feature_name, value, value_text, event_ts, created_ts)"
        " SELECT key, feature, value, value_text,"
        " timestamptz 'epoch' + event_us * interval '1 microsecond',"
        " timestamptz 'epoch' + created_us * interval '1 microsecond'"
        " FROM unnest({arrays}) AS row ({columns}),"
        " LATERAL (VALUES {each}) AS feature (feature, value, value_text)"
        " ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value,"
        " value_text = excluded.value_text, event_ts = excluded.event_ts,"
        " created_ts = excluded.created_ts"
        " WHERE (excluded.event_ts, excluded.created_ts)"
        " >= (stored.event_ts, coalesce(stored.created_ts, '-infinity'))"
    ).format(
        table=sql.Identifier(name),
        arrays=sql.SQL(arrays),
        columns=sql.SQL(columns),
        each=each,
    )


def _arrays(rows: Rows) -> Iterator[list[Any]]:
    """Parameters of `_upsert`, sorted by entity: of two writers one then waits, never both."""
    order = sorted(range(len(rows)), key=rows.keys.__getitem__)
    row_bytes = sum(len(v) for column in rows.values.values() for v in column) // max(1, len(rows))
    step = max(1, STATEMENT_BYTES // max(1, row_bytes))
    texts = {name: texts_of(column) for name, column in rows.values.items()}
    for start in range(0, len(order), step):
        part = order[start : start + step]
        params: list[Any] = [
            [rows.keys[row] for row in part],
            rows.event_us_N[part].tolist(),
            rows.created_us_N[part].tolist(),
        ]
        for name, column in rows.values.items():
            params += [[column[row] for row in part], [texts[name][row] for row in part]]
        yield params
