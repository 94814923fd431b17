"""
The training set against a brute-force oracle, through real Feast stores: ours and Feast's own.

Times are minutes since 2024-01-31 23:50 UTC, so that every example may cross into February.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from star_features.errors import EmptyInput, SpaceMismatch, UsageError
from star_features.store.history import TIME, History, as_lists
from star_features.store.training import training_batches, training_set, write_training_set

START = datetime(2024, 1, 31, 23, 50, tzinfo=UTC)
OURS, FEASTS = "star_features.offline.store.StarOfflineStore", "duckdb"
MINUTES = st.integers(0, 14)
Stored = tuple[str, int, int]  # whose, true since, computed at
Label = tuple[str, str, int]

few = settings(
    deadline=None,
    max_examples=6,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Market:
    """Two histories, of members and of jobs, and Feast over them."""

    root: Path
    feast: Any

    def fill(self, members: Sequence[Stored], jobs: Sequence[Stored]) -> None:
        shutil.rmtree(self.root / "history", ignore_errors=True)
        self.add("member_graph_v1", members)
        self.add("job_graph_v1", jobs)

    def add(self, view: str, rows: Sequence[Stored], space: str = "v1") -> None:
        """Append rows whose vector says when they became true and when they were computed."""
        history = History.of_vectors(self.root / "history", view)
        vectors_N2 = np.array([row[1:] for row in rows], np.float32).reshape(-1, 2)
        columns = {
            history.key: pa.array([row[0] for row in rows], pa.string()),
            "vector": as_lists(vectors_N2),
            "space": pa.array([space] * len(rows), pa.string()),
            "input_hash": pa.array([str(row) for row in rows], pa.string()),
            "event_timestamp": pa.array([at(row[1]) for row in rows], TIME),
            "created": pa.array([at(row[2]) for row in rows], TIME),
        }
        history.append(pa.table(columns))


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def frame_of(labels: Sequence[Label]) -> pd.DataFrame:
    members, jobs, minutes = zip(*labels, strict=True)
    times = pd.Series([at(minute) for minute in minutes], dtype="datetime64[us, UTC]")
    label = range(len(labels))
    return pd.DataFrame(
        {"member_id": members, "job_id": jobs, "event_timestamp": times, "label": label}
    )


def oracle(rows: Sequence[Stored], key: str, time: int, as_served: bool) -> list[float] | None:
    """The vector of the newest row known: newest event first, then newest computation."""
    known = [(event, made) for whose, event, made in rows if whose == key and event <= time]
    if as_served:
        known = [(event, made) for event, made in known if made <= time]
    return [float(part) for part in max(known)] if known else None


@pytest.fixture(scope="module", params=[OURS, FEASTS], ids=["ours", "feasts"])
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Market:
    from feast import FeatureService

    from benchmarks.small_feast import embedding_view, entity, small_store

    root = tmp_path_factory.mktemp("market")
    store = small_store(root, offline={"type": request.param})
    market = Market(root, store)
    market.fill([], [])
    sides = [entity(name) for name in ("member", "job")]
    views = []
    for side in sides:
        name = f"{side.name}_graph_v1"
        files = root / "history" / name / "**" / "*.parquet"
        views.append(embedding_view(side, name, files))
    stable = [view.with_name(view.name.replace("_graph_v1", "_star")) for view in views]
    store.apply([*sides, *views, FeatureService(name="ranker", features=stable)])
    return market


def stored(ids: str) -> st.SearchStrategy[list[Stored]]:
    """Rows with ties in event time, late computations and backfills; no row twice."""
    return st.lists(st.tuples(st.sampled_from(ids), MINUTES, MINUTES), max_size=8, unique=True)


@pytest.mark.parametrize("as_served", [False, True])
def test_every_label_gets_what_the_oracle_says(market: Market, as_served: bool) -> None:
    label = st.tuples(st.sampled_from("abx"), st.sampled_from("pqx"), MINUTES)  # x: no history

    @few
    @given(stored("ab"), stored("pq"), st.lists(label, min_size=1, max_size=8))
    def holds(members: list[Stored], jobs: list[Stored], labels: list[Label]) -> None:
        market.fill(members, jobs)
        frame = training_set(market.feast, frame_of(labels), service="ranker", as_served=as_served)
        assert frame["label"].tolist() == list(range(len(labels)))
        for line, (member, job, time) in zip(frame.itertuples(), labels, strict=True):
            assert listed(line.member_star__vector) == oracle(members, member, time, as_served)
            assert listed(line.job_star__vector) == oracle(jobs, job, time, as_served)
            assert (line.member_star__space == "v1") == (
                listed(line.member_star__vector) is not None
            )

    holds()


def listed(vector: Any) -> list[float] | None:
    return None if vector is None else list(vector)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", None])
def test_the_same_instants_in_another_zone_give_the_same_vectors(
    market: Market, zone: str | None
) -> None:
    market.fill([("a", 10, 10), ("a", 11, 11)], [("p", 0, 0)])
    labels = frame_of([("a", "p", 9), ("a", "p", 10), ("a", "p", 11)])
    labels["event_timestamp"] = (
        labels["event_timestamp"].dt.tz_convert(zone)
        if zone
        else labels["event_timestamp"].dt.tz_localize(None)
    )
    frame = training_set(market.feast, labels, service="ranker")
    seen = [listed(vector) for vector in frame["member_star__vector"]]
    assert seen == [None, [10.0, 10.0], [11.0, 11.0]]


def test_the_caller_keeps_the_labels_as_they_were(market: Market) -> None:
    market.fill([("a", 1, 1)], [])
    labels = frame_of([("a", "p", 2)])
    before = labels.copy()
    frame = training_set(market.feast, labels, service="ranker")
    pd.testing.assert_frame_equal(labels, before)
    assert "star_row" not in frame.columns


def test_one_feature_never_mixes_two_spaces(market: Market, tmp_path: Path) -> None:
    market.fill([("a", 1, 1)], [])
    market.add("member_graph_v1", [("b", 2, 2)], space="v2")
    labels = frame_of([("a", "p", 3), ("b", "p", 3)])
    with pytest.raises(SpaceMismatch, match="v2"):
        training_set(market.feast, labels, service="ranker")
    with pytest.raises(SpaceMismatch, match="v2"):
        write_training_set(market.feast, labels, service="ranker", out=tmp_path / "set")
    assert list(tmp_path.iterdir()) == []  # no half of a set, no scratch folder
    assert len(training_set(market.feast, labels[:1], service="ranker")) == 1


def test_no_labels_are_an_error_before_anything_is_read(market: Market) -> None:
    with pytest.raises(EmptyInput):
        training_set(market.feast, frame_of([("a", "p", 1)])[:0], service="ranker")


def test_a_written_training_set_holds_what_the_frame_holds(market: Market, tmp_path: Path) -> None:
    market.fill([("a", 1, 1), ("b", 4, 9)], [("p", 2, 3)])
    labels = frame_of([("a", "p", 3), ("b", "p", 5), ("x", "x", 5), ("a", "p", 0)])
    out = tmp_path / "set"
    for as_served in (False, True):
        rows = write_training_set(
            market.feast, labels, service="ranker", out=out, as_served=as_served, part_rows=3
        )
        written = pq.read_table(out).to_pandas().sort_values("label").reset_index(drop=True)
        frame = training_set(market.feast, labels, service="ranker", as_served=as_served)
        assert rows == 4
        assert written.map(comparable).equals(frame[list(written.columns)].map(comparable))
        shutil.rmtree(out)


def comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, np.ndarray) else value


def test_a_training_set_is_never_written_over_another(market: Market, tmp_path: Path) -> None:
    market.fill([("a", 1, 1)], [])
    with pytest.raises(UsageError, match="name another"):
        write_training_set(market.feast, frame_of([("a", "p", 1)]), service="ranker", out=tmp_path)


def test_a_stream_is_refused_at_the_batch_that_changes_space(market: Market) -> None:
    market.fill([("a", 1, 1)], [])
    market.add("member_graph_v1", [("b", 2, 2)], space="v2")
    labels = frame_of([("a", "p", 3)] * 3 + [("b", "p", 3)])
    with pytest.raises(SpaceMismatch, match=r"live in v[12], but v[12]"):  # Feast keeps no order
        list(training_batches(market.feast, labels, service="ranker"))
