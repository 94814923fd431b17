"""
Writing Arrow rows of a feature view to the online store, in batches of bounded memory.

    write_batches(store, "job_graph_v1", newest_batches(history))

With one of the fast stores whole columns are turned into Feast's bytes at once; with any other
store the same rows go through Feast's own interface. Safe to run again: nothing older replaces
anything newer, and the same row replaces itself.

Shapes: N rows, D width of a vector.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from star_features.errors import DataError
from star_features.online.columns import ColumnarStore, Rows
from star_features.online.wire import (
    NULL,
    entity_keys,
    require_finite,
    string_values,
    vector_values,
)

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH_BYTES = 16 << 20
"""Feature bytes in memory, and in one transaction, at a time."""

TIME = pa.timestamp("us", tz="UTC")


def write_batches(
    store: "FeatureStore",
    view: str,
    batches: Iterable[pa.RecordBatch],
    *,
    progress: Callable[[int], object] = lambda rows: None,
    batch_bytes: int = BATCH_BYTES,
) -> int:
    """Write rows to the online table of a feature view; returns how many were handed over.

    Args:
        view: the feature view's name.
        batches: its entity's id, its features, `event_timestamp` and `created`; further columns
            are left out. Ids and features are strings or lists of float32.
        progress: called with the number of rows after each transaction.

    Raises:
        DataError: a null id, vectors of different widths, or numbers that are not finite.
        StoreError: the view has no online table, or the store cannot be reached.
    """
    table = store.get_feature_view(view)
    online = store._get_provider().online_store
    key = table.join_keys[0]
    features = [field.name for field in table.features]
    written = 0
    for batch in batches:
        for part in _slices(
            batch.select([key, *features, "event_timestamp", "created"]), batch_bytes
        ):
            rows = as_rows(part, view, key, features)
            if isinstance(online, ColumnarStore):
                online.write_rows(store.config, table, rows)
            else:
                online.online_write_batch(store.config, table, list(_feast_rows(rows)), None)
            written += len(rows)
            progress(len(rows))
    return written


def as_rows(batch: pa.RecordBatch, view: str, key: str, features: list[str]) -> Rows:
    """The stored bytes of a batch of rows."""
    ids = batch.column(key)
    if ids.null_count:
        raise DataError(view, f"{ids.null_count} rows without {key}", "Quarantine them first.")
    event_N = _micros(batch.column("event_timestamp"))
    created = pc.coalesce(batch.column("created"), batch.column("event_timestamp"))
    return Rows(
        entity_keys(key, ids.to_pylist()),
        {name: _stored(batch.column(name), f"{view}.{name}") for name in features},
        event_N,
        _micros(created),
    )


def _stored(column: pa.Array, where: str) -> list[bytes]:
    if not pa.types.is_list(column.type) and not pa.types.is_fixed_size_list(column.type):
        return string_values(column.cast(pa.string()).to_pylist())
    there = column.drop_null()
    vectors_ND = _matrix(there, where)
    require_finite(vectors_ND, where)
    if not column.null_count:
        return vector_values(vectors_ND)
    values = iter(vector_values(vectors_ND))
    return [next(values) if valid else NULL for valid in column.is_valid().to_pylist()]


def _matrix(lists: pa.Array, where: str) -> NDArray[np.float32]:
    widths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(widths) > 1:
        raise DataError(
            where,
            f"vectors of {len(widths)} widths: {', '.join(map(str, sorted(widths)[:5]))}",
            "Wanted one width: a space has one, so another width is another space.",
        )
    width = widths[0] if widths else 0
    return np.asarray(lists.flatten(), dtype=np.float32).reshape(len(lists), width)


def _slices(batch: pa.RecordBatch, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    row = max(1, batch.nbytes // max(1, batch.num_rows))
    step = max(1, batch_bytes // row)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _micros(times: pa.Array) -> NDArray[np.int64]:
    return np.asarray(times.cast(TIME).cast(pa.int64()), dtype=np.int64)


def _feast_rows(rows: Rows) -> Iterator[tuple[object, ...]]:
    from feast.infra.key_encoding_utils import deserialize_entity_key
    from feast.protos.feast.types.Value_pb2 import Value

    from star_features.online.columns import as_datetime

    for at, (key, event, created) in enumerate(
        zip(rows.keys, rows.event_us_N.tolist(), rows.created_us_N.tolist(), strict=True)
    ):
        values = {name: Value.FromString(column[at]) for name, column in rows.values.items()}
        yield deserialize_entity_key(key), values, as_datetime(event), as_datetime(created)
