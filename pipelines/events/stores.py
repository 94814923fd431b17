"""
The online store as events use it: whole rows of a view in, single entities out.

Feast's own definitions are looked up once, not for every batch; what is written is what Feast's
push writes (`tests/pipelines/events/test_push.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipelines.events.compute import NewRow
from pipelines.events.towers import Vectors
from pipelines.home import Home
from star_features.catalogue import ENTITIES
from star_features.errors import StoreError
from star_features.ledger.vectors import Newest, checksum
from star_features.online.columns import ViewRead, online_name
from star_features.online.remover import columnar
from star_features.online.wire import decode_vectors, entity_keys, string_of, width_of
from star_features.online.writer import as_rows
from star_features.store.feast_store import open_store
from star_features.store.history import TIME, as_lists

ATTEMPTS = 6
LONGEST_WAIT = 4.0  # seconds between two attempts, at most


class OnlineViews:
    """The feature views of a home, and the store behind them."""

    def __init__(self, home: Home) -> None:
        self.store = open_store(home.repo, home.path)
        self.online = columnar(self.store)
        views = self.store.list_feature_views()
        self.views = {view.name: view for view in views}
        self.of_entity: dict[str, list[str]] = {
            entity: [view.name for view in views if view.join_keys == [f"{entity}_id"]]
            for entity in ENTITIES
        }

    def write(self, view: str, rows: Sequence[NewRow]) -> None:
        """Write rows of one view; older ones change nothing."""
        table = self._table(view)
        key = table.join_keys[0]
        names = [field.name for field in table.features]
        as_bytes = as_rows(_batch(key, names, rows), view, key, names)
        self._patiently(lambda: self.online.write_rows(self.store.config, table, as_bytes))

    def remove(self, entity: str, ids: Sequence[str]) -> int:
        """Remove entities from every view, of every version; returns how many rows there were."""
        keys = entity_keys(f"{entity}_id", ids)
        return sum(
            self._patiently(
                lambda table=self.views[view]: self.online.delete_rows(
                    self.store.config, table, keys
                )
            )
            for view in self.of_entity[entity]
        )

    def text_vector(self, view: str, id: str, known: Newest) -> Vectors | None:
        """The stored vector of one entity, if it is the one that the ledger knows."""
        table = self._table(view)
        keys = entity_keys(table.join_keys[0], [id])
        read = ViewRead(online_name(self.store.config, table), ("vector", "space"), keys)
        (columns,) = self.online.read_columns(self.store.config, [read])
        (value,), (space,) = columns.values
        if not value or not space or string_of(space) != known.space:
            return None
        vectors_1D = np.zeros((1, width_of(value)), dtype=np.float32)
        decode_vectors([value], vectors_1D)
        right = checksum(known.space, vectors_1D.tobytes()) == known.checksum
        return vectors_1D[0] if right else None

    def close(self) -> None:
        self.online.disconnect()

    def _table(self, view: str) -> Any:
        if view not in self.views:
            raise StoreError(
                f"Feast knows no view {view}, and an event has rows for it.\nRun this: star apply"
            )
        return self.views[view]

    def _patiently(self, say: Any) -> Any:
        """A store that is away for seconds is asked again; then its error goes on."""
        for attempt in Retrying(
            retry=retry_if_exception_type(StoreError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT),
            reraise=True,
        ):
            with attempt:
                return say()


def _batch(key: str, names: Sequence[str], rows: Sequence[NewRow]) -> pa.RecordBatch:
    columns: dict[str, Any] = {key: pa.array([row.id for row in rows], pa.string())}
    vectors = [row.vector_D for row in rows if row.vector_D is not None]
    for name in names:
        if name == "vector":
            columns[name] = as_lists(np.stack(vectors))
        elif name == "space" and vectors:
            columns[name] = pa.array([row.space for row in rows], pa.string())
        else:
            values = [(row.categories or {}).get(name) for row in rows]
            columns[name] = pa.array(values, pa.string())
    for name, times in (
        ("event_timestamp", [row.content_us for row in rows]),
        ("created", [row.computed_us for row in rows]),
    ):
        columns[name] = pa.array(times, pa.int64()).cast(TIME)
    return pa.record_batch(columns)
