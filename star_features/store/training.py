"""
Training sets: labels joined with the features as they stood when each label happened.

    frame = training_set(store, labels, service="ranker", as_served=False)
    write_training_set(store, labels, service="ranker", out=Path("set"))   # more than memory holds

*As if* (the default): this version had always existed, so backfilled rows count. *As served*:
only rows that had been computed by then, which is what a ranker could have read.
"""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from star_features.errors import EmptyInput, SpaceMismatch, UsageError

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

LABELS = ("member_id", "job_id", "event_timestamp")


def training_set(
    store: "FeatureStore",
    labels: pd.DataFrame,
    *,
    service: "str | FeatureService",
    as_served: bool = False,
) -> pd.DataFrame:
    """Join `labels` with the features of a service, point in time.

    Args:
        labels: `member_id`, `job_id`, `event_timestamp` (UTC) and any further columns, which are
            carried through.
        service: a Feature Service, such as `ranker`, or one that `services.reading` made.
        as_served: ignore rows that were computed after the label's time.

    Returns:
        One row a label, in the order of the labels, with `STABLE_NAME__feature` columns; None
        where an entity had no row yet.

    Raises:
        EmptyInput: there are no labels.
        SpaceMismatch: one stable feature would mix vectors of two spaces.
    """
    if labels.empty:
        raise EmptyInput("labels", "there is not one row", "Wanted labelled member-job pairs.")
    entity_rows = labels.assign(star_row=range(len(labels)))
    job = _historical(store, entity_rows, service, as_served)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of ibis, about duckdb
        frame: pd.DataFrame = job.to_df()
    frame = frame.sort_values("star_row").drop(columns="star_row").reset_index(drop=True)
    refuse_mixed(frame)
    return frame


def training_batches(
    store: "FeatureStore",
    labels: pd.DataFrame | str,
    *,
    service: "str | FeatureService",
    as_served: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The training set as a stream, in memory that does not grow with the labels.

    Bounded, and in the order of the labels, where the offline store is
    `star_features.offline.store.StarOfflineStore`; another store's whole result is cut up.

    Args:
        labels: as in `training_set`; StarOfflineStore also takes a DuckDB SELECT over files.

    Raises:
        EmptyInput: there are no labels.
        SpaceMismatch: as soon as one stable feature would mix vectors of two spaces.
    """
    # Of ibis, about duckdb; Feast's import undoes what was filtered before it.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="ibis")
    job = _historical(store, labels, service, as_served)
    spaces: dict[str, str] = {}
    empty = True
    for batch in _batches_of(job):
        refuse_other_spaces(batch, spaces)
        empty = empty and not batch.num_rows
        yield batch
    if empty:
        raise EmptyInput("labels", "there is not one row", "Wanted labelled member-job pairs.")


def write_training_set(
    store: "FeatureStore",
    labels: pd.DataFrame | str,
    *,
    service: "str | FeatureService",
    out: Path,
    as_served: bool = False,
    part_rows: int = 100_000,
    progress: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write a training set to the folder `out` as `part-00000.parquet`, …; see `write_set`."""
    batches = training_batches(store, labels, service=service, as_served=as_served)
    return write_set(batches, out, part_rows=part_rows, progress=progress)


def write_set(
    batches: Iterator[pa.RecordBatch],
    out: Path,
    *,
    part_rows: int = 100_000,
    progress: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write batches to the folder `out` as `part-00000.parquet`, …; returns their rows.

    The folder appears when it is whole: a killed run leaves none. `progress` is called with the
    rows of each batch.

    Raises:
        UsageError: `out` exists.
    """
    if out.exists():
        raise UsageError(f"{out} exists; wanted a folder that is not there yet: name another")
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    aside.mkdir(parents=True)
    try:
        rows = _write_parts(_counted(batches, progress), aside, part_rows)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rows


def _historical(
    store: "FeatureStore",
    labels: pd.DataFrame | str,
    service: "str | FeatureService",
    as_served: bool,
) -> Any:
    definition = store.get_feature_service(service) if isinstance(service, str) else service
    with warnings.catch_warnings():
        # Of a service that was not meant to be as the registry has it: see services.reading.
        warnings.filterwarnings("ignore", message="The FeatureService object that has been passed")
        return store.get_historical_features(
            entity_df=labels,
            features=definition,
            full_feature_names=True,
            filter_by_created_timestamp=as_served,
        )


def _counted(
    batches: Iterator[pa.RecordBatch], progress: Callable[[int], object]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        progress(batch.num_rows)


def _batches_of(job: Any) -> Iterator[pa.RecordBatch]:
    stream = getattr(job, "to_arrow_batches", None)
    yield from stream() if stream else job.to_arrow().to_batches()


def _write_parts(batches: Iterator[pa.RecordBatch], folder: Path, part_rows: int) -> int:
    total, room = 0, 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            if writer is None or room < batch.num_rows:
                if writer is not None:
                    writer.close()
                number = len(list(folder.iterdir()))
                writer = pq.ParquetWriter(folder / f"part-{number:05d}.parquet", batch.schema)
                room = part_rows
            writer.write_batch(batch)
            total, room = total + batch.num_rows, room - batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return total


def refuse_other_spaces(batch: pa.RecordBatch, spaces: dict[str, str]) -> None:
    """Raise SpaceMismatch if a `…__space` column leaves the space it began with.

    Args:
        spaces: the space of each column so far; filled in as batches pass.
    """
    for column in batch.schema.names:
        if column.endswith("__space"):
            for space in pc.unique(batch.column(column).drop_null()).to_pylist():
                if spaces.setdefault(column, space) != space:
                    raise SpaceMismatch(got=space, wanted=spaces[column])


def refuse_mixed(frame: pd.DataFrame) -> None:
    """Raise SpaceMismatch if any `…__space` column of a training set names two spaces."""
    for column in frame.columns:
        if column.endswith("__space"):
            spaces = sorted(frame[column].dropna().unique())
            if len(spaces) > 1:
                raise SpaceMismatch(got=spaces[1], wanted=spaces[0])
