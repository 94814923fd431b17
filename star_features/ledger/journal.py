"""
Rows of the history that were computed for events, until Parquet takes many of them at a time.

    with ledger.begin() as db:
        write(db, [Line(view, "j1", space, packed, None, input_hash, content_us, computed_us)])
    for lines in pages(ledger):                  # of one view each, oldest first
        ...                                      # append them to the history, then:
        with ledger.begin() as db:
            strike(db, [line.id for line in lines])

They stand here from the moment that they are online: a Parquet file an event would be a hundred
thousand files a day, and a row in memory would be lost with its process.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from star_features.ledger.dialect import parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Journal


class Line(NamedTuple):
    """One row of one view's history.

    Attributes:
        vector: its float32, little endian; None for categorical features, which `categories` has.
        id: its place; 0 before it has one.
    """

    view: str
    entity_id: str
    space: str
    vector: bytes | None
    categories: dict[str, Any] | None
    input_hash: str
    content_us: int
    computed_us: int
    id: int = 0


def write(db: Connection, lines: Sequence[Line]) -> None:
    """Take rows in."""
    if lines:
        rows = [{k: v for k, v in line._asdict().items() if k != "id"} for line in lines]
        db.execute(insert(Journal), rows)


def pages(ledger: Ledger, page: int = 5_000) -> Iterator[list[Line]]:
    """All rows, of one view at a time and by age, in pages; those taken in meanwhile too."""
    fields = [getattr(Journal, name) for name in Line._fields]
    with ledger.read() as db:
        views = list(db.execute(select(Journal.view).distinct().order_by(Journal.view)).scalars())
    for view in views:
        last = 0
        while True:
            asked = select(*fields).where(Journal.view == view, Journal.id > last)
            with ledger.read() as db:
                lines = [Line(*row) for row in db.execute(asked.order_by(Journal.id).limit(page))]
            if not lines:
                break
            yield lines
            last = lines[-1].id


def newest(db: Connection, view: str, ids: Collection[str]) -> dict[str, Line]:
    """The row of each of these entities that was taken in last."""
    fields = [getattr(Journal, name) for name in Line._fields]
    found: dict[str, Line] = {}
    for part in parts(ids):
        asked = select(*fields).where(Journal.view == view, Journal.entity_id.in_(part))
        found.update({row.entity_id: Line(*row) for row in db.execute(asked.order_by(Journal.id))})
    return found


def strike(db: Connection, ids: Collection[int]) -> None:
    """These rows are in the history."""
    for part in parts(ids):
        db.execute(delete(Journal).where(Journal.id.in_(part)))


def count(db: Connection) -> int:
    """How many rows wait."""
    return int(db.execute(select(func.count()).select_from(Journal)).scalar_one())


def forget_entities(db: Connection, entity: str, ids: Collection[str]) -> int:
    """Remove the rows of these members, or jobs: of what is deleted, and for `star erase`."""
    of_entity = Journal.view.startswith(f"{entity}_", autoescape=True)
    return sum(
        int(db.execute(delete(Journal).where(of_entity, Journal.entity_id.in_(part))).rowcount)
        for part in parts(ids)
    )
