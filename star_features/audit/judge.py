"""
What is wrong with which entity of a view, and what mends it.

    report = audit_view(bench, ledger, store, asked)        # findings go to the bench's table
    report = confirm(bench, ledger, store, asked, report)   # those that are still there

Four places speak of an entity: the source (its text or categories, as tables and events have
them), the history (its newest row, journal included), the ledger and the online store. Where two
disagree, a third one, or the digest of the history's file, tells which of them is wrong; only where
nothing can tell is a vector computed anew.

    kind        missing, stale, orphaned, mixed (of another space), corrupted
    layer       history, ledger, online: which place is wrong; file: a part of the history
    cure        compute (by the stages), restore (the history from the online store, whose bytes the
                ledger knows), drop (a row of the history), retake (the ledger from the history),
                rewrite (online from the history), remove, erase; of files: take_in, forget,
                set_aside
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from star_features.audit.bench import Bench
from star_features.audit.parts import Parts, again, look
from star_features.audit.reading import (
    history_rows,
    journal_rows,
    ledger_rows,
    online_rows,
    strange_rows,
)
from star_features.audit.verdicts import ERASED, EXPECTED, FINDINGS, ONE_EACH, STRANGE
from star_features.ledger.ledger import Ledger
from star_features.ledger.tombstones import Graves, graves
from star_features.store.history import History

if TYPE_CHECKING:
    from feast import FeatureStore

AT_ONCE = 50_000
"""Findings that are looked at again at a time."""

Source = Callable[[Collection[str] | None], Iterable[pa.RecordBatch]]
"""Of these ids, or of all: `id`, `input` (null where times alone tell), `at_us`, `absent` (there is
nothing to make a row from), `rank`: of the rows of an id the latest counts, then the highest rank.
"""


@dataclass(frozen=True)
class Asked:
    """A view to audit.

    Attributes:
        space: the space its vectors should live in; None for categorical features.
        width: of its vectors.
        source: what it is made from.
        dated: whether a source that is newer than the row makes it stale, whatever its input.
        online: whether it is served; of a version that is not, the online store is not asked.
    """

    history: History
    space: str | None
    width: int | None
    source: Source
    dated: bool = False
    online: bool = True

    @property
    def view(self) -> str:
        return self.history.view

    @property
    def entity(self) -> str:
        return self.view.partition("_")[0]


@dataclass
class ViewReport:
    """What an audit found of one view.

    Attributes:
        entities: how many should have a row.
        findings: how many of each (kind, layer, cure).
        parts: the history's files.
    """

    view: str
    entities: int
    findings: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    parts: Parts = field(default_factory=Parts)


def audit_view(
    bench: Bench,
    ledger: Ledger,
    store: "FeatureStore | None",
    asked: Asked,
    ids: Collection[str] | None = None,
    parts: Parts | None = None,
) -> ViewReport:
    """
    Compare all four places; findings are added to the bench.

    Args:
        store: None where nothing is online yet: then it is not asked.
        ids: look at these alone: at no orphan beyond them, and not at every byte of the files.
        parts: the history's files, where they were looked at before.
    """
    store = store if asked.online else None
    parts = parts or look(ledger, asked.history, digests=ids is None)
    with ledger.begin() as db:
        buried = graves(db, asked.entity)
    bench.clear()
    _load(bench, ledger, store, asked, ids, parts, buried)
    _judge(bench, asked, parts, with_online=store is not None)
    if ids is None:
        _judge_files(bench, asked.view, parts)
    entities = bench.one("SELECT count(*) FROM expected")
    return ViewReport(asked.view, entities, counts(bench, asked.view), parts)


def confirm(
    bench: Bench,
    ledger: Ledger,
    store: "FeatureStore | None",
    asked: Asked,
    report: ViewReport,
) -> ViewReport:
    """Look at every finding again: what somebody was just writing is none."""
    if not report.findings:
        return report
    parts = again(ledger, asked.history, report.parts)
    view = {"view": asked.view}
    bench.db.execute("CREATE OR REPLACE TABLE first AS SELECT * FROM finding WHERE false")
    bench.db.execute("INSERT INTO first SELECT * FROM finding WHERE view = $view", view)
    bench.db.execute("DELETE FROM finding WHERE view = $view AND layer <> 'file'", view)
    named = "SELECT DISTINCT id FROM first WHERE layer <> 'file' ORDER BY id"
    ids = [row[0] for row in bench.db.execute(named).fetchall()]
    for start in range(0, len(ids), AT_ONCE):
        audit_view(bench, ledger, store, asked, ids[start : start + AT_ONCE], parts)
    bench.db.execute(
        "DELETE FROM finding WHERE view = $view AND (id, kind, layer) NOT IN "
        "(SELECT id, kind, layer FROM first)",
        view,
    )
    return ViewReport(asked.view, report.entities, counts(bench, asked.view), parts)


def counts(bench: Bench, view: str) -> Counter[tuple[str, str, str]]:
    """How many findings of a view there are, by kind, layer and cure."""
    rows = bench.db.execute(
        "SELECT kind, layer, cure, count(*) FROM finding WHERE view = $view GROUP BY ALL",
        {"view": view},
    )
    return Counter({(kind, layer, cure): count for kind, layer, cure, count in rows.fetchall()})


def _load(
    bench: Bench,
    ledger: Ledger,
    store: "FeatureStore | None",
    asked: Asked,
    ids: Collection[str] | None,
    parts: Parts,
    buried: Graves,
) -> None:
    online = () if store is None else online_rows(store, asked.view, _listed(ids))
    files = parts.readable, parts.intact
    streams: dict[str, Iterable[pa.RecordBatch]] = {
        "source": asked.source(ids),
        "ledger": ledger_rows(ledger, asked.view, ids),
        "history": history_rows(bench, asked.history, *files, asked.width, ids),
        "online": online,
    }
    for table, batches in streams.items():
        bench.load(table, _without_erased(bench, table, batches, buried))
    bench.load("history", journal_rows(ledger, asked.view, asked.width, ids))
    if asked.space is not None:
        strange = strange_rows(bench, asked.history, parts.readable, asked.space, ids)
        bench.load("strange", strange)
    bench.load("buried", _as_batch(buried.deleted_us))


def _judge(bench: Bench, asked: Asked, parts: Parts, *, with_online: bool) -> None:
    bench.db.execute(EXPECTED)
    bench.db.execute(ONE_EACH)
    values = {
        "view": asked.view,
        "space": asked.space or "",
        "spaced": asked.space is not None,
        "dated": asked.dated,
        "whole": parts.whole,
        "online": with_online,
    }
    bench.db.execute(FINDINGS, values)
    bench.db.execute(STRANGE, {"view": asked.view})
    bench.db.execute(ERASED, {"view": asked.view})


def _judge_files(bench: Bench, view: str, parts: Parts) -> None:
    rows = [
        *((view, name, "missing", "file", "forget", None) for name in parts.missing),
        *((view, name, "corrupted", "file", "set_aside", None) for name in parts.unreadable),
        *((view, name, "corrupted", "file", "set_aside", None) for name in parts.damaged),
        *((view, name, "missing", "file", "take_in", None) for name in parts.unknown),
    ]
    if rows:
        bench.db.executemany("INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?)", rows)


def _without_erased(
    bench: Bench, layer: str, batches: Iterable[pa.RecordBatch], buried: Graves
) -> Iterator[pa.RecordBatch]:
    """The batches as they are; who was erased and is there nevertheless is noted."""
    for batch in batches:
        ids = batch.column("id").to_pylist() if buried.erased else []
        if gone := buried.erased_among(id for id in ids if id is not None):
            bench.db.executemany("INSERT INTO erased VALUES (?, ?)", [(id, layer) for id in gone])
        yield batch


def _as_batch(times_us: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    if times_us:
        ids, times = list(times_us), list(times_us.values())
        yield pa.record_batch(
            {"id": pa.array(ids, pa.string()), "at_us": pa.array(times, pa.int64())}
        )


def _listed(ids: Collection[str] | None) -> list[str] | None:
    return None if ids is None else sorted(ids)
