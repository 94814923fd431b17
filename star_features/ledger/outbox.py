"""
The outbox: events in and out, in order, in the ledger; what Kafka is elsewhere.

    with ledger.begin() as db:
        put(db, "star.changes", [Letter("j1", payload, "job_changed 17")], now_us)
    for held in claim(ledger, "star.changes", "worker 1", most=100, lease_us=..., now_us=now_us):
        ...
    with ledger.begin() as db:
        done(db, [held.id])

A claimed event belongs to its holder until the lease ends; events of one key are never in two
hands at once. What is done keeps its identity, so that it is not taken in again, and loses its
content.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import ColumnElement

from star_features.ledger.dialect import insert_into, one_at_a_time, parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Outbox

CLAIMING = 7_275_004
"""PostgreSQL's lock under which one worker claims and the others wait."""


class Letter(NamedTuple):
    """An event to put in. `identity` says which ones are the same; None: none is."""

    key: str
    payload: str
    identity: str | None = None


class Held(NamedTuple):
    """An event in somebody's hands."""

    id: int
    key: str
    payload: str
    attempts: int


def put(db: Connection, topic: str, letters: Sequence[Letter], now_us: int) -> int:
    """Append events to a topic; returns how many are new."""
    new = 0
    for part in parts(letters):
        rows = [
            {
                "topic": topic,
                "key": letter.key[:200],
                "payload": letter.payload,
                "identity": letter.identity and f"{topic} {letter.identity}"[:200],
                "at_us": now_us,
                "state": "waiting",
                "attempts": 0,
            }
            for letter in part
        ]
        statement = insert_into(db, Outbox).values(rows).on_conflict_do_nothing()
        new += len(db.execute(statement.returning(Outbox.id)).all())
    return new


def claim(
    ledger: Ledger, topic: str, holder: str, *, most: int, lease_us: int, now_us: int
) -> list[Held]:
    """The next events of a topic that nobody holds, of no key that another one holds."""
    other = aliased(Outbox)
    elsewhere = select(other.key).where(
        other.topic == topic,
        other.state == "held",
        other.lease_until_us > now_us,
        other.holder != holder,
    )
    mine = Outbox.topic == topic, Outbox.state == "waiting"
    chosen = select(Outbox.id).where(*mine, Outbox.key.not_in(elsewhere))
    chosen = chosen.order_by(Outbox.id).limit(most)
    taken = (
        update(Outbox)
        .where(Outbox.id.in_(chosen))
        .values(
            state="held",
            holder=holder,
            lease_until_us=now_us + lease_us,
            attempts=Outbox.attempts + 1,
        )
    )
    with ledger.begin() as db:
        one_at_a_time(db, CLAIMING)
        db.execute(update(Outbox).where(*_ended(topic, now_us)).values(state="waiting"))
        rows = db.execute(taken.returning(*(getattr(Outbox, name) for name in Held._fields)))
        return sorted(Held(*row) for row in rows)


def renew(ledger: Ledger, topic: str, holder: str, *, lease_us: int, now_us: int) -> int:
    """Hold what this holder holds for longer; returns how many events that is."""
    held = and_(Outbox.topic == topic, Outbox.state == "held", Outbox.holder == holder)
    with ledger.begin() as db:
        longer = update(Outbox).where(held).values(lease_until_us=now_us + lease_us)
        return int(db.execute(longer).rowcount)


def done(db: Connection, ids: Collection[int]) -> None:
    """Events that have had their effect: their content goes, their identity stays."""
    for part in parts(ids):
        emptied = {"state": "done", "holder": None, "lease_until_us": None, "payload": ""}
        db.execute(update(Outbox).where(Outbox.id.in_(part)).values(**emptied))


def give_back(db: Connection, topic: str, holder: str) -> None:
    """What this holder has not finished is anybody's again."""
    held = and_(Outbox.topic == topic, Outbox.state == "held", Outbox.holder == holder)
    db.execute(update(Outbox).where(held).values(state="waiting", holder=None, lease_until_us=None))


def claimable(db: Connection, topic: str, now_us: int) -> bool:
    """Whether there is anything to claim, unless another one holds its key."""
    for which in ((Outbox.topic == topic, Outbox.state == "waiting"), _ended(topic, now_us)):
        if db.execute(select(Outbox.id).where(*which).limit(1)).first() is not None:
            return True
    return False


def waiting(db: Connection, topic: str) -> int:
    """How many events of a topic are not done."""
    asked = select(func.count()).where(Outbox.topic == topic, Outbox.state != "done")
    return int(db.execute(asked).scalar_one())


def after(db: Connection, topic: str, last: int, most: int = 1_000) -> list[Held]:
    """Events of a topic beyond a place, whoever holds them: for looking on."""
    fields = [getattr(Outbox, name) for name in Held._fields]
    asked = select(*fields).where(Outbox.topic == topic, Outbox.id > last)
    return [Held(*row) for row in db.execute(asked.order_by(Outbox.id).limit(most))]


def last_place(db: Connection, topic: str) -> int:
    """Where a topic ends now."""
    asked = select(func.coalesce(func.max(Outbox.id), 0)).where(Outbox.topic == topic)
    return int(db.execute(asked).scalar_one())


def _ended(topic: str, now_us: int) -> tuple[ColumnElement[bool], ...]:
    """Events whose holder has not renewed its lease."""
    return Outbox.topic == topic, Outbox.state == "held", Outbox.lease_until_us <= now_us


def sweep(db: Connection, topic: str, before_us: int, *, undone: bool = False) -> int:
    """Remove events that were put in before this time and are done; how many.

    Args:
        undone: whether they are done or not, of a topic that is only looked at.
    """
    old = and_(Outbox.topic == topic, Outbox.at_us < before_us)
    gone = delete(Outbox).where(old if undone else and_(old, Outbox.state == "done"))
    return int(db.execute(gone).rowcount)
