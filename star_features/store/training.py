"""
Training sets: labels joined with the features as they stood when each label happened.

    frame = training_set(store, labels, service="ranker", as_served=False)

*As if* (the default): this version had always existed, so backfilled rows count. *As served*:
only rows that had been computed by then, which is what a ranker could have read.
"""

from typing import TYPE_CHECKING

import pandas as pd

from star_features.errors import EmptyInput, SpaceMismatch

if TYPE_CHECKING:
    from feast import FeatureStore

LABELS = ("member_id", "job_id", "event_timestamp")


def training_set(
    store: "FeatureStore", labels: pd.DataFrame, *, service: str, as_served: bool = False
) -> pd.DataFrame:
    """Join `labels` with the features of a service, point in time.

    Args:
        labels: `member_id`, `job_id`, `event_timestamp` (UTC) and any further columns, which are
            carried through.
        service: a Feature Service, such as `ranker`.
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
    job = store.get_historical_features(
        entity_df=entity_rows,
        features=store.get_feature_service(service),
        full_feature_names=True,
        filter_by_created_timestamp=as_served,
    )
    frame: pd.DataFrame = job.to_df()
    frame = frame.sort_values("star_row").drop(columns="star_row").reset_index(drop=True)
    refuse_mixed(frame)
    return frame


def refuse_mixed(frame: pd.DataFrame) -> None:
    """Raise SpaceMismatch if any `…__space` column of a training set names two spaces."""
    for column in frame.columns:
        if column.endswith("__space"):
            spaces = sorted(frame[column].dropna().unique())
            if len(spaces) > 1:
                raise SpaceMismatch(got=spaces[1], wanted=spaces[0])
