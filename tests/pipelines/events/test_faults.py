"""What cannot be used is set aside and the rest goes on; who is killed anywhere loses nothing."""

import json
from typing import Any

import pytest

from pipelines import quarantine as job
from pipelines.events.settings import EventSettings
from star_features.errors import StoreError, UsageError
from star_features.ledger import journal, outbox

MAY, JUNE = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"

POISON = {
    "bad_json": lambda tell, id: b'{"type": "job_changed", ' + id.encode(),
    "unknown_type": lambda tell, id: {"type": "job_moved", "job_id": id, "at": MAY},
    "null_key": lambda tell, id: tell.job(None, MAY, text=id),
    "bad_field": lambda tell, id: tell.job(id, "yesterday"),
    "from_the_future": lambda tell, id: tell.job(id, "2199-01-01"),
    "empty_text": lambda tell, id: tell.job(id, MAY, "  "),
    "too_large": lambda tell, id: tell.job(id, MAY, "x" * 8_000_001),
    "text_too_long": lambda tell, id: tell.job(id, MAY, "x" * 1_000_001),
    "unknown_member": lambda tell, id: tell.met(id, "1001", MAY),
    "nan_vector": lambda tell, id: tell.job(id, MAY, "NAN"),
    "wrong_width": lambda tell, id: tell.job(id, MAY, "WIDE"),
    "not_encodable": lambda tell, id: tell.job(id, MAY, "BREAK"),
}


@pytest.mark.parametrize("word", POISON)
def test_a_poisoned_event_is_set_aside_and_its_batch_goes_on(
    place: Any, tell: Any, word: str
) -> None:
    good, bad, also = place.name(), place.name(), place.name()
    before = len(place.aside(word))
    done = place.work(tell.job(good, MAY), POISON[word](tell, bad), tell.member(also, MAY))
    assert (done["changed"], done["set aside"]) == (2, 1)
    assert place.online("job_text_v1", good) is not None
    assert place.online("member_graph_v1", also) is not None
    assert place.online("job_text_v1", bad) is None
    aside = place.aside(word)
    assert len(aside) == before + 1
    assert (aside[-1].payload is None) == (word == "too_large")
    with place.ledger.read() as db:
        assert outbox.waiting(db, place.settings.incoming) == 0


def test_what_failed_is_replayed_when_it_is_mended(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = place.name()
    place.work(tell.job(id, MAY, "NAN of this one"))
    row = place.aside("nan_vector")[-1]
    assert place.online("job_text_v1", id) is None
    job.replay(place.home, place.settings, [row.id], None, False)
    place.work()
    assert place.aside("nan_vector")[-1].replays == 1  # no better: held again
    monkeypatch.setattr(type(place.encoder), "_vector", lambda self, text: self_made())
    job.replay(place.home, place.settings, [], "nan_vector", False)
    assert place.work()["changed"] >= 1
    assert place.online("job_text_v1", id) is not None
    assert not [held for held in place.aside("nan_vector") if held.entity_id == id]


def self_made() -> Any:
    import numpy as np

    return np.full(384, 384**-0.5, dtype=np.float32)


def test_a_dropped_event_loses_its_content(place: Any, tell: Any) -> None:
    place.work(b'{"no": "type", "private": 1}')
    row = place.aside("unknown_type")[-1]
    assert job.one(place.home, row.id).payload == '{"no": "type", "private": 1}'
    assert job.drop(place.home, [row.id], None, False) == 1
    with pytest.raises(UsageError, match="star quarantine list"):
        job.one(place.home, row.id)


def test_what_ingest_left_out_is_shown_too(place: Any) -> None:
    rows = job.look(place.home).rows
    assert rows["members", "duplicate_id"] == 1
    assert rows["jobs", "unparsable_time"] == 1


def test_which_events_must_be_said(place: Any) -> None:
    for chosen in [([], None, False), ([1], "bad_json", False), ([], "x", True)]:
        with pytest.raises(UsageError, match="Wanted numbers"):
            job.drop(place.home, *chosen)


class Killed(BaseException):
    """Stands in for SIGKILL: nothing in between may catch it."""


STEPS = ["_write_online", "_write_down", "settle", "commit"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_leaves_nothing_undone_or_doubled(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    one, other, third = place.name("j"), place.name("m"), place.name("j")
    place.work(tell.job(third, MAY))
    told = [
        tell.job(one, MAY, "pilot"),
        tell.member(other, MAY),
        tell.met(other, one, JUNE),
        tell.gone("job", third, JUNE),
    ]
    with monkeypatch.context() as broken:
        break_at(place, broken, step, after)
        with pytest.raises(Killed):
            place.work(*told)
    place.worker.waiting.forget(lambda message: True)  # a process that is gone knows nothing
    place.worker.source.close()
    place.work()
    undisturbed = place.name("j"), place.name("m"), place.name("j")
    place.work(tell.job(undisturbed[2], MAY))
    names = dict(zip((one, other, third), undisturbed, strict=True))
    place.work(*renamed(told, names))
    names_back = {new: old for old, new in names.items()}
    killed = place.state({"job": [one, third], "member": [other]}, str)
    plain = place.state(
        {"job": [undisturbed[0], undisturbed[2]], "member": [undisturbed[1]]},
        lambda id: names_back.get(id, id),
    )
    assert killed == plain
    for view, id in [("job_text_v1", one), ("member_text_v1", other)]:
        assert len(place.history(view, id)) == 1
    ids = [update["id"] for update in place.updates(one)]
    assert len(ids) == len(set(ids))
    with place.ledger.read() as db:
        assert journal.count(db) == 0


def break_at(place: Any, broken: pytest.MonkeyPatch, step: str, after: bool) -> None:
    owner = place.worker.source if step in ("settle", "commit") else place.worker.applying
    whole = getattr(owner, step)

    def breaking(*args: Any) -> None:
        if after:
            whole(*args)
        raise Killed

    broken.setattr(owner, step, breaking)


def renamed(told: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    return [
        json.loads(
            json.dumps({k: names.get(v, v) if isinstance(v, str) else v for k, v in e.items()})
        )
        for e in told
    ]


def test_a_store_that_is_away_for_a_moment_is_asked_again(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, online = place.name(), place.worker.applying.views.online
    whole, failures = online.write_rows, [StoreError("away")] * 3

    def failing(*args: Any) -> None:
        if failures:
            raise failures.pop()
        whole(*args)

    monkeypatch.setattr(online, "write_rows", failing)
    monkeypatch.setattr("pipelines.events.stores.LONGEST_WAIT", 0.01)
    assert place.work(tell.job(id, MAY))["changed"] == 1
    assert place.online("job_text_v1", id) is not None


def test_a_store_that_stays_away_stops_the_worker_and_loses_nothing(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, online = place.name(), place.worker.applying.views.online

    def failing(*args: Any) -> None:
        raise StoreError("the store is away")

    with monkeypatch.context() as broken:
        broken.setattr(online, "write_rows", failing)
        broken.setattr("pipelines.events.stores.LONGEST_WAIT", 0.01)
        with pytest.raises(StoreError, match="the store is away"):
            place.work(tell.job(id, MAY))
    place.worker.waiting.forget(lambda message: True)
    place.worker.source.close()
    assert place.work()["changed"] == 1


def test_rows_wait_in_the_journal_while_a_stage_holds_the_home(place: Any, tell: Any) -> None:
    from pipelines.receipts import only_one

    id = place.name()
    with only_one(place.home):
        place.work(tell.job(id, MAY))
        assert place.online("job_text_v1", id) is not None
        assert place.history("job_text_v1", id) == []
    place.work()
    assert len(place.history("job_text_v1", id)) == 1


def test_two_workers_that_touch_one_job_lose_neither_change(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes while this one computes: the batch begins anew."""
    id, member = place.name("j"), place.name("m")
    place.work(tell.job(id, MAY), tell.member(member, MAY))
    applying, other = place.worker.applying, [tell.met(member, id, JUNE)]
    whole = applying._write_online

    def meanwhile(rows: Any) -> None:
        whole(rows)
        if other:
            place.batch(other.pop())

    monkeypatch.setattr(applying, "_write_online", meanwhile)
    assert place.work(tell.job(id, JUNE, "painter"))["begun anew"] == 1
    monkeypatch.undo()
    plain, someone = place.name("j"), place.name("m")
    place.work(tell.job(plain, MAY), tell.member(someone, MAY))
    place.work(tell.job(plain, JUNE, "painter"), tell.met(someone, plain, JUNE))
    wanted, got = (place.online("job_graph_v1", one) for one in (plain, id))
    assert got == wanted


def test_one_that_is_deleted_while_it_is_computed_does_not_stay_online(
    place: Any, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = place.name("j")
    applying, other = place.worker.applying, [tell.gone("job", id, JUNE)]
    whole = applying._write_online

    def meanwhile(rows: Any) -> None:
        if other:
            place.batch(other.pop())
        whole(rows)

    monkeypatch.setattr(applying, "_write_online", meanwhile)
    assert place.work(tell.job(id, MAY))["stale"] == 1
    assert [place.online(view, id) for view in place.views("job")] == [None, None]


def test_the_outbox_remembers_what_is_done_for_as_long_as_it_should(place: Any, tell: Any) -> None:
    settings = EventSettings(keep_days=1)
    place.work(tell.job(place.name(), MAY))
    with place.ledger.begin() as db:
        before_us = place.clock.at_us - settings.keep_days * 86_400_000_000
        assert outbox.sweep(db, settings.incoming, before_us) == 0
        assert outbox.sweep(db, settings.incoming, place.clock.at_us + 1) > 0
