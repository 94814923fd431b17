"""
What the newest vector of every entity is, view by view, and how far it got.

    with ledger.begin() as db:
        record(db, Computed(view, ids, spaces, hashes, checksums, content_us, computed_us), now_us)
    for page in pending(ledger, "job_text_v1", store):      # in bounded memory
        ...                                                 # write them online, then:
        with ledger.begin() as db:
            mark_online(db, "job_text_v1", page, store, now_us)

One order everywhere, that of the online stores: newer content wins, of equal content the newer
computation, and what is older changes nothing. `store` names an online store by a fingerprint of
where it is (`star_features.store.feast_store.fingerprint`): in another one everything is pending.

Shapes: N rows.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import ColumnElement

from star_features.ledger.dialect import parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Part, Tombstone, Vector

PAGE = 10_000
"""Rows in memory, and between two checkpoints."""

COLUMNS = (
    *("view", "entity_id", "space", "input_hash", "checksum", "content_us", "computed_us"),
    "history_us",
)


@dataclass(frozen=True)
class Computed:
    """Rows of one view that were computed, a column each, in any order.

    Attributes:
        ids: N entity ids; where one occurs twice, the newer row is kept.
        spaces: the space id beside each vector; "" for categorical features.
        input_hashes: what each was computed from.
        checksums: of what was computed: `checksum`.
        content_us: when the content became true.
        computed_us: when it was computed.
    """

    view: str
    ids: Sequence[str]
    spaces: Sequence[str]
    input_hashes: Sequence[str]
    checksums: Sequence[str]
    content_us: Sequence[int]
    computed_us: Sequence[int]


class Newest(NamedTuple):
    """The newest row of one entity, as the ledger knows it."""

    entity_id: str
    space: str
    input_hash: str
    checksum: str
    content_us: int
    computed_us: int


class Place(NamedTuple):
    """A row of the history: whose it is, from what, and its two times."""

    entity_id: str
    input_hash: str
    content_us: int
    computed_us: int


@dataclass(frozen=True)
class Counts:
    """How far a view got, in one online store.

    Attributes:
        rows: entities that have a row, the buried ones left out.
        pending: those whose newest row is in the history, and not in that store.
    """

    rows: int
    pending: int


def checksum(space: str, packed: bytes | memoryview) -> str:
    """16 hex digits of a vector's float32, little endian, and the space it lives in.

    Packed is how Parquet, SQLite, Redis and Postgres hold it, so each can be asked alone.
    """
    hasher = hashlib.blake2b(space.encode() + b"\0", digest_size=8)
    hasher.update(packed)
    return hasher.hexdigest()


def checksum_of_texts(values: Mapping[str, str | None]) -> str:
    """The checksum of a row of categorical features; a null is as good as no column."""
    there = sorted((name, value) for name, value in values.items() if value is not None)
    return checksum("", json.dumps(there, ensure_ascii=False).encode())


def record(db: Connection, rows: Computed, history_us: int | None) -> None:
    """Take rows in, unless something newer is known.

    A row whose content is as before keeps its place online; another one is pending.

    Args:
        history_us: when they reached the history; None where they have not.
    """
    n = len(rows.ids)
    columns = [
        *([rows.view] * n, rows.ids, rows.spaces, rows.input_hashes, rows.checksums),
        *(rows.content_us, rows.computed_us, [history_us] * n),
    ]
    if n:
        _DIALECTS[db.dialect.name].upsert(db, columns)


def mark_online(db: Connection, view: str, rows: Sequence[Newest], store: str, now_us: int) -> None:
    """These rows are in the online store. One that has changed since stays pending."""
    if rows:
        _DIALECTS[db.dialect.name].mark(db, view, rows, store, now_us)


def in_history(db: Connection, view: str, places: Sequence[Place], now_us: int) -> None:
    """These rows are in the history, computed when it says: it may have had them before."""
    if not places:
        return
    same = and_(
        Vector.view == view,
        Vector.entity_id == bindparam("of"),
        Vector.input_hash == bindparam("made_from"),
        Vector.content_us == bindparam("at"),
        Vector.history_us.is_(None),
    )
    found = update(Vector).where(same).values(computed_us=bindparam("by"), history_us=now_us)
    names = ("of", "made_from", "at", "by")
    db.execute(found, [dict(zip(names, place, strict=True)) for place in places])


def mark_pending(db: Connection, view: str, ids: Sequence[str] | None = None) -> None:
    """What the online store holds of these entities, or of all, is not to be relied on."""
    chosen = update(Vector).where(Vector.view == view).values(online_us=None, online_store=None)
    if ids is None:
        db.execute(chosen)
    for part in parts(ids or []):
        db.execute(chosen.where(Vector.entity_id.in_(part)))


def pending(ledger: Ledger, view: str, store: str, page: int = PAGE) -> Iterator[list[Newest]]:
    """Rows of the history that are not in this online store, by id, a page at a time.

    No buried entity's.
    """
    yield from _pages(ledger, view, _is_pending(store), page)


def online(ledger: Ledger, view: str, store: str, page: int = PAGE) -> Iterator[list[Newest]]:
    """Rows that should be in this online store, by id, a page at a time."""
    yield from _pages(ledger, view, _is_online(store), page)


def extremes(ledger: Ledger, view: str, store: str, most: int) -> list[Newest]:
    """Rows of a view that were written to this store first and last: `most` of each."""
    fields = [getattr(Vector, name) for name in Newest._fields]
    asked = select(*fields).where(Vector.view == view, _is_online(store), _not_buried(view))
    orders = (Vector.online_us, Vector.online_us.desc())
    with ledger.read() as db:
        found = [db.execute(asked.order_by(order).limit(most)).all() for order in orders]
    return list({row[0]: Newest(*row) for rows in found for row in rows}.values())


def newest(ledger: Ledger, view: str, page: int = PAGE) -> Iterator[list[Newest]]:
    """Every row of a view, by id, a page at a time; no buried entity's."""
    yield from _pages(ledger, view, true(), page)


def newest_of(db: Connection, view: str, ids: Sequence[str]) -> dict[str, Newest]:
    """The newest row of these entities, buried or not."""
    fields = [getattr(Vector, name) for name in Newest._fields]
    found: dict[str, Newest] = {}
    for part in parts(ids):
        named = and_(Vector.view == view, Vector.entity_id.in_(part))
        rows = db.execute(select(*fields).where(named))
        found.update({row.entity_id: Newest(*row) for row in rows})
    return found


def counts(ledger: Ledger, view: str, store: str) -> Counts:
    """How far a view got."""
    late = case((_is_pending(store), 1), else_=0)
    asked = select(func.count(), func.coalesce(func.sum(late), 0))
    with ledger.read() as db:
        rows, pending = db.execute(asked.where(Vector.view == view, _not_buried(view))).one()
    return Counts(int(rows), int(pending))


def count_absent(ledger: Ledger, view: str, other: str) -> int:
    """Entities of a view that have no row in another one; no buried entity's."""
    there = aliased(Vector)
    same = and_(there.view == other, there.entity_id == Vector.entity_id)
    asked = select(func.count()).where(Vector.view == view, ~exists().where(same))
    with ledger.read() as db:
        return int(db.execute(asked.where(_not_buried(view))).scalar_one())


def oldest_content(db: Connection, entity: str) -> dict[str, int]:
    """Every member, or job, that has a row in any view, and the oldest of its rows' times."""
    of_entity = Vector.view.startswith(f"{entity}_", autoescape=True)
    asked = select(Vector.entity_id, func.min(Vector.content_us)).where(of_entity)
    return {id: content_us for id, content_us in db.execute(asked.group_by(Vector.entity_id))}


def forget_view(db: Connection, view: str) -> None:
    """A view whose history was removed begins anew."""
    db.execute(delete(Vector).where(Vector.view == view))
    db.execute(delete(Part).where(Part.view == view))


def forget(db: Connection, entity: str, ids: Sequence[str]) -> None:
    """Remove what is known of these members, or jobs, in all views."""
    of_entity = Vector.view.startswith(f"{entity}_", autoescape=True)
    for part in parts(ids):
        db.execute(delete(Vector).where(of_entity, Vector.entity_id.in_(part)))


def _pages(
    ledger: Ledger, view: str, which: ColumnElement[bool], page: int
) -> Iterator[list[Newest]]:
    """Pages in transactions of their own: none stays open while its rows are worked on."""
    fields = [getattr(Vector, name) for name in Newest._fields]
    asked = select(*fields).where(Vector.view == view, which, _not_buried(view))
    asked, last = asked.order_by(Vector.entity_id).limit(page), ""
    while True:
        with ledger.read() as db:
            rows = [Newest(*row) for row in db.execute(asked.where(Vector.entity_id > last))]
        if rows:
            yield rows
        if len(rows) < page:
            return
        last = rows[-1].entity_id


def _is_online(store: str) -> ColumnElement[bool]:
    return and_(Vector.online_us.is_not(None), Vector.online_store == store)


def _is_pending(store: str) -> ColumnElement[bool]:
    """What is not in the history yet is for its writer to bring online."""
    late = or_(Vector.online_us.is_(None), Vector.online_store != store)
    return and_(late, Vector.history_us.is_not(None))


def _not_buried(view: str) -> ColumnElement[bool]:
    """Nobody who is deleted, until he is revived; an erased one has no row here."""
    return ~exists().where(
        Tombstone.entity == view.partition("_")[0],
        Tombstone.entity_id == Vector.entity_id,
    )


_NEWER = """
    excluded.content_us > vector.content_us OR excluded.content_us = vector.content_us AND (
        excluded.computed_us > vector.computed_us OR excluded.computed_us = vector.computed_us
        AND excluded.input_hash <= vector.input_hash)
"""
_SAME = """
    excluded.checksum = vector.checksum AND excluded.space = vector.space
    AND excluded.content_us = vector.content_us
"""
_ON_CONFLICT = f"""
    ON CONFLICT (view, entity_id) DO UPDATE SET
        space = excluded.space, input_hash = excluded.input_hash, checksum = excluded.checksum,
        content_us = excluded.content_us, computed_us = excluded.computed_us,
        history_us = coalesce(excluded.history_us, CASE WHEN {_SAME} THEN vector.history_us END),
        online_us = CASE WHEN {_SAME} THEN vector.online_us END,
        online_store = CASE WHEN {_SAME} THEN vector.online_store END
    WHERE {_NEWER}
"""
_NAMES = ", ".join(COLUMNS)


@dataclass(frozen=True)
class _Dialect:
    """How a database takes many rows at once."""

    upsert: Callable[[Connection, list[Sequence[Any]]], None]
    mark: Callable[[Connection, str, Sequence[Newest], str, int], None]


def _sqlite_upsert(db: Connection, columns: list[Sequence[Any]]) -> None:
    places = ", ".join("?" * len(COLUMNS))
    rows = list(zip(*columns, strict=True))
    db.exec_driver_sql(f"INSERT INTO vector ({_NAMES}) VALUES ({places}) {_ON_CONFLICT}", rows)


def _sqlite_mark(
    db: Connection, view: str, rows: Sequence[Newest], store: str, now_us: int
) -> None:
    found = [
        (now_us, store, view, row.entity_id, row.checksum, row.content_us, row.space)
        for row in rows
    ]
    db.exec_driver_sql(
        "UPDATE vector SET online_us = ?, online_store = ? WHERE view = ? AND entity_id = ? "
        "AND checksum = ? AND content_us = ? AND space = ?",
        found,
    )


def _postgres_upsert(db: Connection, columns: list[Sequence[Any]]) -> None:
    """Whole columns as arrays; sorted, so that of two writers one waits for the other."""
    arrays = ", ".join(["%s::text[]"] * 5 + ["%s::int8[]"] * 3)
    db.exec_driver_sql(
        f"INSERT INTO vector ({_NAMES}) SELECT DISTINCT ON (entity_id) {_NAMES} "
        f"FROM unnest({arrays}) AS row ({_NAMES}) "
        f"ORDER BY entity_id, content_us DESC, computed_us DESC, input_hash {_ON_CONFLICT}",
        tuple(list(column) for column in columns),
    )


def _postgres_mark(
    db: Connection, view: str, rows: Sequence[Newest], store: str, now_us: int
) -> None:
    ids, spaces, _, checksums, contents, _ = zip(*rows, strict=True)
    db.exec_driver_sql(
        "UPDATE vector SET online_us = %s, online_store = %s "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::int8[]) "
        "AS row (entity_id, space, checksum, content_us) "
        "WHERE vector.view = %s AND vector.entity_id = row.entity_id "
        "AND vector.checksum = row.checksum AND vector.content_us = row.content_us "
        "AND vector.space = row.space",
        (now_us, store, *map(list, (ids, spaces, checksums, contents)), view),
    )


_DIALECTS = {
    "sqlite": _Dialect(_sqlite_upsert, _sqlite_mark),
    "postgresql": _Dialect(_postgres_upsert, _postgres_mark),
}
