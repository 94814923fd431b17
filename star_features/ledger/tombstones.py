"""
Tombstones: entities that are gone, and must not come back by themselves.

    with ledger.begin() as db:
        bury(db, "job", ["j1"], kind="deleted", content_us=event_us, now_us=now_us, why="closed")
        buried(db, "job", {"j1": event_us + 1})     # {}: something newer may come back
        revive(db, "job", {"j1": event_us + 1})     # … and this says that it did

A *deleted* entity comes back with content that is newer than its deletion. A full refresh that
finds an entity gone buries it one microsecond before its last content, so that the same row,
found again, is newer. An *erased* one never comes back, and its id is not kept: what stands here
is a digest of it under a key of this ledger alone, enough to know the id again when it arrives.
"""

import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, and_, delete, select, update

from star_features.ledger.dialect import insert_into, parts
from star_features.ledger.schema import Secret, Tombstone

Kind = Literal["deleted", "erased"]

ERASED_KEY = "erased ids"
SCAN_FROM = 4_000  # from so many ids on, one look at all tombstones is cheaper


@dataclass(frozen=True)
class Graves:
    """All tombstones of one kind of entity, for asking after many ids.

    Attributes:
        deleted_us: every deleted id, and when it was gone.
        erased: digests of the erased ones.
    """

    entity: str
    deleted_us: Mapping[str, int]
    erased: frozenset[str]
    key: bytes

    def deleted_among(self, times_us: Mapping[str, int]) -> set[str]:
        """Which of these ids, with content of these times, were deleted since."""
        few, many = sorted((self.deleted_us, times_us), key=len)
        return {id for id in few if id in many and times_us[id] <= self.deleted_us[id]}

    def erased_among(self, ids: Iterable[str]) -> set[str]:
        """Which of these ids were erased."""
        if not self.erased:
            return set()
        return {id for id in ids if digest_of(self.key, self.entity, id) in self.erased}


def graves(db: Connection, entity: str) -> Graves:
    """All tombstones of members, or of jobs."""
    erased = db.execute(_erased(entity)).scalars().all()
    key = _key(db) if erased else b""
    return Graves(entity, buried_ids(db, entity), frozenset(erased), key)


def bury(
    db: Connection,
    entity: str,
    ids: Iterable[str],
    *,
    kind: Kind,
    content_us: int | Mapping[str, int],
    now_us: int,
    why: str,
) -> int:
    """
    Write tombstones; returns how many are new or moved to a later time.

    Args:
        content_us: when they were gone: one time, or one an id. What is no newer stays dead.
        why: for the operator; no personal text, it stays for good.
    """
    key = _key(db) if kind == "erased" else b""
    buried_rows = 0
    for part in parts(sorted(set(ids))):
        rows = [
            {
                "entity": entity,
                "entity_id": digest_of(key, entity, id) if kind == "erased" else id,
                "kind": kind,
                "content_us": content_us if isinstance(content_us, int) else content_us[id],
                "at_us": now_us,
                "why": why,
                "receipt": {},
            }
            for id in part
        ]
        if kind == "erased":  # what was known by its id no longer is
            db.execute(delete(Tombstone).where(_named(entity, part), Tombstone.kind == "deleted"))
        else:
            dead = set(_erased_among(db, entity, part))
            rows = [row for row in rows if row["entity_id"] not in dead]
        buried_rows += _upsert(db, rows)
    return buried_rows


def buried(db: Connection, entity: str, times_us: Mapping[str, int]) -> dict[str, Kind]:
    """Which of these ids, with content of these times, must stay out; and the kind of each."""
    found: dict[str, Kind] = {}
    for id, dead_us in _deleted_among(db, entity, times_us):
        if times_us[id] <= dead_us:
            found[id] = "deleted"
    for id in _erased_among(db, entity, times_us):
        found[id] = "erased"
    return found


def revive(db: Connection, entity: str, times_us: Mapping[str, int]) -> int:
    """Take away the tombstones of deleted ids whose content is newer; returns how many."""
    back = [id for id, dead_us in _deleted_among(db, entity, times_us) if times_us[id] > dead_us]
    removed = 0
    for part in parts(back):
        gone = delete(Tombstone).where(_named(entity, part), Tombstone.kind == "deleted")
        removed += db.execute(gone).rowcount
    return removed


def deleted_at(db: Connection, entity: str, ids: Iterable[str]) -> dict[str, int]:
    """When those of these ids that are deleted were gone."""
    return dict(_deleted_among(db, entity, dict.fromkeys(ids, 0)))


def buried_ids(db: Connection, entity: str) -> dict[str, int]:
    """Every deleted id, and when it was gone. The erased are known by `erased_among` only."""
    rows = select(Tombstone.entity_id, Tombstone.content_us).where(
        Tombstone.entity == entity, Tombstone.kind == "deleted"
    )
    return {id: dead_us for id, dead_us in db.execute(rows)}


def erased_among(db: Connection, entity: str, ids: Iterable[str]) -> set[str]:
    """Which of these ids were erased."""
    return set(_erased_among(db, entity, list(ids)))


def receipt_of(db: Connection, entity: str, id: str) -> dict[str, Any] | None:
    """What the erasure of an id has removed so far; None where it was not erased."""
    named = _one(entity, digest_of(_key(db), entity, id))
    return db.execute(select(Tombstone.receipt).where(named)).scalar()


def keep_receipt(db: Connection, entity: str, id: str, receipt: dict[str, Any]) -> None:
    """Keep what the erasure of an id has removed so far, for when it is killed."""
    named = _one(entity, digest_of(_key(db), entity, id))
    db.execute(update(Tombstone).where(named).values(receipt=receipt))


def digest_of(key: bytes, entity: str, id: str) -> str:
    """What is kept of an erased id: it can be recognised, and not be read."""
    message = f"{len(entity)} {entity} {id}".encode()
    return "erased:" + hashlib.blake2b(message, digest_size=20, key=key).hexdigest()


def digests(db: Connection, entity: str, ids: Iterable[str]) -> list[str]:
    """`digest_of` each id under this ledger's own key."""
    key = _key(db)
    return [digest_of(key, entity, id) for id in ids]


def _deleted_among(
    db: Connection, entity: str, ids: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    if len(ids) >= SCAN_FROM:
        yield from ((id, us) for id, us in buried_ids(db, entity).items() if id in ids)
        return
    for part in parts(ids):
        rows = select(Tombstone.entity_id, Tombstone.content_us).where(
            _named(entity, part), Tombstone.kind == "deleted"
        )
        yield from ((id, dead_us) for id, dead_us in db.execute(rows))


def _erased_among(db: Connection, entity: str, ids: Collection[str]) -> Iterator[str]:
    if db.execute(_erased(entity).limit(1)).first() is None:
        return
    if len(ids) >= SCAN_FROM:
        yield from graves(db, entity).erased_among(ids)
        return
    key = _key(db)
    for part in parts(ids):
        names = {digest_of(key, entity, id): id for id in part}
        asked = _erased(entity).where(Tombstone.entity_id.in_(names))
        yield from (names[found] for found in db.execute(asked).scalars())


def _erased(entity: str) -> Select[str]:
    return select(Tombstone.entity_id).where(Tombstone.entity == entity, Tombstone.kind == "erased")


def _upsert(db: Connection, rows: list[dict[str, Any]]) -> int:
    """Insert; where there is one already, a later time moves a deletion and nothing an erasure."""
    if not rows:
        return 0
    statement = insert_into(db, Tombstone).values(rows)
    moved = {name: statement.excluded[name] for name in ("kind", "content_us", "at_us", "why")}
    written = statement.on_conflict_do_update(
        index_elements=["entity", "entity_id"],
        set_=moved,
        where=and_(
            Tombstone.kind == "deleted",
            statement.excluded.kind == "deleted",
            Tombstone.content_us < statement.excluded.content_us,
        ),
    )
    return len(db.execute(written.returning(Tombstone.entity_id)).all())


def _key(db: Connection) -> bytes:
    """The key under which this ledger knows erased ids; made at the first one."""
    known = select(Secret.value).where(Secret.name == ERASED_KEY)
    value = db.execute(known).scalar()
    if value is None:
        new = insert_into(db, Secret).values(name=ERASED_KEY, value=secrets.token_hex(32))
        db.execute(new.on_conflict_do_nothing())
        value = db.execute(known).scalar_one()
    return bytes.fromhex(value)


def _one(entity: str, entity_id: str) -> Any:
    return and_(Tombstone.entity == entity, Tombstone.entity_id == entity_id)


def _named(entity: str, ids: Sequence[str]) -> Any:
    return and_(Tombstone.entity == entity, Tombstone.entity_id.in_(ids))
