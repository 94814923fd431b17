"""
Entities that leave the tables leave the online store, and come back when the tables say so.

    leave(home, ledger, tables, "job")                 # after the tables were read anew
    come_back(home, ledger, "job", {"j1": content_us})

A full refresh tells of a deletion by silence. Many at once look like a broken export rather than
like deletions: then nobody is removed, and the receipt says how many that would be.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from pipelines.events.history import history_of
from pipelines.home import Home
from pipelines.receipts import Facts
from pipelines.recording import now_us
from pipelines.told import GONE
from star_features.catalogue import Entity
from star_features.errors import StoreError
from star_features.ledger import changes, journal
from star_features.ledger.dialect import parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.tombstones import bury, revive
from star_features.ledger.vectors import forget, oldest_content
from star_features.online.remover import columnar, remove_entities
from star_features.store.feast_store import config_path, open_store
from star_features.store.recording import recall
from star_features.tables.canonical import Tables

A_FEW = 100
"""So many may always leave at once."""

SHARE = 0.2
"""Of all of a kind: when more leave at once, the tables are not believed."""


def leave(
    home: Home, ledger: Ledger, tables: Tables, entity: Entity, however_many: bool = False
) -> Facts:
    """Bury who has vectors and is in the tables no longer; first his rows go offline.

    Killed in between, the next refresh finds the same entities and does it again.
    """
    gone = _gone(ledger, tables, entity)
    most = max(A_FEW, SHARE * (len(gone) + tables.count(f"{entity}s")))
    if len(gone) > most and not however_many:
        return {"removed": 0, "held_back": len(gone)}
    for ids in parts(gone, 1_000):
        _take_offline(home, entity, ids)
        with ledger.begin() as db:
            _bury(db, entity, {id: gone[id] for id in ids})
    return {"removed": len(gone), "held_back": 0}


def come_back(home: Home, ledger: Ledger, entity: Entity, times_us: Mapping[str, int]) -> None:
    """Who was deleted is in the tables again: what his history says of him counts again."""
    if not times_us:
        return
    with ledger.begin() as db:
        revive(db, entity, times_us)
    for view in (folder.name for folder in sorted(home.history.glob(f"{entity}_*"))):
        recall(ledger, history_of(home, view), list(times_us), now_us())


def _gone(ledger: Ledger, tables: Tables, entity: Entity) -> dict[str, int]:
    """Who has a vector, is in no table, and was not told of since; and the time of his content."""
    key = f"{entity}_id"
    there = set(tables.table(f"{entity}s", [key])[key].to_pylist())
    with ledger.read() as db:
        gone = {id: at for id, at in oldest_content(db, entity).items() if id not in there}
        told = {id for id, row in changes.changes_of(db, entity, gone).items() if row.content}
    return {id: at for id, at in gone.items() if id not in told}


def _take_offline(home: Home, entity: Entity, ids: Collection[str]) -> None:
    if not config_path(home.path).exists():
        return  # nothing was ever online
    store = open_store(home.repo, home.path)
    try:
        columnar(store)
    except StoreError:  # Feast's own stores cannot; the audit lists such rows
        return
    for view in store.list_feature_views():
        if view.join_keys == [f"{entity}_id"]:
            remove_entities(store, view.name, list(ids))


def _bury(db: Connection, entity: Entity, times_us: Mapping[str, int]) -> None:
    """A microsecond before their content: the same rows, found again, are newer."""
    before_us = {id: at_us - 1 for id, at_us in times_us.items()}
    bury(db, entity, times_us, kind="deleted", content_us=before_us, now_us=now_us(), why=GONE)
    forget(db, entity, list(times_us))
    journal.forget_entities(db, entity, times_us)
