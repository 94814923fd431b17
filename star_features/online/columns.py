"""
Columns of stored bytes: what the fast stores read and write beneath Feast's interface.

    columns, = store.read_columns(config, [ViewRead("job_graph_v1", ("vector", "space"), keys)])
    store.write_rows(config, view, Rows(keys, {"vector": [...], "space": [...]}, event, created))
    store.delete_rows(config, view, keys)
    for found in store.scan(config, view): ...                   # every row of a view, in pages

`ColumnarStore` turns Feast's own calls (`online_read`, `online_write_batch`) into these two, so
that an order and a layout are written down once per store.

Shapes: N entities.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from star_features.online.wire import NEVER

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ViewRead:
    """Which features of which entities to read.

    Attributes:
        table: the view's name in the online store (`online_name`).
        features: feature names.
        keys: N entity keys, each once.
    """

    table: str
    features: tuple[str, ...]
    keys: list[bytes]


@dataclass(frozen=True)
class Columns:
    """What a view held for the entities that were asked for, in their order.

    Attributes:
        values: one list of N stored values a feature; None where nothing is stored.
        event_us_N: event times in microseconds, NEVER where nothing is stored.
    """

    values: list[list[bytes | None]]
    event_us_N: NDArray[np.int64]


@dataclass(frozen=True)
class Page:
    """Some rows of one view, as they are stored.

    Attributes:
        keys: N entity keys.
        columns: what the view's features held for them.
    """

    keys: list[bytes]
    columns: Columns


@dataclass(frozen=True)
class Rows:
    """Rows of one view to write, in any order.

    Attributes:
        keys: N entity keys; where one occurs twice, the later in time is kept.
        values: a column of N stored values a feature.
        event_us_N: when the content became true, in microseconds.
        created_us_N: when it was computed.
    """

    keys: list[bytes]
    values: dict[str, list[bytes]]
    event_us_N: NDArray[np.int64]
    created_us_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def once_each(self) -> "Rows":
        """Only the row of each entity that would be left after all had been written."""
        if len(set(self.keys)) == len(self.keys):
            return self
        order = np.lexsort((np.arange(len(self)), self.created_us_N, self.event_us_N))
        last = {self.keys[row]: row for row in order.tolist()}
        return self.take(sorted(last.values()))

    def take(self, rows: Sequence[int]) -> "Rows":
        return Rows(
            [self.keys[row] for row in rows],
            {name: [column[row] for row in rows] for name, column in self.values.items()},
            self.event_us_N[rows],
            self.created_us_N[rows],
        )


ReadRow = tuple[datetime | None, dict[str, Any] | None]


class ColumnarStore(ABC):
    """Feast's reads and writes, over columns. Stands before Feast's class in a store's bases."""

    @abstractmethod
    def read_columns(self, config: "RepoConfig", reads: Sequence[ViewRead]) -> list[Columns]:
        """Read several views in one round trip (one query a view where the store is local)."""

    @abstractmethod
    def write_rows(self, config: "RepoConfig", table: "FeatureView", rows: Rows) -> None:
        """Write rows, except those that are older than what is stored.

        Raises:
            StoreError: the view has no table yet, or the store cannot be reached.
        """

    @abstractmethod
    def delete_rows(self, config: "RepoConfig", table: "FeatureView", keys: Sequence[bytes]) -> int:
        """Remove the rows of these entities from one view; returns how many were there.

        Raises:
            StoreError: the view has no table yet, or the store cannot be reached.
        """

    @abstractmethod
    def scan(self, config: "RepoConfig", table: "FeatureView", rows: int = 5_000) -> Iterator[Page]:
        """Every entity that has a row in a view, in pages of about `rows`; in no set order.

        What is written meanwhile may be seen or not; Redis may show an entity twice.

        Raises:
            StoreError: the view has no table yet, or the store cannot be reached.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""

    async def close(self) -> None:
        """What Feast's feature server calls as it stops."""
        self.disconnect()

    def delete_entities(
        self, config: "RepoConfig", tables: Sequence["FeatureView"], keys: Sequence[bytes]
    ) -> int:
        """Remove all rows of these entities; returns how many there were.

        Args:
            tables: their views of today; where a store can, those of before go too.
        """
        return sum(self.delete_rows(config, table, keys) for table in tables)

    def online_read(
        self,
        config: "RepoConfig",
        table: "FeatureView",
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[ReadRow]:
        """Feast's read. An entity without a row is (None, None) on every store."""
        names = tuple(requested_features or [field.name for field in table.features])
        asked = serialised(config, entity_keys)
        keys = list(dict.fromkeys(asked))
        (read,) = self.read_columns(config, [ViewRead(online_name(config, table), names, keys)])
        found = dict(zip(keys, _feast_rows(names, read), strict=True))
        return [found[key] for key in asked]

    async def online_read_async(self, *args: Any, **kwargs: Any) -> list[ReadRow]:
        """`online_read` in a thread: quicker than the drivers' own asyncio (online_async.py)."""
        import asyncio

        return await asyncio.to_thread(self.online_read, *args, **kwargs)

    def _read_features_per_fv(
        self,
        config: "RepoConfig",
        grouped_refs: list[tuple[Any, list[str]]],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """Feast's hook for a request of several views: here all of them in one round trip."""
        from feast import utils

        unique = [
            utils._get_unique_entities(table, join_key_values, entity_name_to_join_key_map)
            for table, _ in grouped_refs
        ]
        reads = [
            ViewRead(
                online_name(config, table),
                tuple(features),
                serialised(config, utils._get_entity_key_protos(values)),
            )
            for (table, features), (values, _, _) in zip(grouped_refs, unique, strict=True)
        ]
        for (table, features), (_, places, count), read in zip(
            grouped_refs, unique, self.read_columns(config, reads), strict=True
        ):
            utils._populate_response_from_feature_data(
                features,
                _feast_rows(features, read),
                places,
                online_features_response,
                full_feature_names,
                table,
                count,
                include_feature_view_version_metadata,
            )

    async def _read_features_per_fv_async(self, *args: Any, **kwargs: Any) -> None:
        import asyncio

        await asyncio.to_thread(self._read_features_per_fv, *args, **kwargs)

    def online_write_batch(
        self,
        config: "RepoConfig",
        table: "FeatureView",
        data: list[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Feast's write, through `write_rows`."""
        for batch in same_features(data):
            self.write_rows(config, table, _as_rows(config, batch))
        if progress:
            progress(len(data))


Row = tuple[Any, dict[str, Any], datetime, datetime | None]


Cell = tuple[bytes, str, bytes | None, int]
"""Entity key, feature, stored value, event time."""


def gathered(cells: Sequence[Cell], names: Sequence[str]) -> tuple[list[bytes], Columns]:
    """Cells of a SQL table, those of one entity together, as columns."""
    keys: list[bytes] = []
    values: dict[str, list[bytes | None]] = {name: [] for name in names}
    times: list[int] = []
    for key, feature, value, event in cells:
        if not keys or keys[-1] != key:
            keys.append(key)
            times.append(event)
            for column in values.values():
                column.append(None)
        if feature in values:
            values[feature][-1] = value
            times[-1] = event
    return keys, Columns(list(values.values()), np.asarray(times, dtype=np.int64))


def cells_of(rows: int, names: Sequence[str]) -> int:
    """How many cells to ask for: at least one entity's, whatever other features it has had."""
    return max(1_000, (rows + 1) * len(names))


def whole(cells: list[Cell], most: int) -> list[Cell]:
    """Cells up to the last entity of which all are there; `most` were asked for."""
    if len(cells) < most:
        return cells
    last = cells[-1][0]
    kept = next(n for n in range(len(cells), 0, -1) if cells[n - 1][0] != last)
    return cells[:kept]


def same_features(data: Iterable[Row]) -> list[list[Row]]:
    """Rows grouped by which features they carry: usually all of them, so one group."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in data:
        groups.setdefault(tuple(sorted(row[1])), []).append(row)
    return list(groups.values())


def serialised(config: "RepoConfig", entity_keys: Iterable[Any]) -> list[bytes]:
    """Feast's own bytes of any entity keys."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    version = config.entity_key_serialization_version
    return [serialize_entity_key(key, version) for key in entity_keys]


def online_name(config: "RepoConfig", table: "FeatureView") -> str:
    """The name of a view in the online store."""
    from feast.infra.online_stores.helpers import compute_versioned_name

    versioning = config.registry.enable_online_feature_view_versioning
    return str(compute_versioned_name(table, versioning))


def as_micros(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is UTC, as everywhere in Feast."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def as_datetime(event_us: int) -> datetime | None:
    return None if event_us == NEVER else _EPOCH + timedelta(microseconds=event_us)


def _feast_rows(names: Sequence[str], read: Columns) -> list[ReadRow]:
    """Columns as Feast's interface hands them out: a row an entity."""
    from feast.protos.feast.types.Value_pb2 import Value

    rows: list[ReadRow] = []
    for event_us, *values in zip(read.event_us_N.tolist(), *read.values, strict=True):
        row = {n: Value.FromString(v) for n, v in zip(names, values, strict=True) if v is not None}
        rows.append((as_datetime(event_us), row) if row else (None, None))
    return rows


def _as_rows(config: "RepoConfig", batch: list[Row]) -> Rows:
    events = [as_micros(event) for _, _, event, _ in batch]
    # A writer that does not say when it computed a row computed it when it became true.
    created = [
        as_micros(moment) if moment else event
        for event, (_, _, _, moment) in zip(events, batch, strict=True)
    ]
    return Rows(
        serialised(config, (key for key, _, _, _ in batch)),
        {
            name: [values[name].SerializeToString() for _, values, _, _ in batch]
            for name in batch[0][1]
        },
        np.asarray(events, dtype=np.int64),
        np.asarray(created, dtype=np.int64),
    )
