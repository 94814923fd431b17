"""
The quarantine as an operator sees it: events that were set aside, and rows that ingest left out.

    star quarantine list
    star quarantine replay --reason unknown_job

An event is replayed as it came, after whatever was wrong has been mended. Rows of tables are
mended in their source: the next `star ingest` takes them in.
"""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow.compute as pc

from pipelines.events.settings import EventSettings
from pipelines.events.sources import letter_of
from pipelines.home import Home
from pipelines.recording import now_us
from star_features.errors import UsageError
from star_features.ledger import outbox, quarantine
from star_features.ledger.ledger import Ledger
from star_features.ledger.quarantine import Row
from star_features.tables.canonical import Tables
from star_features.tables.receipt import SCHEMA

ALL = 1_000_000


@dataclass(frozen=True)
class Held:
    """What is set aside now.

    Attributes:
        reasons: events by the word of their reason.
        events: the oldest of them.
        rows: rows that ingest left out: by table and reason, how many.
    """

    reasons: dict[str, int]
    events: list[Row]
    rows: dict[tuple[str, str], int]


def look(home: Home, *, reason: str | None = None, most: int = 20) -> Held:
    """What is set aside in this home."""
    ledger = home.ledger()
    with ledger.read() as db:
        reasons, events = quarantine.counts(db), quarantine.held(db, word=reason, most=most)
    ledger.close()
    return Held(reasons, events, left_out(home))


def left_out(home: Home) -> dict[tuple[str, str], int]:
    """Rows that ingest left out, by table and reason."""
    if not (home.tables / SCHEMA).exists():
        return {}
    rows = Tables(home.tables).quarantine(["table", "reason"])
    counted = rows.group_by(["table", "reason"]).aggregate([([], "count_all")])
    ordered = counted.take(pc.sort_indices(counted, [("count_all", "descending"),
                                                     ("table", "ascending")]))  # fmt: skip
    return {(row["table"], row["reason"]): row["count_all"] for row in ordered.to_pylist()}


def one(home: Home, id: int) -> Row:
    """One event that is set aside.

    Raises:
        UsageError: there is none of this number.
    """
    ledger = home.ledger()
    with ledger.read() as db:
        found = quarantine.held(db, ids=[id])
    ledger.close()
    if not found:
        raise UsageError(f"nothing is set aside as {id}; wanted a number of: star quarantine list")
    return found[0]


def replay(
    home: Home, settings: EventSettings, ids: Collection[int], reason: str | None, every: bool
) -> tuple[int, int]:
    """Send events again; returns how many, and how many cannot be: their content was not kept."""
    ledger = home.ledger()
    rows = _chosen(ledger, ids, reason, every)
    ready = [row for row in rows if row.payload is not None]
    if settings.source == "kafka":
        from pipelines.events import kafka

        kafka.send(settings, [letter_of((row.payload or "").encode()) for row in ready])
    with ledger.begin() as db:
        if settings.source == "outbox":
            letters = [letter_of((row.payload or "").encode()) for row in ready]
            # Without an identity: this very event was taken in once already.
            again = [letter._replace(identity=None) for letter in letters]
            outbox.put(db, settings.incoming, again, now_us())
        quarantine.replayed(db, [row.id for row in ready])
    ledger.close()
    return len(ready), len(rows) - len(ready)


def drop(home: Home, ids: Collection[int], reason: str | None, every: bool) -> int:
    """Give events up: their content goes; returns how many."""
    ledger = home.ledger()
    rows = _chosen(ledger, ids, reason, every)
    with ledger.begin() as db:
        dropped = quarantine.drop(db, [row.id for row in rows])
    ledger.close()
    return dropped


def _chosen(ledger: Ledger, ids: Collection[int], reason: str | None, every: bool) -> list[Row]:
    if sum([bool(ids), reason is not None, every]) != 1:
        raise UsageError("which ones? Wanted numbers, or --reason WORD, or --all.")
    with ledger.read() as db:
        found = quarantine.held(db, word=reason, ids=list(ids) or None, most=ALL)
    if ids and len(found) < len(set(ids)):
        absent = sorted(set(ids) - {row.id for row in found})
        raise UsageError(f"nothing is set aside as {absent[0]}; see: star quarantine list")
    return found
