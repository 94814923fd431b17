"""From an event to a vector that can be read; what changes nothing; what is gone and stays gone."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from star_features.ledger import tombstones, vectors
from star_features.ledger.journal import count

MAY, JUNE, JULY = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"


def micros(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1e6)


def test_a_new_job_can_be_read_in_every_view(place: Any, tell: Any) -> None:
    id = place.name()
    done = place.work(tell.job(id, MAY, "surgeon", categories={"town": "Graz"}))
    assert (done["events"], done["changed"], done["encoded"]) == (1, 1, 1)
    text, space, at_us = place.online("job_text_v1", id)
    np.testing.assert_allclose(text.numbers_D, place.encoder._vector("surgeon"), atol=1e-6)
    assert (space, at_us) == (place.encoder.spaces["job"], micros(MAY))
    graph, space, at_us = place.online("job_graph_v1", id)
    assert graph.numbers_D.shape == (200,)
    assert np.linalg.norm(graph.numbers_D) == pytest.approx(1)
    assert at_us == micros(MAY)
    read = place.worker.applying.views.store.get_online_features(
        ["job_attributes:town", "job_attributes:level"], [{"job_id": id}]
    ).to_dict()
    assert (read["town"], read["level"]) == (["Graz"], [None])


def test_ledger_history_and_updates_say_the_same_as_the_store(place: Any, tell: Any) -> None:
    id = place.name()
    place.work(tell.member(id, MAY, "cook"))
    updates = {update["view"]: update for update in place.updates(id)}
    for view in place.views("member"):
        with place.ledger.read() as db:
            known = vectors.newest_of(db, view, [id])[id]
        (row,) = place.history(view, id)
        assert row["input_hash"] == known.input_hash
        assert row["event_timestamp"] == datetime.fromisoformat(MAY)
        assert updates[view]["checksum"] == known.checksum
        assert updates[view]["space"] == known.space == place.online(view, id)[1]
    with place.ledger.read() as db:
        assert count(db) == 0
        store = place.worker.applying.store_id
        pages = vectors.pending(place.ledger, "member_text_v1", store)
        assert id not in [row.entity_id for page in pages for row in page]


def test_an_unchanged_text_is_not_encoded_again(place: Any, tell: Any) -> None:
    """One of the tables, and one that an event told."""
    known = place.worker.applying.base
    id = place.name()
    place.work(tell.job(id, MAY, "porter"))
    before = place.online("job_text_v1", id), place.online("job_graph_v1", id)
    done = place.work(tell.job(id, JUNE, "porter", company_id="Kontor 7"))
    assert (done["changed"], "encoded" in done) == (1, False)
    assert place.online("job_text_v1", id) == before[0]
    assert place.online("job_graph_v1", id)[0] != before[1][0]
    tables = known.find("job", "1002")
    from star_features.tables.canonical import Tables

    rows = Tables(place.home.tables).jobs(["job_id", "text"]).to_pylist()
    text = next(row["text"] for row in rows if row["job_id"] == "1002")
    done = place.work(tell.job("1002", MAY, text, company_id=tables.company_id))
    assert "encoded" not in done


def test_ten_edits_at_once_are_one_encoding(place: Any, tell: Any) -> None:
    id = place.name()
    done = place.work(*(tell.job(id, f"2026-05-{day:02d}", f"text {day}") for day in range(10, 20)))
    assert (done["events"], done["encoded"], done["stale"]) == (10, 1, 9)
    np.testing.assert_allclose(
        place.online("job_text_v1", id)[0].numbers_D, place.encoder._vector("text 19"), atol=1e-6
    )


@pytest.mark.parametrize("at", [MAY, JUNE])
def test_an_older_event_and_a_repeated_one_change_nothing(place: Any, tell: Any, at: str) -> None:
    id = place.name()
    place.work(tell.job(id, JUNE, "zebra"))
    before = place.state({"job": [id]}, str), place.updates(id)
    done = place.work(tell.job(id, at, "zebra" if at == JUNE else "older", again=1))
    assert (done["stale"], "changed" in done) == (1, False)
    assert (place.state({"job": [id]}, str), place.updates(id)) == before


def test_a_row_of_the_tables_is_not_overwritten_by_an_older_event(place: Any, tell: Any) -> None:
    before = place.state({"job": ["1005"]}, str)
    done = place.work(tell.job("1005", "2020-01-01", "older than the tables"))
    assert done["stale"] == 1
    assert place.state({"job": ["1005"]}, str) == before


def test_who_is_deleted_is_gone_from_every_view_until_newer_content_comes(
    place: Any, tell: Any
) -> None:
    id = place.name()
    place.work(tell.member(id, MAY))
    place.work(tell.gone("member", id, JUNE))
    assert [place.online(view, id) for view in place.views("member")] == [None, None]
    assert place.work(tell.member(id, JUNE, "of the same time"))["stale"] == 1
    assert place.online("member_text_v1", id) is None
    assert place.work(tell.member(id, JULY, "back"))["changed"] == 1
    assert place.online("member_text_v1", id) is not None
    with place.ledger.read() as db:
        assert tombstones.deleted_at(db, "member", [id]) == {}


def test_a_row_of_the_tables_can_be_deleted(place: Any, tell: Any) -> None:
    assert place.online("job_text_v1", "1003") is not None
    assert place.work(tell.gone("job", "1003", MAY))["deleted"] == 1
    assert place.online("job_text_v1", "1003") is None
    done = place.work(tell.met(place.name("m"), "1003", JUNE))
    assert done["set aside"] == 1  # its member is unknown; the job is known to be gone


def test_who_was_erased_never_comes_back_and_leaves_nothing_in_quarantine(
    place: Any, tell: Any
) -> None:
    id = place.name()
    with place.ledger.begin() as db:
        tombstones.bury(
            db, "member", [id], kind="erased", content_us=0, now_us=1, why="was asked for"
        )
    done = place.work(
        tell.member(id, JULY, "private"),
        tell.member(id, JULY, "private" * 1_000_000),
        tell.met(id, "1001", JULY),
        tell.gone("member", id, JULY),
    )
    assert (done["erased"], "set aside" in done, "changed" in done) == (3, False, False)
    assert place.online("member_text_v1", id) is None
    assert place.state({"member": [id]}, str)[f"member {id}"]["met"] == []


def test_an_interaction_moves_both_ends_and_keeps_their_texts(place: Any, tell: Any) -> None:
    one, other = place.name("m"), place.name("j")
    place.work(tell.member(one, MAY), tell.job(other, MAY))
    before = place.state({"member": [one], "job": [other]}, str)
    done = place.work(tell.met(one, "1001", JUNE), tell.met("P001", other, JUNE))
    assert (done["interactions"], "encoded" in done) == (2, False)
    after = place.state({"member": [one], "job": [other]}, str)
    for key, kind in ((f"member {one}", "member"), (f"job {other}", "job")):
        text, graph = f"{kind}_text_v1", f"{kind}_graph_v1"
        assert after[key]["online"][text] == before[key]["online"][text]
        assert after[key]["online"][graph][0] != before[key]["online"][graph][0]
        assert after[key]["online"][graph][2] == micros(JUNE)
    assert place.work(tell.met(one, "1001", JUNE, again=1))["stale"] == 1


def test_what_was_shown_and_not_taken_moves_nobody(place: Any, tell: Any) -> None:
    id = place.name("m")
    place.work(tell.member(id, MAY))
    before = place.online("member_graph_v1", id)
    assert place.work(tell.met(id, "1001", JUNE, label=0))["interactions"] == 1
    assert place.online("member_graph_v1", id) == before


def test_an_interaction_waits_in_quarantine_for_who_is_unknown(place: Any, tell: Any) -> None:
    one, other = place.name("m"), place.name("j")
    assert place.work(tell.met(one, other, JUNE))["set aside"] == 1
    assert [row.entity_id for row in place.aside("unknown_member") if row.entity_id == one]
    place.work(tell.member(one, MAY))
    assert [row.entity_id for row in place.aside("unknown_job") if row.entity_id == other]
    assert place.work(tell.job(other, MAY))["interactions"] == 1
    assert place.online("member_graph_v1", one)[2] == micros(JUNE)
    assert not [r for r in place.aside("unknown_job") if r.entity_id == other]


def test_a_clock_that_went_back_loses_no_event(place: Any, tell: Any) -> None:
    """Two rows of one time of content are told apart by when they were computed."""
    id = place.name("m")
    place.work(tell.member(id, MAY), tell.met(id, "1001", JULY))
    first = place.online("member_graph_v1", id)
    place.clock.at_us -= 3_600_000_000
    place.work(tell.met(id, "1002", JUNE))  # earlier than the last one: the same time of content
    second = place.online("member_graph_v1", id)
    assert second[2] == first[2]
    assert second[0] != first[0]


def test_a_field_that_nobody_knows_is_left_alone_and_counted(place: Any, tell: Any) -> None:
    done = place.work(tell.job(place.name(), MAY, wage=7))
    assert (done["changed"], done["ignored field wage"]) == (1, 1)


def test_the_time_of_an_update_is_that_of_the_content(place: Any, tell: Any) -> None:
    id = place.name()
    place.work(tell.job(id, MAY))
    update = next(u for u in place.updates(id) if u["view"] == "job_text_v1")
    assert datetime.fromisoformat(update["content_at"]) == datetime(2026, 5, 1, tzinfo=UTC)
