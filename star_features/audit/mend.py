"""
Mending what an audit found, as far as no vector has to be computed: files, history, ledger, online.

    mender = Mender(bench, ledger, store, place, now_us, aside=home / "damaged")
    mender.mend(asked, report)        # Counter({"ledger rows taken from the history": 3})
    …                                 # the stages compute what is missing
    mender.finish(asked)              # … and the online store says it

Nothing but what was found is touched, and doing it twice is doing it once. What cannot be read, or
is not what was written, is moved aside and never destroyed.
"""

import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, and_, delete, select

from star_features.audit.bench import Bench
from star_features.audit.judge import Asked, ViewReport
from star_features.audit.reading import sums_of
from star_features.erasure.rows import rewrite
from star_features.ledger.dialect import parts as some_of
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Journal, Part, Vector
from star_features.ledger.vectors import Newest, mark_online, mark_pending
from star_features.offline.picks import ROW_BITS
from star_features.online.columns import ViewRead, online_name
from star_features.online.remover import columnar, remove_entities
from star_features.online.stored import checksum_of, stored
from star_features.online.wire import entity_keys, packed_of, string_of
from star_features.online.writer import write_batches
from star_features.store.history import TIME, History
from star_features.store.newest import batches_of
from star_features.store.recording import amending, follow, recall

if TYPE_CHECKING:
    from feast import FeatureStore

PAGE = 10_000
A_FEW = 100
"""So many orphans may always be removed at once."""
SHARE = 0.2
"""Of all entities of a view: more orphans than that are held back."""
KEYS = ("content_us", "computed_us", "input_hash", "checksum")


class Mender:
    """Mends views, one at a time, by the findings on a bench.

    Args:
        place: the fingerprint of the online store.
        aside: where damaged files go.
    """

    def __init__(
        self,
        bench: Bench,
        ledger: Ledger,
        store: "FeatureStore | None",
        place: str,
        now_us: int,
        aside: Path,
    ) -> None:
        self.bench, self.ledger, self.store, self.place = bench, ledger, store, place
        self.now_us, self.aside = now_us, aside

    def mend(self, asked: Asked, report: ViewReport) -> Counter[str]:
        """History, files and ledger of one view; what is computed anew is forgotten first."""
        history, view, done = asked.history, asked.view, Counter[str]()
        done["rows dropped from the history"] = self._drop(history, report.parts.readable)
        done += self._files(asked, report)
        done["rows put back into the history"] = self._restore(history)
        retaken = self._retake(history, self._found(view, "retake"))
        done["ledger rows taken from the history"] = retaken
        done["ledger rows removed"] = self._forget(history, self._found(view, "remove", "ledger"))
        self._forget(history, self._found(view, "compute"))
        return +done

    def finish(self, asked: Asked) -> Counter[str]:
        """After the stages: what was computed anew is known, and what was wrong online is right."""
        done = Counter[str]()
        with self.ledger.read() as db:
            known = set(_newest(db, asked.view, self._found(asked.view, "compute")))
        self._retake(
            asked.history, [id for id in self._found(asked.view, "compute") if id not in known]
        )
        if self.store is not None and asked.online:
            gone = self._found(asked.view, "remove", "online")
            removed = (remove_entities(self.store, asked.view, some) for some in some_of(gone))
            done["online rows removed"] = sum(removed)
            cures = ("rewrite", "compute", "restore", "retake")
            ids = sorted({id for cure in cures for id in self._found(asked.view, cure)})
            done["online rows written"] = sum(
                self._write(asked.history, list(some)) for some in some_of(ids, PAGE)
            )
        return +done

    def hold_back(self, asked: Asked, report: ViewReport) -> int:
        """Of orphans that are very many nobody is removed: it is the source that looks broken."""
        orphans = sum(count for (_, _, cure), count in report.findings.items() if cure == "remove")
        if orphans <= max(A_FEW, SHARE * (orphans + report.entities)):
            return 0
        self.bench.db.execute(
            "UPDATE finding SET cure = 'held back' WHERE view = $view AND cure = 'remove'",
            {"view": asked.view},
        )
        return orphans

    def _found(self, view: str, cure: str, layer: str | None = None) -> list[str]:
        """Whom a cure is for; files by name."""
        chosen = "SELECT DISTINCT id FROM finding WHERE view = $view AND cure = $cure"
        values = {"view": view, "cure": cure}
        if layer is not None:
            chosen, values = f"{chosen} AND layer = $layer", values | {"layer": layer}
        return sorted(row[0] for row in self.bench.db.execute(chosen, values).fetchall())

    def _drop(self, history: History, files: list[Path]) -> int:
        """Rows that are of another space, or not what was computed, wherever they lie."""
        rows = self.bench.db.execute(
            "SELECT DISTINCT place FROM finding WHERE view = $view AND place >= 0 ORDER BY place",
            {"view": history.view},
        )
        place_N = np.array([row[0] for row in rows.fetchall()], dtype=np.int64)
        damaged = set(self._found(history.view, "set_aside"))
        for number in np.unique(place_N >> ROW_BITS).tolist():
            path = files[number]
            if str(path.relative_to(history.folder)) in damaged:
                continue  # of that one only what is known to be right is kept
            gone_N = place_N[place_N >> ROW_BITS == number] & ((1 << ROW_BITS) - 1)
            with amending(self.ledger, history, path, self.now_us):
                rewrite(path, _WithoutPlaces(gone_N), keep_empty=False)
        with self.ledger.begin() as db:
            for some in some_of(self._in_the_journal(history.view)):
                named = and_(Journal.view == history.view, Journal.entity_id.in_(some))
                db.execute(delete(Journal).where(named))
        return len(place_N)

    def _in_the_journal(self, view: str) -> list[str]:
        rows = "SELECT DISTINCT id FROM finding WHERE view = $view AND place < 0"
        return [row[0] for row in self.bench.db.execute(rows, {"view": view}).fetchall()]

    def _files(self, asked: Asked, report: ViewReport) -> Counter[str]:
        history, done = asked.history, Counter[str]()
        forgotten = self._found(history.view, "forget")
        with self.ledger.begin() as db:
            for some in some_of(forgotten):
                db.execute(delete(Part).where(Part.view == history.view, Part.name.in_(some)))
        done["files forgotten"] = len(forgotten)
        done["rows of the past that are lost"] = sum(report.parts.missing.values())
        for name in self._found(history.view, "set_aside"):
            done["files set aside"] += 1
            done["rows of the past that are lost"] += self._set_aside(asked, name, report)
        if self._found(history.view, "take_in"):
            done["rows taken in"] = follow(self.ledger, history, self.now_us)
        return done

    def _set_aside(self, asked: Asked, name: str, report: ViewReport) -> int:
        """Keep of a file what the ledger bears out, and the file itself elsewhere."""
        history = asked.history
        path, kept = history.folder / name, self.aside / history.view / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        if path not in report.parts.readable:
            rows = report.parts.unreadable.get(name, 0)
            with amending(self.ledger, history, path, self.now_us):
                os.replace(path, kept)
            return rows
        shutil.copy2(path, kept)
        before = pq.read_metadata(path).num_rows
        with amending(self.ledger, history, path, self.now_us):
            rewrite(path, lambda batch: self._borne_out(asked, batch), keep_empty=False)
        return int(before) - int(pq.read_metadata(path).num_rows if path.exists() else 0)

    def _borne_out(self, asked: Asked, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows whose checksum the ledger knows: the newest ones, as they were computed."""
        history, ids = asked.history, batch.column(asked.history.key).to_pylist()
        with self.ledger.read() as db:
            known = _rows(db, history.view, ids)
        times = ("event_timestamp", "created")
        said = zip(
            *(batch.column(name).cast(pa.int64()).to_pylist() for name in times),
            batch.column("input_hash").to_pylist(),
            sums_of(batch, history, asked.width),
            strict=True,
        )
        right = [known.get(id) == row for id, row in zip(ids, said, strict=True)]
        return batch.filter(pa.array(right, pa.bool_()))

    def _restore(self, history: History) -> int:
        """Rows that the history lost and the online store still has, byte for byte."""
        restored = 0
        for some in some_of(self._found(history.view, "restore"), PAGE):
            if self.store is None:
                break
            table = _from_online(self.store, self.ledger, history, some)
            restored += history.append(table)
        if restored:
            follow(self.ledger, history, self.now_us)
        return restored

    def _retake(self, history: History, ids: Sequence[str]) -> int:
        """The ledger's rows of these ids, anew from the history."""
        self._forget(history, ids)
        for some in some_of(ids, PAGE):
            recall(self.ledger, history, some, self.now_us)
        return len(ids)

    def _forget(self, history: History, ids: Collection[str]) -> int:
        forgotten = 0
        with self.ledger.begin() as db:
            for some in some_of(ids):
                named = and_(Vector.view == history.view, Vector.entity_id.in_(some))
                forgotten += db.execute(delete(Vector).where(named)).rowcount
        return forgotten

    def _write(self, history: History, ids: list[str]) -> int:
        """Make the online store hold the newest rows of these ids; returns how many it did not."""
        assert self.store is not None
        with self.ledger.read() as db:
            wanted = _newest(db, history.view, ids)
        wrong = self._wrong(history, list(wanted.values()))
        if wrong:
            self._put(history, wrong)
            # What has a later time than it should, or time's bytes in disorder, is in the way.
            if left := self._wrong(history, wrong):
                remove_entities(self.store, history.view, [row.entity_id for row in left])
                self._put(history, left)
        with self.ledger.begin() as db:
            mark_online(db, history.view, list(wanted.values()), self.place, self.now_us)
        return len(wrong)

    def _wrong(self, history: History, rows: list[Newest]) -> list[Newest]:
        assert self.store is not None
        found = stored(self.store, history.view, [row.entity_id for row in rows]) if rows else []
        return [
            row
            for row, there in zip(rows, found, strict=True)
            if there.checksum != row.checksum
            or there.event_us // 1_000_000 != row.content_us // 1_000_000
        ]

    def _put(self, history: History, rows: list[Newest]) -> None:
        assert self.store is not None
        with self.ledger.begin() as db:
            mark_pending(db, history.view, [row.entity_id for row in rows])
        write_batches(self.store, history.view, batches_of(history, rows))


class _WithoutPlaces:
    """Passes the batches of a file on without the rows of these numbers."""

    def __init__(self, gone_N: np.ndarray) -> None:
        self.gone_N, self.start = gone_N, 0

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        numbers_N = np.arange(self.start, self.start + batch.num_rows)
        self.start += batch.num_rows
        return batch.filter(pa.array(~np.isin(numbers_N, self.gone_N)))


def _newest(db: Connection, view: str, ids: Collection[str]) -> dict[str, Newest]:
    fields = [getattr(Vector, name) for name in Newest._fields]
    found: dict[str, Newest] = {}
    for some in some_of(ids):
        rows = select(*fields).where(Vector.view == view, Vector.entity_id.in_(some))
        found |= {row[0]: Newest(*row) for row in db.execute(rows)}
    return found


def _rows(db: Connection, view: str, ids: Collection[str]) -> dict[str, tuple[object, ...]]:
    fields = [getattr(Vector, name) for name in KEYS]
    found: dict[str, tuple[object, ...]] = {}
    for some in some_of(ids):
        rows = select(Vector.entity_id, *fields)
        rows = rows.where(Vector.view == view, Vector.entity_id.in_(some))
        found |= {id: tuple(row) for id, *row in db.execute(rows)}
    return found


def _from_online(
    store: "FeatureStore", ledger: Ledger, history: History, ids: Collection[str]
) -> pa.Table:
    """Rows as the online store has them, where the ledger knows their checksums."""
    table = store.get_feature_view(history.view)
    names = tuple(history.features.names)
    keys = entity_keys(table.join_keys[0], ids)
    (read,) = columnar(store).read_columns(
        store.config, [ViewRead(online_name(store.config, table), names, keys)]
    )
    with ledger.read() as db:
        known = _rows(db, history.view, ids)
    rows = []
    for id, values in zip(ids, zip(*read.values, strict=True), strict=True):
        row = dict(zip(names, values, strict=True))
        if id in known and checksum_of(row) == known[id][KEYS.index("checksum")]:
            content, computed, hashed, _ = known[id]
            rows.append((id, *_features(row), hashed, content, computed))
    columns = zip(*rows, strict=True) if rows else ([] for _ in history.schema)
    arrays = [
        pa.array(list(column), pa.int64() if field.type == TIME else field.type).cast(field.type)
        for field, column in zip(history.schema, columns, strict=True)
    ]
    return pa.table(arrays, schema=history.schema)


def _features(row: dict[str, bytes | None]) -> Iterator[object]:
    for name, value in row.items():
        if name == "vector":
            yield np.frombuffer(packed_of(value or b""), "<f4")
        else:
            yield None if value is None else string_of(value)
