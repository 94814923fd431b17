"""
What an online store holds of some entities, told by checksums: the ledger's own.

    for found in stored(store, "job_graph_v1", ids):
        found.checksum, found.event_us          # None, NEVER: no row

With one of the fast stores the stored bytes are summed as they are; any other is read through
Feast's interface.

Shapes: N entities.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from star_features.errors import StoreError
from star_features.ledger.vectors import checksum, checksum_of_texts
from star_features.online.columns import ColumnarStore, ViewRead, as_micros, online_name
from star_features.online.wire import NEVER, entity_keys, packed_of, string_of

if TYPE_CHECKING:
    from feast import FeatureStore


class Stored(NamedTuple):
    """One entity's row online.

    Attributes:
        checksum: as the ledger makes it; None where there is no row, or none that can be read.
        event_us: when its content became true; NEVER where there is no row.
    """

    checksum: str | None
    event_us: int


def stored(store: "FeatureStore", view: str, ids: Sequence[str]) -> list[Stored]:
    """What the store holds of these entities in a view, in their order.

    Raises:
        StoreError: the view has no table yet, or the store cannot be reached.
    """
    table = store.get_feature_view(view)
    online = store._get_provider().online_store
    names = tuple(field.name for field in table.features)
    if isinstance(online, ColumnarStore):
        keys = entity_keys(table.join_keys[0], ids)
        asked = ViewRead(online_name(store.config, table), names, keys)
        (found,) = online.read_columns(store.config, [asked])
        rows, times = list(zip(*found.values, strict=True)), found.event_us_N.tolist()
    else:
        rows, times = _through_feast(store, table, names, ids)
    return [
        Stored(checksum_of(dict(zip(names, row, strict=True))), event)
        for row, event in zip(rows, times, strict=True)
    ]


def checksum_of(row: Mapping[str, bytes | None]) -> str | None:
    """The checksum of a row of stored values, by feature; None where it holds no whole row."""
    try:
        if "vector" not in row:
            known = {name: value for name, value in row.items() if value is not None}
            texts = {name: string_of(value) for name, value in known.items()}
            return checksum_of_texts(texts) if known else None
        vector, space = row["vector"], row["space"]
        if not vector or not space:
            return None
        return checksum(string_of(space) or "", packed_of(vector))
    except (StoreError, IndexError, UnicodeDecodeError):  # bytes that are no value at all
        return None


def _through_feast(
    store: "FeatureStore", table: Any, names: tuple[str, ...], ids: Sequence[str]
) -> tuple[list[tuple[bytes | None, ...]], list[int]]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys = [
        EntityKey(join_keys=table.join_keys, entity_values=[Value(string_val=key)]) for key in ids
    ]
    found = store._get_provider().online_read(store.config, table, keys, list(names))
    rows = [
        tuple(values.get(name, Value()).SerializeToString() if values else None for name in names)
        for _, values in found
    ]
    return rows, [as_micros(event) if event else NEVER for event, _ in found]
