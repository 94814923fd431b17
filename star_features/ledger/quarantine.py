"""
The quarantine of events: what could not be used, with its reason, until it is replayed or dropped.

    with ledger.begin() as db:
        set_aside(db, [Aside("star.changes", "bad_json: …", payload)], now_us)
        counts(db)                               # {"bad_json": 1}
        waiting_for(db, [("job", "j1")])         # interactions that wanted j1 to be there

A reason is a word, a colon and an explanation; it holds nothing of the content. The same input set
aside twice for one reason is one row. A payload that was too large to keep is not kept.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select, tuple_, update

from star_features.ledger.dialect import insert_into, parts
from star_features.ledger.schema import Quarantine

KEEP = 2_000_000
"""Longest payload that is kept, in characters."""
UNKNOWN = "unknown_"
"""How the reasons begin that end by themselves, when the one that was unknown comes."""


class Aside(NamedTuple):
    """An input to set aside."""

    source: str
    reason: str
    payload: str | None
    entity: str | None = None
    entity_id: str | None = None


class Row(NamedTuple):
    """An input that was set aside."""

    id: int
    at_us: int
    source: str
    entity: str | None
    entity_id: str | None
    reason: str
    payload: str | None
    state: str
    replays: int


def set_aside(db: Connection, inputs: Sequence[Aside], now_us: int) -> None:
    """Put inputs into quarantine; one that was replayed and is no better is held again."""
    rows = {row["identity"]: row for row in (_row(one, now_us) for one in inputs)}
    if rows:
        again = insert_into(db, Quarantine).on_conflict_do_update(
            index_elements=["identity"], set_={"state": "held"}
        )
        db.execute(again, list(rows.values()))


def held(
    db: Connection, *, word: str | None = None, ids: Collection[int] | None = None, most: int = 1000
) -> list[Row]:
    """What is set aside now, the oldest first; of one reason, or these ids, if asked."""
    asked = select(*_FIELDS).where(Quarantine.state == "held")
    if word is not None:
        asked = asked.where(Quarantine.reason.startswith(f"{word}:", autoescape=True))
    if ids is not None:
        asked = asked.where(Quarantine.id.in_(ids))
    return [Row(*row) for row in db.execute(asked.order_by(Quarantine.id).limit(most))]


def waiting_for(db: Connection, entities: Collection[tuple[str, str]]) -> list[Row]:
    """Inputs that were set aside because these members or jobs were unknown."""
    found: list[Row] = []
    for part in parts(entities):
        named = tuple_(Quarantine.entity, Quarantine.entity_id).in_(part)
        asked = select(*_FIELDS).where(
            Quarantine.state == "held", Quarantine.reason.startswith(UNKNOWN, autoescape=True)
        )
        found += [Row(*row) for row in db.execute(asked.where(named).order_by(Quarantine.id))]
    return found


def counts(db: Connection) -> dict[str, int]:
    """How many inputs are set aside now, by the word of their reason."""
    asked = select(Quarantine.reason, func.count()).where(Quarantine.state == "held")
    found: dict[str, int] = {}
    for reason, count in db.execute(asked.group_by(Quarantine.reason)):
        word = reason.partition(":")[0]
        found[word] = found.get(word, 0) + int(count)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def replayed(db: Connection, ids: Collection[int]) -> None:
    """These were sent again."""
    for part in parts(ids):
        values = {"state": "replayed", "replays": Quarantine.replays + 1}
        db.execute(update(Quarantine).where(Quarantine.id.in_(part)).values(**values))


def drop(db: Connection, ids: Collection[int]) -> int:
    """These will never be of use: their content goes, the reason stays; how many there were."""
    gone = 0
    for part in parts(ids):
        chosen = update(Quarantine).where(Quarantine.id.in_(part), Quarantine.state == "held")
        gone += int(db.execute(chosen.values(state="dropped", payload=None)).rowcount)
    return gone


_FIELDS = [getattr(Quarantine, name) for name in Row._fields]


def _row(one: Aside, now_us: int) -> dict[str, object]:
    payload = one.payload
    said = "\0".join([one.source, one.reason, payload or ""])
    kept = payload if payload is not None and len(payload) <= KEEP else None
    return {
        **one._asdict(),
        "payload": None if kept is None else kept.replace("\0", "\\u0000"),
        "at_us": now_us,
        "identity": hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=20).hexdigest(),
        "state": "held",
        "replays": 0,
    }
