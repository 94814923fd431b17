"""The truth of a simulated world, aligned to rows in whatever order they come."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from star_features.errors import DataError
from star_features.evaluation.attainable import align_truth, attainable_auc

NOON, ONE = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
AFFINITY = pa.table(
    {
        "member_id": ["ann", "ann", "bo", "bo", "bo"],
        "job_id": ["j1", "j1", "j1", "j2", "j2"],
        "at": pa.array([NOON, ONE, NOON, NOON, NOON], pa.timestamp("us", "UTC")),
        "probability": pa.array([0.1, 0.9, 0.5, 0.25, 0.75], pa.float32()),
    }
)


def test_truth_follows_the_rows_and_is_nan_where_the_world_knows_none() -> None:
    rows = pd.DataFrame(
        {
            "member_id": ["bo", "ann", "ann", "cy", "bo"],
            "job_id": ["j1", "j1", "j1", "j1", "j2"],
            "event_timestamp": [NOON, ONE, NOON, NOON, NOON],
        }
    )
    truth = align_truth(AFFINITY, rows)
    np.testing.assert_allclose(truth, [0.5, 0.9, 0.1, np.nan, 0.5], rtol=1e-6)


def test_the_resolution_of_times_does_not_matter() -> None:
    rows = pd.DataFrame({"member_id": ["ann"], "job_id": ["j1"], "at": [ONE]})
    rows["at"] = rows["at"].astype("datetime64[ns, UTC]")
    assert align_truth(AFFINITY, rows, time_column="at").tolist() == pytest.approx([0.9])


def test_who_knows_the_odds_reaches_the_attainable_auc() -> None:
    found = attainable_auc(np.array([0.9, 0.2, np.nan, 0.4]), np.array([1, 0, 0, 1]))
    assert (found.auc, found.matched, found.unmatched) == (1.0, 3, 1)


def test_rows_of_another_world_are_refused() -> None:
    with pytest.raises(DataError, match="not one of 2 rows"):
        attainable_auc(np.array([np.nan, np.nan]), np.array([1, 0]))
