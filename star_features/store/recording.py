"""
The ledger follows the history: whatever part it has not taken in yet, it takes in.

    follow(ledger, history, now_us)                     # how many rows were new to it
    recall(ledger, history, ["j1"], now_us)             # who was forgotten is there again
    checksums_of(batch, ["vector", "space"])            # of rows, as they lie in Parquet

Parts never change once they are written, so their names say what is known. A stage that was killed
between a part and the ledger, a home from before there was a ledger, and a part that another
process wrote are all the same case.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, delete, select

from star_features.files import sha256
from star_features.ledger.dialect import insert_into
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Part
from star_features.ledger.vectors import (
    PAGE,
    Computed,
    checksum,
    checksum_of_texts,
    forget_view,
    record,
)
from star_features.store.history import EMPTY, History, as_matrix
from star_features.store.newest import newest_batches


def follow(ledger: Ledger, history: History, now_us: int) -> int:
    """Record the rows of every part that the ledger does not know; returns how many.

    A view none of whose known parts is there was removed and began anew: it is forgotten first.
    """
    there = [str(path.relative_to(history.folder)) for path in history.parts()]
    with ledger.read() as db:
        known = set(db.execute(select(Part.name).where(Part.view == history.view)).scalars())
    if known and known.isdisjoint(there):
        with ledger.begin() as db:
            forget_view(db, history.view)
        known = set()
    unread = [name for name in there if name not in known and name != EMPTY]
    return sum(_take_in(ledger, history, name, now_us) for name in unread)


def recall(ledger: Ledger, history: History, ids: Sequence[str], now_us: int) -> None:
    """Record the newest rows of entities that had been forgotten, and are there again."""
    for batch in newest_batches(history, ids=ids):
        with ledger.begin() as db:
            record(db, as_computed(history, batch), now_us)


def checksums_of(batch: pa.RecordBatch, features: Sequence[str]) -> list[str]:
    """The checksum of every row: of its vector and space, or of its categorical features."""
    if "vector" not in features:
        columns = [batch.column(name).to_pylist() for name in features]
        rows = zip(*columns, strict=True)
        return [checksum_of_texts(dict(zip(features, row, strict=True))) for row in rows]
    spaces = batch.column("space").to_pylist()
    vectors_ND = as_matrix(batch.column("vector"), batch.num_rows)
    row_bytes = 4 * vectors_ND.shape[1]
    packed = np.ascontiguousarray(vectors_ND, dtype="<f4").data.cast("B")
    starts = range(0, len(spaces) * row_bytes, max(1, row_bytes))
    return [
        checksum(space, packed[start : start + row_bytes])
        for space, start in zip(spaces, starts, strict=True)
    ]


def _take_in(ledger: Ledger, history: History, name: str, now_us: int) -> int:
    """All rows of one part, then its name: killed in between, it is taken in again."""
    rows = 0
    with pq.ParquetFile(history.folder / name) as parquet:
        columns = [
            column for column in history.schema.names if column in parquet.schema_arrow.names
        ]
        for batch in parquet.iter_batches(PAGE, columns=columns):
            with ledger.begin() as db:
                record(db, as_computed(history, batch), now_us)
            rows += batch.num_rows
    with ledger.begin() as db:
        _remember(db, history, name, rows, now_us)
    return rows


@contextmanager
def amending(ledger: Ledger, history: History, path: Path, now_us: int) -> Iterator[None]:
    """Around rewriting, or removing, a part on purpose: the ledger then knows it as it is.

    Killed in between, the part is unknown, and taken in again by the next `follow`.
    """
    name = str(path.relative_to(history.folder))
    with ledger.begin() as db:
        db.execute(delete(Part).where(Part.view == history.view, Part.name == name))
    yield
    if path.exists():
        with ledger.begin() as db:
            _remember(db, history, name, pq.read_metadata(path).num_rows, now_us)


def as_computed(history: History, batch: pa.RecordBatch) -> Computed:
    n = batch.num_rows
    features = [name for name in history.features.names if name in batch.schema.names]
    event, created = (
        np.asarray(batch.column(name).cast(pa.int64())).tolist()
        for name in ("event_timestamp", "created")
    )
    return Computed(
        view=history.view,
        ids=batch.column(history.key).to_pylist(),
        spaces=batch.column("space").to_pylist() if "space" in features else [""] * n,
        input_hashes=batch.column("input_hash").to_pylist(),
        checksums=checksums_of(batch, features),
        content_us=event,
        computed_us=created,
    )


def _remember(db: Connection, history: History, name: str, rows: int, now_us: int) -> None:
    row = {"view": history.view, "name": name, "rows": rows, "recorded_us": now_us}
    row |= {"sha256": sha256(history.folder / name)}
    db.execute(insert_into(db, Part).values(row).on_conflict_do_nothing())
