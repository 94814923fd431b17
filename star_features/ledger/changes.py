"""
What events said of members and jobs, until the tables say it too.

    with ledger.begin() as db:
        keep(db, [changed], now_us)              # unless something newer is known
        add_interactions(db, [interaction], now_us)
        changes_of(db, "job", ["j1"])            # {"j1": Kept(...)}

Of each entity the newest state is here (by time, then by content); one that is gone has a tombstone
instead. A full refresh lays both over the source (`star_features.tables.told`), and what the source
says as well by then is absorbed. The order of arrival decides nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from star_features.ledger.dialect import insert_into, parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Change, Interaction


class Kept(NamedTuple):
    """The newest state of one entity that an event told; empty, once the tables say as much."""

    entity: str
    entity_id: str
    content_us: int
    tie: str
    content: dict[str, Any]


class Happened(NamedTuple):
    """One interaction that an event told."""

    identity: str
    member_id: str
    job_id: str
    kind: str
    content_us: int
    weight: float
    label: int


class Version(NamedTuple):
    """Changes whenever anything was told: a refresh is skipped while it does not."""

    last_change_us: int
    last_interaction_us: int


def keep(db: Connection, rows: Sequence[Kept], now_us: int) -> None:
    """Take states in, each unless a newer one of its entity is known."""
    if not rows:
        return
    statement = insert_into(db, Change)
    new = statement.excluded
    newer = or_(
        Change.content_us < new.content_us,
        and_(Change.content_us == new.content_us, Change.tie < new.tie),
    )
    moved = {name: new[name] for name in ("content_us", "tie", "content", "told_us")}
    upsert = statement.on_conflict_do_update(
        index_elements=["entity", "entity_id"], set_=moved, where=newer
    )
    db.execute(upsert, [row._asdict() | {"told_us": now_us} for row in rows])


def add_interactions(db: Connection, rows: Sequence[Happened], now_us: int) -> None:
    """Take interactions in; one that is known stays as it is."""
    if rows:
        statement = insert_into(db, Interaction).on_conflict_do_nothing()
        db.execute(statement, [row._asdict() | {"told_us": now_us} for row in rows])


def changes_of(db: Connection, entity: str, ids: Collection[str]) -> dict[str, Kept]:
    """The newest told state of these entities."""
    found = {}
    for part in parts(ids):
        rows = select(*_of(Change, Kept)).where(Change.entity == entity, Change.entity_id.in_(part))
        found.update({row.entity_id: Kept(*row) for row in db.execute(rows)})
    return found


def interactions_of(db: Connection, entity: str, ids: Collection[str]) -> dict[str, list[Happened]]:
    """What these members, or jobs, had to do with whom, as told; by time and identity."""
    column = Interaction.member_id if entity == "member" else Interaction.job_id
    found: dict[str, list[Happened]] = {id: [] for id in ids}
    for part in parts(ids):
        rows = select(column, *_of(Interaction, Happened)).where(column.in_(part))
        rows = rows.order_by(Interaction.content_us, Interaction.identity)
        for owner, *happened in db.execute(rows):
            found[owner].append(Happened(*happened))
    return found


def known_interactions(db: Connection, identities: Collection[str]) -> set[str]:
    """Which of these interactions were told before."""
    found: set[str] = set()
    for part in parts(identities):
        rows = select(Interaction.identity).where(Interaction.identity.in_(part))
        found.update(db.execute(rows).scalars())
    return found


def forget_changes(db: Connection, entity: str, times_us: Mapping[str, int]) -> int:
    """Forget states that are no newer than this; how many there were."""
    gone = 0
    for part in parts(times_us):
        rows = changes_of(db, entity, part)
        ids = [id for id, row in rows.items() if row.content_us <= times_us[id]]
        named = and_(Change.entity == entity, Change.entity_id.in_(ids))
        gone += db.execute(delete(Change).where(named)).rowcount if ids else 0
    return gone


def absorb(db: Connection, entity: str, times_us: Mapping[str, int]) -> None:
    """The tables say as much by now: what was told no longer counts, only when it was told."""
    for part in parts(times_us):
        rows = changes_of(db, entity, part)
        done = [row for id, row in rows.items() if row.content and row.content_us <= times_us[id]]
        for page in parts([row.entity_id for row in done]):
            named = and_(Change.entity == entity, Change.entity_id.in_(page))
            db.execute(update(Change).where(named).values(content={}))


def absorb_interactions(db: Connection, identities: Collection[str]) -> None:
    """The tables hold these by now. The one that was told last stays: it is the version."""
    last_us = version(db).last_interaction_us
    for part in parts(identities):
        old = and_(Interaction.identity.in_(part), Interaction.told_us < last_us)
        db.execute(delete(Interaction).where(old))


def version(db: Connection) -> Version:
    """How far what was told has come."""
    told = select(
        select(func.coalesce(func.max(Change.told_us), 0)).scalar_subquery(),
        select(func.coalesce(func.max(Interaction.told_us), 0)).scalar_subquery(),
    )
    return Version(*map(int, db.execute(told).one()))


def all_changes(ledger: Ledger, entity: str, page: int = 5_000) -> Iterator[list[Kept]]:
    """Every told state of one kind of entity, by id, a page at a time."""
    last = ""
    while True:
        asked = select(*_of(Change, Kept)).where(Change.entity == entity, Change.entity_id > last)
        with ledger.read() as db:
            rows = [Kept(*row) for row in db.execute(asked.order_by(Change.entity_id).limit(page))]
        if rows:
            yield rows
        if len(rows) < page:
            return
        last = rows[-1].entity_id


def all_interactions(ledger: Ledger, page: int = 50_000) -> Iterator[list[Happened]]:
    """Every told interaction, a page at a time."""
    last = ""
    while True:
        asked = select(*_of(Interaction, Happened)).where(Interaction.identity > last)
        asked = asked.order_by(Interaction.identity).limit(page)
        with ledger.read() as db:
            rows = [Happened(*row) for row in db.execute(asked)]
        if rows:
            yield rows
        if len(rows) < page:
            return
        last = rows[-1].identity


def _of(table: Any, row: Any) -> list[Any]:
    return [getattr(table, name) for name in row._fields]
