"""
The result of a point-in-time request: one table, or a stream of batches in bounded memory.

    job = store.get_historical_features(labels, features=service, full_feature_names=True)
    table = job.to_arrow()
    for batch in job.to_arrow_batches():          # at most `batch_rows` labels each
        ...

Nothing is read before one of these is called. Rows come in the order of the labels.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata

from star_features.offline.fetch import Shelf, fetch
from star_features.offline.picks import bench, lay_labels, pick
from star_features.offline.plan import Lookup

SLICE_ROWS = 65_536
"""Labels in one chunk of a table: an Arrow list holds 2**31 numbers, so 32,767 wide at most."""


@dataclass(frozen=True)
class Limits:
    """How much of the machine one request may use: see StarOfflineStoreConfig."""

    memory_limit: str
    temp_directory: Path | None
    threads: int
    batch_rows: int


@dataclass(frozen=True)
class Request:
    """Labels, a table or a SELECT, and what is looked up for them."""

    labels: pa.Table | str
    time: str
    lookups: Sequence[Lookup]
    as_served: bool


class PointInTimeJob(RetrievalJob):  # type: ignore[misc]
    """Feast's retrieval job over our join."""

    def __init__(
        self,
        request: Request,
        limits: Limits,
        *,
        on_demand: list[Any],
        full_names: bool,
        metadata: RetrievalMetadata,
        repo_path: str,
    ) -> None:
        super().__init__()
        self.request, self.limits, self.repo_path = request, limits, repo_path
        self._on_demand, self._full_names, self._metadata = on_demand, full_names, metadata

    def to_arrow_batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Stream the result, on-demand features included, in memory that labels do not fill.

        Args:
            batch_rows: labels in a batch; the store's `batch_rows` unless given.
        """
        for table in self._tables(batch_rows or self.limits.batch_rows, shared=True):
            yield from _Slice(self, table).to_arrow().combine_chunks().to_batches()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return pa.concat_tables(self._tables(SLICE_ROWS, shared=False))

    def _to_df_internal(self, timeout: int | None = None) -> Any:
        return self._to_arrow_internal(timeout).to_pandas()

    def _tables(self, batch_rows: int, *, shared: bool) -> Iterator[pa.Table]:
        """The joined labels, slice by slice; at least one, which may be empty."""
        limits, time = self.limits, self.request.time
        with (
            scratch(limits.temp_directory) as folder,
            bench(limits.memory_limit, limits.threads, folder / "spill") as db,
        ):
            count = lay_labels(db, self.request.labels, time)
            shelves = [
                fetch(
                    pick(db, lookup, time=time, as_served=self.request.as_served),
                    lookup,
                    labels=count,
                    shared=folder if shared else None,
                    threads=limits.threads,
                )
                for lookup in self.request.lookups
            ]
            yield from joined(db, shelves, batch_rows)

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: Any = None) -> None:
        """Write the result where a saved dataset wants it, as Feast's DuckDB store does."""
        import ibis  # type: ignore[import-untyped]
        from feast.infra.offline_stores.duckdb import _write_data_source

        table, target = ibis.memtable(self.to_arrow()), storage.to_data_source()
        _write_data_source(table, target, self.repo_path, "overwrite", allow_overwrite)

    @property
    def full_feature_names(self) -> bool:
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata


class _Slice(RetrievalJob):  # type: ignore[misc]
    """Some rows of a job, so that Feast's own code adds the on-demand features to them."""

    def __init__(self, whole: PointInTimeJob, table: pa.Table) -> None:
        super().__init__()
        self.whole, self.table = whole, table

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.table

    @property
    def full_feature_names(self) -> bool:
        return self.whole.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return self.whole.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata:
        return self.whole.metadata


def joined(
    db: duckdb.DuckDBPyConnection, shelves: list[Shelf], batch_rows: int
) -> Iterator[pa.Table]:
    """The labels on the bench with their features beside them, in slices."""
    reader = db.execute("FROM labels").to_arrow_reader(batch_rows)
    schema = reader.schema
    for shelf in shelves:
        for name, field in shelf.fields.items():
            schema = schema.append(pa.field(name, field.type))
    yield schema.empty_table()
    start = 0
    for batch in reader:
        columns = list(batch.columns)
        for shelf in shelves:
            columns += shelf.columns(start, start + batch.num_rows).values()
        yield pa.Table.from_arrays(columns, schema=schema)
        start += batch.num_rows


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path]:
    """A folder of this request alone, gone afterwards."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="star-join-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
