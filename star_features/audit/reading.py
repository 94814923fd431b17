"""
What ledger, history, journal and online store hold of a view, as batches that a Bench takes in.

    bench.load("ledger", ledger_rows(ledger, view))
    bench.load("history", history_rows(bench, history, files, intact))
    bench.load("online", online_rows(store, view))

Every reader takes `ids` too: then it looks at these entities alone. A checksum is null where there
are no sound bytes to sum: no vector, another width, numbers that are not finite.

Shapes: N rows.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import select

from star_features.audit.bench import Bench
from star_features.errors import StoreError
from star_features.ledger.dialect import parts
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Journal, Vector
from star_features.ledger.vectors import checksum, checksum_of_texts
from star_features.offline.fetch import rows_at
from star_features.offline.picks import ROW_BITS
from star_features.online.columns import ColumnarStore, ViewRead, online_name
from star_features.online.stored import checksum_of, stored
from star_features.online.wire import entity_keys, ids_of, string_of, string_values, width_of
from star_features.store.history import NEWEST, History
from star_features.store.recording import checksums_of

if TYPE_CHECKING:
    from feast import FeatureStore

PAGE = 20_000
VECTORS = 4_000
"""Rows of which vectors are in memory at a time."""
IN_THE_JOURNAL = -1
"""The place of a row that is in no file yet."""


def ledger_rows(
    ledger: Ledger, view: str, ids: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Every row that the ledger has of a view."""
    fields = [
        *(Vector.entity_id, Vector.space, Vector.input_hash, Vector.checksum),
        *(Vector.content_us, Vector.computed_us, Vector.history_us),
    ]
    for rows in _pages(ledger, fields, Vector.entity_id, Vector.view == view, ids):
        id, space, hashed, total, content, computed, filed = zip(*rows, strict=True)
        yield pa.record_batch(
            {
                "id": pa.array(id, pa.string()),
                "space": pa.array(space, pa.string()),
                "input": pa.array(hashed, pa.string()),
                "sum": pa.array(total, pa.string()),
                "content_us": pa.array(content, pa.int64()),
                "computed_us": pa.array(computed, pa.int64()),
                "filed": pa.array([at is not None for at in filed], pa.bool_()),
            }
        )


def journal_rows(
    ledger: Ledger, view: str, width: int | None, ids: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of the history that are still in the journal."""
    fields = [
        *(Journal.id, Journal.entity_id, Journal.space, Journal.input_hash, Journal.vector),
        *(Journal.categories, Journal.content_us, Journal.computed_us),
    ]
    for rows in _pages(ledger, fields, Journal.id, Journal.view == view, ids):
        _, id, space, hashed, packed, texts, content, computed = zip(*rows, strict=True)
        sums = [
            checksum_of_texts(row_texts or {}) if vector is None else _sum(where, vector, width)
            for where, vector, row_texts in zip(space, packed, texts, strict=True)
        ]
        yield _history_batch(
            id, space, hashed, sums, content, computed, [IN_THE_JOURNAL] * len(id), [True] * len(id)
        )


def history_rows(
    bench: Bench,
    history: History,
    files: Sequence[Path],
    intact: Sequence[bool],
    width: int | None,
    ids: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """
    The newest row of every entity, from these files.

    Args:
        intact: of each file, whether it is known to be as it was taken in.
        width: of a sound vector; None for categorical features.
    """
    for batch, place_N in newest_rows(bench, history, files, ids):
        yield _history_batch(
            batch.column(history.key),
            _spaces(batch),
            batch.column("input_hash"),
            sums_of(batch, history, width),
            *(batch.column(name).cast(pa.int64()) for name in ("event_timestamp", "created")),
            place_N,
            [intact[number] for number in (place_N >> ROW_BITS).tolist()],
        )


def newest_rows(
    bench: Bench, history: History, files: Sequence[Path], ids: Collection[str] | None = None
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """The newest whole row of every entity, from these files, and where each lies."""
    if not files:
        return
    newest = (
        f"SELECT place FROM {_keys(bench, history, files, ids)} QUALIFY row_number() OVER "
        f"(PARTITION BY {history.key} ORDER BY {NEWEST}, place) = 1 ORDER BY place"
    )
    place_N: NDArray[np.int64] = bench.db.execute(newest).fetchnumpy()["place"].astype(np.int64)
    fields = {field.name: field for field in history.schema}
    for start in range(0, len(place_N), VECTORS):
        some_N = place_N[start : start + VECTORS]
        (batch,) = rows_at(tuple(files), some_N, fields).combine_chunks().to_batches()
        yield batch, some_N


def strange_rows(
    bench: Bench,
    history: History,
    files: Sequence[Path],
    space: str,
    ids: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Every row, not the newest alone, whose vector is of another space."""
    if not files:
        return
    keys = _keys(bench, history, files, ids)
    query = f"SELECT {history.key} AS id, place FROM {keys} WHERE space IS DISTINCT FROM $space"
    yield from bench.stream(query, {"space": space}, PAGE)


def newest_keys(
    bench: Bench, history: History, files: Sequence[Path], ids: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """What the newest row of every entity was computed from, and when it became true."""
    if not files:
        return
    yield from bench.stream(
        f"SELECT {history.key} AS id, input_hash AS input, epoch_us(event_timestamp) AS content_us,"
        f" epoch_us(created) AS computed_us FROM {_keys(bench, history, files, ids)} QUALIFY "
        f"row_number() OVER (PARTITION BY {history.key} ORDER BY {NEWEST}, place) = 1",
        {},
        PAGE,
    )


def online_rows(
    store: "FeatureStore", view: str, ids: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """
    Every row of a view online; of these entities, if asked, those that are there.

    Raises:
        StoreError: the store cannot be reached; or it is none of the fast ones, which alone can
            show all they hold.
    """
    from star_features.online.remover import columnar

    table = store.get_feature_view(view)
    names = [field.name for field in table.features]
    online = store._get_provider().online_store
    if ids is None:
        for page in columnar(store).scan(store.config, table):
            found = ids_of(table.join_keys[0], page.keys)
            yield _online_batch(found, names, page.columns.values, page.columns.event_us_N)
    elif isinstance(online, ColumnarStore):
        for some in parts(ids, PAGE):
            keys = entity_keys(table.join_keys[0], some)
            read = ViewRead(online_name(store.config, table), tuple(names), keys)
            (columns,) = online.read_columns(store.config, [read])
            yield _there(_online_batch(some, names, columns.values, columns.event_us_N))
    else:
        for some in parts(ids, PAGE):
            sums, times = zip(*stored(store, view, some), strict=True)
            yield _there(_named(some, [None] * len(sums), sums, np.asarray(times, dtype=np.int64)))


def _pages(
    ledger: Ledger, fields: list[Any], key: Any, which: Any, ids: Collection[str] | None
) -> Iterator[list[Any]]:
    """Rows by key, a page at a time, each page in a transaction of its own."""
    entity_id = next(field for field in fields if field.key == "entity_id")
    for some in [None] if ids is None else parts(sorted(ids)):
        asked = select(*fields).where(which).order_by(key).limit(PAGE)
        if some is not None:
            asked = asked.where(entity_id.in_(some))
        last = None
        while True:
            with ledger.read() as db:
                rows = list(db.execute(asked if last is None else asked.where(key > last)))
            if rows:
                yield rows
            if len(rows) < PAGE:
                break
            last = rows[-1][fields.index(key)]


def _keys(
    bench: Bench, history: History, files: Sequence[Path], ids: Collection[str] | None
) -> str:
    """Id, space, hash, times and place of the rows of these files, as one SQL relation."""
    named = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    space = "space" if "space" in history.features.names else "NULL::VARCHAR AS space"
    asked = ""
    if ids is not None:
        bench.ask(ids)
        asked = f" WHERE {history.key} IN (SELECT id FROM asked)"
    return (
        f"(SELECT {history.key}, {space}, input_hash, event_timestamp, created, "
        f"(file_index::BIGINT << {ROW_BITS}) | file_row_number AS place "
        f"FROM read_parquet([{named}], hive_partitioning=false){asked})"
    )


def _history_batch(*columns: Any) -> pa.RecordBatch:
    kinds = {
        **dict.fromkeys(("id", "space", "input", "sum"), pa.string()),
        **dict.fromkeys(("content_us", "computed_us", "place"), pa.int64()),
        "intact": pa.bool_(),
    }
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, kind)
        for column, kind in zip(columns, kinds.values(), strict=True)
    ]
    return pa.record_batch(arrays, names=list(kinds))


def sums_of(batch: pa.RecordBatch, history: History, width: int | None) -> list[str | None]:
    """Checksums; None where a vector has another width or a number that is not finite."""
    if width is None:
        return list(checksums_of(batch, history.features.names))
    lengths = pc.fill_null(pc.list_value_length(batch.column("vector")), -1)
    right = pc.equal(lengths, width)
    sound = batch.filter(right)
    numbers_ND = np.asarray(sound.column("vector").flatten(), np.float32).reshape(-1, width)
    sums = iter(checksums_of(sound, ["vector", "space"]))
    finite = iter(pa.array(np.isfinite(numbers_ND).all(axis=1)).to_pylist())
    out: list[str | None] = []
    for is_right in right.to_pylist():
        total = next(sums) if is_right else None
        out.append(total if is_right and next(finite) else None)
    return out


def _sum(space: str, packed: bytes, width: int | None) -> str | None:
    numbers = np.frombuffer(packed[: len(packed) // 4 * 4], "<f4")
    sound = len(packed) == 4 * (width or 0) and bool(np.isfinite(numbers).all())
    return checksum(space, packed) if sound else None


def _spaces(batch: pa.RecordBatch) -> pa.Array:
    if "space" in batch.schema.names:
        return batch.column("space")
    return pa.array([""] * batch.num_rows, pa.string())


def _online_batch(
    ids: Sequence[str | None],
    names: Sequence[str],
    values: Sequence[Sequence[bytes | None]],
    event_us_N: NDArray[np.int64],
) -> pa.RecordBatch:
    columns = dict(zip(names, values, strict=True))
    if "vector" in columns:
        told = {value: _text(value) for value in set(columns["space"])}
        spaces = [told[value] for value in columns["space"]]
        return _named(ids, spaces, _vector_sums(columns["vector"], spaces), event_us_N)
    rows = zip(*values, strict=True)
    sums = [checksum_of(dict(zip(names, row, strict=True))) for row in rows]
    return _named(ids, [None] * len(sums), sums, event_us_N)


def _vector_sums(values: Sequence[bytes | None], spaces: Sequence[str | None]) -> list[str | None]:
    """Checksums of stored vectors: nearly all of a view have the header of the first."""
    first = next((value for value in values if value), b"")
    width = _width_of(first)
    header, whole = first[: len(first) - 4 * width], len(first) if width else None
    out: list[str | None] = []
    for value, space in zip(values, spaces, strict=True):
        if not value or not space:
            out.append(None)
        elif len(value) == whole and value.startswith(header):
            out.append(checksum(space, memoryview(value)[len(header) :]))
        else:
            out.append(checksum_of({"vector": value, "space": string_values([space])[0]}))
    return out


def _width_of(value: bytes) -> int:
    try:
        return width_of(value) if value else 0
    except (StoreError, IndexError):
        return 0


def _named(
    ids: Sequence[str | None],
    spaces: Sequence[str | None],
    sums: Sequence[str | None],
    event_us_N: NDArray[np.int64],
) -> pa.RecordBatch:
    batch = {
        "id": pa.array(ids, pa.string()),
        "space": pa.array(spaces, pa.string()),
        "sum": pa.array(sums, pa.string()),
        "content_us": pa.array(event_us_N, pa.int64()),
    }
    return pa.record_batch(batch)


def _there(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without those that have no row."""
    return batch.filter(pc.not_equal(batch.column("content_us"), np.iinfo(np.int64).min))


def _text(value: bytes | None) -> str | None:
    try:
        return string_of(value) if value is not None else None
    except (StoreError, IndexError, UnicodeDecodeError):
        return None
