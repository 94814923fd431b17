"""
Online what is newest: of every view, the rows that the configured store does not hold yet.

    recheck(ledger, store, "job_graph_v1", place)                    # is it still the same store?
    write_pending(ledger, store, history, place, now_us=clock)       # Written(rows=…, lost=…)

What is pending stands in the ledger; each chunk is written, read back in part, and ticked off, in
that order, so that a writer that was killed goes on with the next chunk and a second run with
nothing changed writes nothing. `place` is the fingerprint of the store (`feast_store.fingerprint`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from star_features.errors import StoreError
from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import (
    Newest,
    extremes,
    mark_online,
    mark_pending,
    online,
    pending,
)
from star_features.online.stored import stored
from star_features.online.writer import write_batches
from star_features.store.history import History
from star_features.store.newest import batches_of

if TYPE_CHECKING:
    from feast import FeatureStore

PAGE = 100_000
"""Keys in memory at a time; the history's keys are looked through once a page."""

READ_BACK = 50
"""Rows of each chunk that are read back after it was written."""

PROBE = 64
"""Rows that were written first, and last, by which a lost store is known."""


@dataclass(frozen=True)
class Written:
    """What came of one view.

    Attributes:
        rows: how many were written.
        lost: how many the ledger wants online that no part of the history holds.
    """

    rows: int
    lost: int


def recheck(
    ledger: Ledger, store: "FeatureStore", view: str, place: str, *, every_row: bool = False
) -> int:
    """Make pending what a store has lost; returns how many rows that was.

    The rows that were written first and last are looked at: both are there unless the store was
    emptied, dropped or put back from an older copy. Only if one is not, or where `every_row` is
    asked for, all rows are looked at.
    """
    sample = extremes(ledger, view, place, PROBE)
    if not every_row and not _lacking(store, view, sample):
        return 0
    lost = 0
    for page in online(ledger, view, place):
        if lacking := _lacking(store, view, page):
            lost += len(lacking)
            with ledger.begin() as db:
                mark_pending(db, view, [row.entity_id for row in lacking])
    return lost


def write_pending(
    ledger: Ledger,
    store: "FeatureStore",
    history: History,
    place: str,
    *,
    now_us: Callable[[], int],
    progress: Callable[[int], object] = lambda rows: None,
) -> Written:
    """Write what the store lacks of one view, chunk by chunk.

    Raises:
        StoreError: the store cannot be reached, or did not keep what was written.
    """
    written = lost = 0
    for page in pending(ledger, history.view, place, PAGE):
        wanted = {row.entity_id: row for row in page}
        for batch in batches_of(history, page):
            write_batches(store, history.view, [batch])
            rows = [wanted.pop(key) for key in batch.column(history.key).to_pylist()]
            _read_back(store, history.view, rows[:: max(1, len(rows) // READ_BACK)])
            with ledger.begin() as db:
                mark_online(db, history.view, rows, place, now_us())
            written += len(rows)
            progress(len(rows))
        lost += len(wanted)
    return Written(written, lost)


def _read_back(store: "FeatureStore", view: str, rows: Sequence[Newest]) -> None:
    if lacking := _lacking(store, view, rows):
        raise StoreError(
            f"the online store did not keep {len(lacking)} of {len(rows)} rows of {view} that were"
            " just written and read back.\n"
            "Is something else writing there? Look at what it holds: star audit"
        )


def _lacking(store: "FeatureStore", view: str, rows: Sequence[Newest]) -> list[Newest]:
    """Rows that are not online as they should be; one with newer content is as good."""
    found = stored(store, view, [row.entity_id for row in rows]) if rows else []
    return [
        row
        for row, there in zip(rows, found, strict=True)
        if there.checksum is None
        or (there.checksum != row.checksum and there.event_us <= row.content_us)
    ]
