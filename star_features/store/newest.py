"""
Rows of a history found by keys and times first; their vectors are fetched last, from their places.

    for batch in newest_batches(history):                 # the newest whole row of every entity
        ...
    for batch in batches_of(history, page):               # these rows, as the ledger knows them
        ...

Batches come in the order in which rows lie on disk, each of bounded size, so that memory is that
of the keys and of one batch.

Shapes: N rows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from star_features.ledger.vectors import Newest
from star_features.offline.fetch import rows_at
from star_features.offline.picks import ROW_BITS
from star_features.store.history import NEWEST, History

BATCH_BYTES = 16 << 20
"""Feature bytes of a batch."""

BATCH_ROWS = 10_000


def newest_batches(
    history: History, batch_bytes: int = BATCH_BYTES, ids: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The newest row of every entity, or of these."""
    history.ensure()
    files = history.parts()
    newest = (
        f"SELECT place FROM {_keys(history, files)} "
        f"{'' if ids is None else f'SEMI JOIN asked USING ({history.key}) '}"
        f"QUALIFY row_number() OVER (PARTITION BY {history.key} ORDER BY {NEWEST}, place) = 1"
    )
    with duckdb.connect() as db:
        if ids is not None:
            db.register("asked", pa.table({history.key: pa.array(ids, pa.string())}))
        place_N = _places(db, newest)
    yield from _batches(history, files, place_N, batch_bytes)


def batches_of(
    history: History, rows: Sequence[Newest], batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """These rows, told by id, hash and times; one that is not there is left out."""
    files = history.parts()
    wanted = pa.table(
        {
            "id": pa.array([row.entity_id for row in rows], pa.string()),
            "input_hash": pa.array([row.input_hash for row in rows], pa.string()),
            "content_us": pa.array([row.content_us for row in rows], pa.int64()),
            "computed_us": pa.array([row.computed_us for row in rows], pa.int64()),
        }
    )
    found = (
        f"SELECT any_value(place) AS place FROM {_keys(history, files)} AS stored JOIN wanted "
        f"ON stored.{history.key} = wanted.id AND stored.input_hash = wanted.input_hash "
        "AND epoch_us(event_timestamp) = content_us AND epoch_us(created) = computed_us "
        "GROUP BY wanted.id, wanted.input_hash, content_us, computed_us"
    )
    with duckdb.connect() as db:
        db.register("wanted", wanted)
        place_N = _places(db, found)
    yield from _batches(history, files, place_N, batch_bytes)


def _keys(history: History, files: Sequence[Path]) -> str:
    """Id, hash, times and place of every stored row, as one SQL relation."""
    named = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return (
        f"(SELECT {history.key}, input_hash, event_timestamp, created, "
        f"(file_index::BIGINT << {ROW_BITS}) | file_row_number AS place "
        f"FROM read_parquet([{named}], hive_partitioning=false))"
    )


def _places(db: duckdb.DuckDBPyConnection, query: str) -> NDArray[np.int64]:
    place_N: NDArray[np.int64] = db.execute(query).fetchnumpy()["place"].astype(np.int64)
    return np.sort(place_N)


def _batches(
    history: History, files: list[Path], place_N: NDArray[np.int64], batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    fields = {field.name: field for field in history.schema}
    step = max(1, min(BATCH_ROWS, batch_bytes // max(1, 4 * _width(files, place_N))))
    for start in range(0, len(place_N), step):
        table = rows_at(tuple(files), place_N[start : start + step], fields)
        yield from table.select(history.schema.names).combine_chunks().to_batches()


def _width(files: list[Path], place_N: NDArray[np.int64]) -> int:
    """Numbers in a row of the first file that is wanted; 0 where it holds no vectors."""
    if not len(place_N):
        return 0
    group = pq.read_metadata(files[int(place_N[0]) >> ROW_BITS]).row_group(0)
    chunks = [group.column(n) for n in range(group.num_columns)]
    numbers = [c.num_values for c in chunks if c.path_in_schema.split(".")[0] == "vector"]
    return numbers[0] // group.num_rows if numbers else 0
