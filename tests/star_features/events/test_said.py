"""What an event says, what is wrong with it, and which of several counts."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_features.events.said import (
    Change,
    Content,
    EventLimits,
    Fault,
    Interaction,
    moment,
    newest,
    read,
)

NOON = "2026-03-01T12:00:00Z"
NOON_US = 1_772_366_400_000_000
LIMITS = EventLimits(max_text=10, max_list=2, max_list_value=5, ahead_seconds=60)


def job(**fields: Any) -> bytes:
    event = {"type": "job_changed", "at": NOON, "job_id": "j1", "text": "ward"} | fields
    return json.dumps(event).encode()


def test_a_change_is_cleaned_as_the_tables_are() -> None:
    raw = job(
        text=" a nurse ",
        company_id="c1",
        categories={"city": " Graz\x00 ", "floor": " ", "gone": None},
        lists={"skills": [" x ", "x", ""]},
        wage=7,
    )
    content = Content(" a nurse ", "c1", {"city": "Graz"}, {"skills": ["x"]})
    assert read(raw, LIMITS, NOON_US) == Change("job", "j1", NOON_US, content, ("wage",))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty"),
        (b"  ", "empty"),
        (b"{", "bad_json"),
        (b"[]", "bad_json"),
        (b"null", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"type": "job_gone"}', "unknown_type"),
        (job(job_id=None), "null_key"),
        (job(job_id=""), "null_key"),
        (job(job_id="j" * 201), "bad_field"),
        (job(at="yesterday"), "bad_field"),
        (job(at=1_772_366_400), "bad_field"),
        (job(at="0001-01-01T00:00:00+05:00"), "bad_field"),
        (job(at="1969-12-31"), "time_out_of_bounds"),
        (job(at="2026-03-01T12:01:01Z"), "from_the_future"),
        (job(text=" "), "empty_text"),
        (job(text="x" * 11), "text_too_long"),
        (job(text="a\x01"), "control_characters"),
        (job(lists={"skills": ["a", "b", "c"]}), "list_too_long"),
        (job(lists={"skills": ["abcdef"]}), "value_too_long"),
        (job(categories={"city": "abcdef"}), "value_too_long"),
    ],
)
def test_what_is_wrong_is_named_in_one_word(raw: bytes | None, reason: str) -> None:
    fault = read(raw, LIMITS, NOON_US)
    assert isinstance(fault, Fault)
    assert fault.reason.partition(":")[0] == reason


def test_a_message_of_fifty_megabytes_is_not_even_read() -> None:
    fault = read(job(text="x" * 50_000_000), EventLimits(), NOON_US)
    assert isinstance(fault, Fault)
    assert fault.reason == "too_large: 50,000,081 bytes, wanted 8,000,000 at most"


def test_a_reason_holds_nothing_of_what_arrived() -> None:
    for raw in (job(text=["my secret"]), job(at="my secret"), job(job_id={"my": "secret"})):
        fault = read(raw, LIMITS, NOON_US)
        assert isinstance(fault, Fault)
        assert "secret" not in fault.reason


def test_a_faulty_event_still_says_whose_it_is() -> None:
    fault = read(job(text="x" * 11), LIMITS, NOON_US)
    assert isinstance(fault, Fault)
    assert (fault.entity, fault.entity_id) == ("job", "j1")


def test_a_text_may_be_absent_where_that_is_allowed() -> None:
    said = read(job(text=None), EventLimits(allow_empty_text=True), NOON_US)
    assert isinstance(said, Change)
    assert said.content == Content(None)


changes = st.builds(
    Change,
    st.just("job"),
    st.just("j1"),
    st.integers(0, 3),
    st.one_of(st.none(), st.builds(Content, st.sampled_from(["a", "b", "c"]))),
)


@given(
    st.lists(changes, min_size=1, max_size=6).flatmap(
        lambda c: st.tuples(st.just(c), st.permutations([*c, *c]))
    )
)
def test_the_order_of_arrival_never_decides(drawn: tuple[list[Change], list[Change]]) -> None:
    first, again = drawn
    assert newest(first) == newest(again)


def test_of_one_time_a_deletion_counts() -> None:
    there, gone = Change("job", "j1", 5, Content("a")), Change("job", "j1", 5, None)
    assert newest([gone, there]) == newest([there, gone]) == gone
    assert newest([gone, Change("job", "j1", 6, Content("a"))]).content is not None


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2026, 1, 1)))
def test_a_time_is_read_to_the_microsecond(at: datetime) -> None:
    said = read(job(at=at.isoformat()), LIMITS, NOON_US)
    assert isinstance(said, Change)
    assert moment(said.at_us).replace(tzinfo=None) == at
    shifted = f"{(at + timedelta(hours=2)).isoformat()}+02:00"
    assert read(job(at=shifted), LIMITS, NOON_US) == said


def test_an_interaction_is_known_by_all_that_it_says() -> None:
    one = Interaction("m1", "j1", "view", 5)
    others = [
        Interaction("m2", "j1", "view", 5),
        Interaction("m1", "j2", "view", 5),
        Interaction("m1", "j1", "save", 5),
        Interaction("m1", "j1", "view", 6),
        Interaction("m1", "j1", "view", 5, 2.0),
        Interaction("m1", "j1", "view", 5, 1.0, 0),
    ]
    assert one.identity == Interaction("m1", "j1", "view", 5, unknown=("x",)).identity
    assert len({one.identity, *(other.identity for other in others)}) == 7
