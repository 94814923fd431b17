"""A training set over a promotion: native rows before, mapped ones after, in one language."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines import apply, training_set
from pipelines.home import Home
from pipelines.release import move, status
from pipelines.release.desk import Why
from star_features.catalogue import ENTITIES, SpacePair
from star_features.errors import SpaceMismatch
from star_features.release.across import batches_across
from star_features.spaces import VectorTable
from star_features.store.feast_store import open_store
from star_features.store.history import History

WHY = Why("mia", "because")


@pytest.fixture
def promoted(shadowed: Home) -> Home:
    """Promoted now; Feast's sources are this copy's own."""
    apply.stage(shadowed).run(shadowed, force=True)
    move.promote(shadowed, "graph", "v2", WHY)
    return shadowed


def newest(home: Home, name: str, entity: str) -> VectorTable:
    return History.of_vectors(home.history, f"{entity}_graph_{name}").latest()


def joined(home: Home, **how: bool) -> pd.DataFrame:
    """One pair, asked for an hour before the promotion and an hour after it."""
    (promotion,) = [s for s in status.status(home).steps if s.action == "promote"]
    at = datetime.fromtimestamp(promotion.at_us / 1e6, UTC)
    times = [at - timedelta(hours=1), at, at + timedelta(hours=1)]
    labels = pd.DataFrame({"member_id": "P001", "job_id": "1003", "event_timestamp": times})
    batches = batches_across(
        open_store(home.repo, home.path),
        labels,
        service="ranker",
        periods=training_set.periods(home, backfilled=how.pop("backfilled", False)),
        **how,
    )
    return pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)


def test_labels_before_a_promotion_meet_native_rows_and_later_ones_mapped_rows(
    promoted: Home,
) -> None:
    frame = joined(promoted)
    assert frame["star__pair"].tolist() == ["graph.v1", "graph.v1_from_v2", "graph.v1_from_v2"]
    assert set(frame["text__pair"]) == {"text.v1"}
    for entity, key in (("member", "P001"), ("job", "1003")):
        for row, name in enumerate(["v1", "v1_from_v2", "v1_from_v2"]):
            wanted, _ = newest(promoted, name, entity).aligned_to([key])
            np.testing.assert_array_equal(frame[f"{entity}_star__vector"][row], wanted[0])
        assert frame[f"{entity}_star__space"].nunique() == 1
    assert not np.array_equal(*frame["job_star__vector"][:2])


def test_as_served_knows_only_what_had_been_computed_by_then(promoted: Home) -> None:
    """Native rows are as old as their content; the mapped ones are of today."""
    as_if, as_served = joined(promoted), joined(promoted, as_served=True)
    assert as_served["star__pair"].tolist() == as_if["star__pair"].tolist()
    assert as_served["job_star__vector"].notna().tolist() == [True, True, True]
    whole = joined(promoted, backfilled=True, as_served=True)
    assert whole["job_star__vector"].isna().tolist()[0], "before the map there was no mapped row"
    assert set(joined(promoted, backfilled=True)["star__pair"]) == {"graph.v1_from_v2"}


def test_a_set_over_two_languages_is_refused_and_the_way_out_is_shown(promoted: Home) -> None:
    time.sleep(0.01)
    move.promote(promoted, "graph", "v2", WHY, {"ranker": "v2"})
    with pytest.raises(SpaceMismatch, match="star training-set --backfilled"):
        training_set.stage(promoted, promoted.towers()).run(promoted)
    stage = training_set.stage(promoted, promoted.towers(), backfilled=True)
    facts = stage.run(promoted).facts
    assert [row["star__pair"] for row in facts["pairs"]] == ["graph.v2"]
    assert facts["spaces"]["job_star__space"].startswith("job_graph_v2@")


def test_the_stage_tells_how_many_labels_met_which_pair(promoted: Home) -> None:
    facts = training_set.stage(promoted, promoted.towers()).run(promoted).facts
    (row,) = facts["pairs"]
    assert row == {"star__pair": "graph.v1", "text__pair": "text.v1", "rows": facts["rows"]}
    for entity in ENTITIES:
        view = SpacePair("graph", "v1").view(entity)
        (space,) = History.of_vectors(promoted.history, view).spaces()
        assert facts["spaces"][f"{entity}_star__space"] == space
