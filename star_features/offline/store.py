"""
The offline store that Feast loads by its class path.

    offline_store:
      type: star_features.offline.store.StarOfflineStore
      memory_limit: 2GB        # beyond it the join goes to disk

It is Feast's DuckDB store with another point-in-time join. Everything else, materialization and
writing included, is Feast's; so is the join itself wherever a source is not local Parquet.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from pydantic import Field

from star_features.errors import DataError, UsageError
from star_features.offline.job import Limits, PointInTimeJob, Request
from star_features.offline.plan import check_names, lookup_of


class StarOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the offline store; an unknown key is refused."""

    type: Literal["star_features.offline.store.StarOfflineStore"] = (
        "star_features.offline.store.StarOfflineStore"
    )
    memory_limit: str = "2GB"
    """What the join of keys and times may hold in memory; beyond it, it goes to disk."""
    temp_directory: Path | None = None
    """Where it goes to, and where a stream keeps its vectors; the system's place unless given."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of one request; every core unless given."""
    batch_rows: int = Field(default=8_192, ge=1)
    """Labels in one batch of `to_arrow_batches`."""

    @property
    def limits(self) -> Limits:
        threads = self.threads or os.cpu_count() or 1
        return Limits(self.memory_limit, self.temp_directory, threads, self.batch_rows)


class StarOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's DuckDB store, joining on keys and times only."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Feast's call; `entity_df` may also be a DuckDB SELECT over label files.

        Raises:
            UsageError: a range of dates was asked for instead of labels.
            DataError: the labels lack a key or a time, or a name would stand for two columns.
        """
        if entity_df is None:
            raise UsageError(
                f"no labels arrived, but dates {start_date} to {end_date};"
                " wanted entity_df, a frame or a SELECT with event_timestamp and the join keys"
            )
        repo = Path(config.repo_path) if config.repo_path else None
        lookups = [
            lookup_of(view, feature_refs, repo, full_feature_names) for view in feature_views
        ]
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        ours = [lookup for lookup in lookups if lookup is not None]
        if len(ours) < len(lookups) or any(view.mode == "substrait" for view in on_demand):
            return DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
            )
        labels, time, columns = read_labels(entity_df)
        check_names(columns, ours)
        first, last = time_range(entity_df, time)
        return PointInTimeJob(
            Request(labels, time, ours, filter_by_created_timestamp),
            config.offline_store.limits,
            on_demand=on_demand,
            full_names=full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in columns if column != time],
                min_event_timestamp=first,
                max_event_timestamp=last,
            ),
            repo_path=str(config.repo_path),
        )


def read_labels(labels: pd.DataFrame | str) -> tuple[pa.Table | str, str, list[str]]:
    """Labels as Arrow (or the SELECT they came as), their time column, and all their columns.

    Raises:
        DataError: no column can be taken for the time, or one cannot be read.
    """
    if isinstance(labels, str):
        columns = columns_of(labels)
        if "event_timestamp" not in columns:
            raise DataError("labels", f"have {', '.join(columns)}", "Wanted event_timestamp too.")
        return labels, "event_timestamp", columns
    time = infer_event_timestamp_from_entity_df(dict(labels.dtypes))
    times = labels[time].infer_objects()
    if times.dtype == object or pd.api.types.is_string_dtype(times):
        labels = labels.assign(**{time: pd.to_datetime(times, utc=True)})
    try:
        table = pa.Table.from_pandas(labels, preserve_index=False).replace_schema_metadata()
    except pa.ArrowException as error:
        raise DataError("labels", str(error), "Wanted columns of one type each.") from error
    return _decoded(table), time, list(labels.columns)


def columns_of(query: str) -> list[str]:
    """The columns of a SELECT, without running it."""
    import duckdb

    with duckdb.connect() as db:
        try:
            return [str(row[0]) for row in db.execute(f"DESCRIBE {query}").fetchall()]
        except duckdb.Error as error:
            raise DataError("labels", str(error), "Wanted a SELECT that DuckDB reads.") from error


def time_range(labels: pd.DataFrame | str, time: str) -> tuple[datetime | None, datetime | None]:
    """First and last time of a frame, for Feast's metadata; a SELECT is not run for them."""
    if isinstance(labels, str) or labels.empty:
        return None, None
    times = pd.to_datetime(labels[time], utc=True)
    return times.min().to_pydatetime(), times.max().to_pydatetime()


def _decoded(table: pa.Table) -> pa.Table:
    """Categorical columns as what they stand for, as Feast returns them."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
