"""
A training set across releases: each label joined with what its names meant at its time.

    for batch in batches_across(store, labels, service="ranker", periods=periods): ...

Before a promotion these are the old version's own vectors, after it mapped ones, in the same
spaces; `star__pair` beside each row says which (`graph.v1`, `graph.v1_from_v2`).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from star_features.errors import EmptyInput
from star_features.release.timeline import Period, require_one_language
from star_features.store.services import aliases_of, reading
from star_features.store.training import refuse_other_spaces, training_batches

if TYPE_CHECKING:
    from feast import FeatureStore

PAIR = "__pair"


def batches_across(
    store: "FeatureStore",
    labels: pd.DataFrame,
    *,
    service: str,
    periods: Sequence[Period],
    as_served: bool = False,
) -> Iterator[pa.RecordBatch]:
    """
    The rows of each period in turn, with the pair behind every name beside them.

    Args:
        as_served: as of `training_set`; which pair a name led to is that of the time in any case.

    Raises:
        EmptyInput: there are no labels.
        SpaceMismatch: a name changed its language between two periods.
    """
    require_one_language(periods)
    if labels.empty:
        raise EmptyInput("labels", "there is not one row", "Wanted labelled member-job pairs.")
    spaces: dict[str, str] = {}
    ends = [*(period.since_us for period in periods[1:]), None]
    for period, until_us in zip(periods, ends, strict=True):
        inside_N = _within(labels["event_timestamp"], period.since_us, until_us)
        part = labels.loc[inside_N]
        if part.empty:
            continue
        then = reading(store, service, aliases_of(period.pairs))
        for batch in training_batches(store, part, service=then, as_served=as_served):
            refuse_other_spaces(batch, spaces)
            yield _marked(batch, period)


def _within(
    times: "pd.Series[pd.Timestamp]", since_us: int | None, until_us: int | None
) -> NDArray[np.bool_]:
    within_N = np.ones(len(times), dtype=np.bool_)
    if since_us is not None:
        within_N &= (times >= pd.Timestamp(since_us, unit="us", tz="UTC")).to_numpy()
    if until_us is not None:
        within_N &= (times < pd.Timestamp(until_us, unit="us", tz="UTC")).to_numpy()
    return within_N


def _marked(batch: pa.RecordBatch, period: Period) -> pa.RecordBatch:
    table = pa.Table.from_batches([batch])
    for name, pair in period.pairs.items():
        table = table.append_column(name + PAIR, pa.repeat(pa.scalar(str(pair)), batch.num_rows))
    return table.combine_chunks().to_batches()[0] if batch.num_rows else _no_rows(table)


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=table.schema)
