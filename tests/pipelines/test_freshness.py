"""Freshness: who is behind since his content changed, and who is not there at all."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.freshness import Freshness, freshness
from pipelines.home import Home
from pipelines.jobs.settings import Schedule
from pipelines.recording import opened
from star_features.ledger.vectors import forget, mark_pending
from star_features.store.feast_store import config_path

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATE = timedelta(hours=5)
SCHEDULE = Schedule.model_validate({"freshness": {"text": {"within": "4h", "share": 0.99}}})


@pytest.fixture
def home(small: Home, tmp_path: Path) -> Home:
    """The small home, again: each test makes it late in its own way."""
    copy = Home(tmp_path / "home", small.repo)
    shutil.copytree(small.path, copy.path)
    config = config_path(copy.path)
    config.write_text(config.read_text().replace(str(small.path), str(copy.path)))
    with opened(copy) as ledger, ledger.begin() as db:  # another path is another store
        from sqlalchemy import text

        from star_features.store.feast_store import fingerprint

        db.execute(text("UPDATE vector SET online_store = :s"), {"s": fingerprint(copy.path)})
    return copy


def measured(home: Home) -> dict[str, Freshness]:
    return {line.view: line for line in freshness(home, SCHEDULE, NOW)}


def change(home: Home, table: str, column: str, value: pa.Array, rows: list[int]) -> None:
    """Rows of a canonical table say something else."""
    path = home.tables / f"{table}.parquet"
    before = pq.read_table(path)
    mask = pa.array([row in rows for row in range(before.num_rows)])
    place = before.column_names.index(column)
    changed = pc.if_else(mask, value, before[column])
    pq.write_table(before.set_column(place, before.schema.field(column), changed), path)


def at(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))


def test_a_home_that_has_just_run_is_behind_nowhere(home: Home) -> None:
    for line in measured(home).values():
        assert (line.behind, line.holes, line.share, line.met) == (0, 0, 1.0, True)
        assert line.late_s == (0.0, 0.0, 0.0)
        assert line.content_s[-1] >= line.content_s[0] > 0


def test_a_changed_text_is_behind_since_it_changed(home: Home) -> None:
    change(home, "members", "text", pa.scalar("something else"), [0, 1])
    change(home, "members", "updated_at", at(NOW - LATE), [0, 1])
    line = measured(home)["member_text_v1"]
    assert (line.behind, line.holes) == (2, 0)
    assert line.late_s == (LATE.total_seconds(),) * 3
    assert line.share == pytest.approx(1 - 2 / line.entities)
    assert not line.met


def test_a_newer_time_alone_makes_nobody_late_but_for_the_graph(home: Home) -> None:
    change(home, "members", "updated_at", at(NOW - LATE), [0])
    lines = measured(home)
    assert (lines["member_text_v1"].behind, lines["member_attributes"].behind) == (0, 0)
    assert lines["member_graph_v1"].behind == 1


def test_changed_categories_are_behind(home: Home) -> None:
    change(home, "members", "town", pa.scalar("Atlantis"), [3])
    change(home, "members", "updated_at", at(NOW - LATE), [3])
    lines = measured(home)
    assert (lines["member_text_v1"].behind, lines["member_attributes"].behind) == (0, 1)


def test_an_interaction_makes_both_its_ends_late(home: Home) -> None:
    change(home, "interactions", "at", at(NOW - LATE), [0])
    lines = measured(home)
    assert (lines["member_graph_v1"].behind, lines["job_graph_v1"].behind) == (1, 1)
    assert lines["member_text_v1"].behind == 0


def test_who_has_no_row_is_a_hole_since_his_content_is_there(home: Home) -> None:
    first = pq.read_table(home.tables / "members.parquet")["member_id"][0].as_py()
    change(home, "members", "updated_at", at(NOW - LATE), [0])
    with opened(home) as ledger, ledger.begin() as db:
        forget(db, "member", [first])
    line = measured(home)["member_text_v1"]
    assert (line.behind, line.holes, line.late_s[-1]) == (0, 1, LATE.total_seconds())


def test_what_is_pending_is_not_online(home: Home) -> None:
    with opened(home) as ledger, ledger.begin() as db:
        mark_pending(db, "job_text_v1")
    line = measured(home)["job_text_v1"]
    assert line.holes == line.entities
