"""A full refresh knows of every event, and says the same as the events did."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import graph, ingest, materialize
from pipelines.encode import stage as encode_stage
from pipelines.home import Home
from pipelines.receipts import Receipt
from star_features.store.history import History
from star_features.tables.canonical import Tables

MAY, JUNE, JULY = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"
SMALL = Path(__file__).parents[3] / "examples" / "small_csv"


def refresh(home: Home) -> dict[str, Receipt]:
    builds = {
        "ingest": lambda: ingest.stage(home, SMALL),
        "encode": lambda: encode_stage(home),
        "graph": lambda: graph.stage(home),
        "materialize": lambda: materialize.stage(home, home.towers()),
    }
    return {name: build().run(home) for name, build in builds.items()}


@pytest.fixture(scope="module")
def told(place: Any, tell: Any) -> dict[str, Any]:
    """Events, then a refresh: what was online before it and after it."""
    place.work(
        tell.job("1001", MAY, "surgeon", company_id="new company"),
        tell.job("new", MAY, "porter", categories={"town": "Rome"}, lists={"needs": ["triage"]}),
        tell.member("new", MAY, "cook"),
        tell.job("gone", MAY),
    )
    place.work(tell.gone("job", "1003", MAY), tell.gone("job", "gone", JUNE))
    ids = {"job": ["1001", "1003", "new", "gone"], "member": ["new"]}
    before = place.state(ids, str)
    encoded = len(place.encoder.encoded)
    receipts = refresh(place.home)
    place.work()
    assert len(place.encoder.encoded) == encoded
    return {"before": before, "after": place.state(ids, str), "receipts": receipts}


def test_the_tables_hold_what_was_told(place: Any, told: Any) -> None:
    tables = Tables(place.home.tables)
    rows = {row["job_id"]: row for row in tables.jobs().to_pylist()}
    assert rows["1001"]["text"] == "surgeon"
    assert rows["1001"]["company_id"] == "new company"
    assert (rows["new"]["town"], rows["new"]["needs"]) == ("Rome", ["triage"])
    assert not {"gone", "1003"} & rows.keys()
    counts = tables.receipt.tables["jobs"]
    assert (counts.told, counts.superseded, counts.reasons["deleted"]) == (2, 1, 1)


def test_nobody_is_encoded_twice(told: Any) -> None:
    facts = told["receipts"]["encode"].facts
    assert (facts["job_text_v1"]["encoded"], facts["member_text_v1"]["encoded"]) == (0, 0)


def test_what_is_online_is_what_the_events_had_written(told: Any) -> None:
    """Text and, since no interaction was told, graph too: a snapshot says what one node said."""
    for key in ("job new", "member new"):
        assert told["after"][key] == told["before"][key]
    assert (
        told["after"]["job 1001"]["online"]["job_text_v1"]
        == (told["before"]["job 1001"]["online"]["job_text_v1"])
    )


def test_who_was_deleted_stays_gone(told: Any) -> None:
    for key in ("job 1003", "job gone"):
        assert told["after"][key]["online"] == {"job_text_v1": None, "job_graph_v1": None}


def test_no_row_of_the_history_is_doubled(place: Any, told: Any) -> None:
    for view in ("job_text_v1", "job_graph_v1", "member_text_v1", "member_graph_v1"):
        known = History.of_vectors(place.home.history, view).known()
        keys = [known[name].to_pylist() for name in (known.column_names[:3])]
        rows = list(zip(*keys, strict=True))
        assert len(rows) == len(set(rows))


def test_the_worker_goes_on_from_the_new_tables(place: Any, tell: Any, told: Any) -> None:
    assert place.work(tell.job("1001", MAY, "surgeon", again=1))["stale"] == 1
    assert place.worker.applying.towers.graphs["v1"].live.knows("job", "new")
    done = place.work(tell.met("new", "new", JULY))
    assert (done["interactions"], "encoded" in done) == (1, False)


def test_a_refresh_with_nothing_told_since_is_skipped(place: Any, told: Any, tell: Any) -> None:
    refresh(place.home)
    assert ingest.stage(place.home, SMALL).run(place.home).skipped
    place.work(tell.job("another", MAY))
    assert not ingest.stage(place.home, SMALL).run(place.home).skipped


def test_a_told_interaction_is_in_the_next_snapshot(place: Any, tell: Any, told: Any) -> None:
    place.work(tell.met("P001", "1002", JULY))
    before = place.online("job_graph_v1", "1002")
    refresh(place.home)
    at = Tables(place.home.tables).interactions(["member_id", "job_id", "at"]).to_pylist()
    assert ("P001", "1002") in [(r["member_id"], r["job_id"]) for r in at if r["at"].year == 2026]
    assert place.online("job_graph_v1", "1002")[2] == before[2]
