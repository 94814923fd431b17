"""
From the journal to the Parquet history: many rows at a time, under the lock of the home.

    flush(home, ledger, now_us)           # rows moved; the caller holds the home
    flush_if_free(home, ledger, now_us)   # None where a stage holds it: they wait

A row is struck from the journal after its file is there. Killed between the two, it is appended
again, and the history leaves out what it holds: then the ledger follows the row that is there.
"""

import pyarrow as pa

from pipelines.home import Home
from pipelines.receipts import only_one
from star_features.errors import UsageError
from star_features.ledger import journal
from star_features.ledger.journal import Line
from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import Place, in_history
from star_features.store.history import TIME, History
from star_features.store.recording import follow
from star_features.tables.canonical import Tables


def flush_if_free(home: Home, ledger: Ledger, now_us: int) -> int | None:
    """Move all rows, unless a stage is working in this home."""
    try:
        with only_one(home):
            return flush(home, ledger, now_us)
    except UsageError:
        return None


def flush(home: Home, ledger: Ledger, now_us: int) -> int:
    """Move all rows into the history; returns how many they were."""
    moved = 0
    for lines in journal.pages(ledger):
        history = history_of(home, lines[0].view)
        rows = _rows(history, lines)
        new = history.append(rows)
        follow(ledger, history, now_us)
        there = history.like(rows) if new < len(lines) else rows
        with ledger.begin() as db:
            in_history(db, history.view, _places(history, there), now_us)
            journal.strike(db, [line.id for line in lines])
        moved += len(lines)
    return moved


def history_of(home: Home, view: str) -> History:
    """The history behind a feature view."""
    entity, _, rest = view.partition("_")
    if rest != "attributes":
        return History.of_vectors(home.history, view)
    return History.of_attributes(
        home.history, entity, Tables(home.tables).categorical(f"{entity}s")
    )


def _rows(history: History, lines: list[Line]) -> pa.Table:
    schema = history.schema
    columns = {
        schema.names[0]: [line.entity_id for line in lines],
        "space": [line.space for line in lines],
        "input_hash": [line.input_hash for line in lines],
    }
    vectors_N = pa.array([line.vector for line in lines], pa.binary())
    out = []
    for field in schema:
        if field.name == "vector":
            out.append(_lists(vectors_N))
        elif field.name in ("event_timestamp", "created"):
            times = [line.content_us for line in lines]
            if field.name == "created":
                times = [line.computed_us for line in lines]
            out.append(pa.array(times, pa.int64()).cast(TIME))
        elif field.name in columns:
            out.append(pa.array(columns[field.name], pa.string()))
        else:
            values = [(line.categories or {}).get(field.name) for line in lines]
            out.append(pa.array(values, pa.string()))
    return pa.table(out, schema=schema)


def _lists(packed_N: pa.Array) -> pa.Array:
    """Lists of float32 from their bytes, without touching single numbers."""
    _, offsets, data = packed_N.buffers()
    numbers = pa.Array.from_buffers(pa.float32(), data.size // 4, [None, data])
    bytes_N1 = pa.Array.from_buffers(pa.int32(), len(packed_N) + 1, [None, offsets])
    starts_N1 = pa.array(bytes_N1.to_numpy() // 4, pa.int32())
    return pa.ListArray.from_arrays(starts_N1, numbers)


def _places(history: History, rows: pa.Table) -> list[Place]:
    columns = [rows[name] for name in (history.key, "input_hash", "event_timestamp", "created")]
    values = [(c.cast(pa.int64()) if c.type == TIME else c).to_pylist() for c in columns]
    return [Place(*row) for row in zip(*values, strict=True)]
