"""
What events told, as a refresh lays it over the source; and how it follows that a source caught up.

    told = told_of(ledger)
    read_dataset(source, home.tables, told=told)
    absorb(ledger, told)

The tables in the home are the source and what events told, the newer of each: so the next full
refresh, the next snapshot of the graph and the next training know of every event. Events that come
while a refresh works stay where they are, for the next one.
"""

from collections.abc import Iterator

from sqlalchemy import func, select

from star_features.ledger import changes
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Tombstone
from star_features.tables.told import Told, ToldMeeting, ToldRow

GONE = "no longer in the tables"
"""Why a refresh buries: the tables know it already, and need not be read again for it."""


def told_of(ledger: Ledger) -> Told:
    """Everything that was told and that no source has caught up with."""
    return Told(lambda entity: _rows(ledger, entity), lambda: _meetings(ledger))


def absorb(ledger: Ledger, told: Told) -> None:
    """The tables are written: what the source has caught up with is its own from now on."""
    with ledger.begin() as db:
        for entity, times_us in told.caught_up.items():
            changes.absorb(db, entity, times_us)
        changes.absorb_interactions(db, told.known)


def version(ledger: Ledger) -> list[int]:
    """Changes with every event that changes the tables, and with nothing else."""
    last = select(func.coalesce(func.max(Tombstone.at_us), 0)).where(
        Tombstone.kind == "deleted", Tombstone.why != GONE
    )
    with ledger.read() as db:
        return [*changes.version(db), int(db.execute(last).scalar_one())]


def _rows(ledger: Ledger, entity: str) -> Iterator[list[ToldRow]]:
    for page in changes.all_changes(ledger, entity):
        yield [ToldRow(row.entity_id, row.content_us, **row.content) for row in page if row.content]


def _meetings(ledger: Ledger) -> Iterator[list[ToldMeeting]]:
    for page in changes.all_interactions(ledger):
        yield [ToldMeeting(*row) for row in page]
