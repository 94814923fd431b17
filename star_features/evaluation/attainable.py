"""
How well could anybody do? The AUC of a ranker that knows the simulated market's own odds.

    truth_N = align_truth(pq.read_table("affinity.parquet"), frame)
    attainable_auc(truth_N, frame["label"].to_numpy())

Only a simulated world has such a table; what stands here is never true of real people.

Shapes: N rows.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from star_features.errors import DataError
from star_features.evaluation.metrics import auc

KEYS = ["member_id", "job_id", "at"]


@dataclass(frozen=True)
class Attainable:
    """The AUC, and how many rows it could be taken of."""

    auc: float
    matched: int
    unmatched: int


def align_truth(
    affinity: pa.Table, rows: pd.DataFrame, time_column: str = "event_timestamp"
) -> NDArray[np.float64]:
    """True probability of each row, in the order of `rows`; NaN where the world has none.

    Args:
        affinity: `member_id`, `job_id`, `at`, `probability`; equal keys are averaged.
        rows: `member_id`, `job_id` and a time, as a training set has them.
        time_column: the name of that time: `event_timestamp`, or `at` in interactions.
    """
    truth = affinity.select([*KEYS, "probability"]).to_pandas()
    truth["at"] = _micros(truth["at"])
    wanted = rows[["member_id", "job_id"]].assign(at=_micros(rows[time_column]))
    here = truth[truth["member_id"].isin(wanted["member_id"].unique())]
    odds = here.groupby(KEYS, sort=False)["probability"].mean()
    found = odds.reindex(pd.MultiIndex.from_frame(wanted))
    return np.asarray(found, dtype=np.float64)


def attainable_auc(truth_N: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Attainable:
    """AUC of the truth against what happened, over rows whose truth is known."""
    known_N = ~np.isnan(truth_N)
    if not known_N.any():
        raise DataError(
            "affinity.parquet",
            f"not one of {len(truth_N)} rows is in it",
            "Wanted the truth of the world these rows were simulated in.",
        )
    found = auc(np.asarray(labels_N)[known_N], truth_N[known_N])
    return Attainable(found, int(known_N.sum()), int((~known_N).sum()))


def _micros(times: "pd.Series[pd.Timestamp]") -> "pd.Series[int]":
    """Whole microseconds since 1970, whatever the resolution."""
    return pd.to_datetime(times, utc=True).astype("datetime64[us, UTC]").astype("int64")
