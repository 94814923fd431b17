"""
Writing the newest rows of a history to the online store, through Feast's provider.

Unlike `feast materialize` it writes whole views in bounded batches, keeps no watermark that a
late row could fall behind, and never blocks a reader.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from star_features.store.history import History

if TYPE_CHECKING:
    from feast import FeatureStore

Row = tuple[Any, dict[str, Any], Any, Any]


def write_latest(
    store: "FeatureStore",
    history: History,
    *,
    batch_rows: int = 5_000,
    progress: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write the newest row of every entity of `history` to its feature view's online table.

    Writing the same rows again changes nothing. Returns the number of entities written.

    Args:
        batch_rows: rows in memory, and in one transaction of the store, at a time.
        progress: called with the number of rows after each batch.
    """
    view = store.get_feature_view(history.view)
    provider = store._get_provider()
    written = 0
    for batch in history.latest_batches(batch_rows):
        provider.online_write_batch(store.config, view, list(proto_rows(batch, history)), None)
        written += batch.num_rows
        progress(batch.num_rows)
    return written


def proto_rows(batch: pa.RecordBatch, history: History) -> Iterator[Row]:
    """Rows in the form Feast's providers take: entity key, values, event time, created time."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    ids = batch.column(history.key).to_pylist()
    names = [field.name for field in history.features]
    columns = [_values(batch.column(name)) for name in names]
    times = zip(
        batch.column("event_timestamp").to_pylist(),
        batch.column("created").to_pylist(),
        strict=True,
    )
    for key, (event, created), values in zip(ids, times, zip(*columns, strict=True), strict=True):
        entity = EntityKey(join_keys=[history.key], entity_values=[Value(string_val=key)])
        yield entity, dict(zip(names, values, strict=True)), event, created


def _values(column: pa.Array) -> list[Any]:
    """Feast values of one column: strings, or float lists copied from their packed bytes."""
    from feast.protos.feast.types.Value_pb2 import FloatList, Value

    if pa.types.is_list(column.type):
        flat = np.asarray(column.flatten(), dtype="<f4")
        ends = np.cumsum(np.asarray(column.value_lengths().fill_null(0)))
        pieces = np.split(flat, ends[:-1])
        return [Value(float_list_val=FloatList(val=piece)) for piece in pieces]
    return [Value() if v is None else Value(string_val=v) for v in column.to_pylist()]
