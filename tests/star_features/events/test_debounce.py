"""When an event is worked on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_features.events.debounce import Debounce, Pace

PACE = Pace(quiet_ms=50, deadline_ms=150, batch=2)


@pytest.fixture
def waiting() -> Debounce[str]:
    return Debounce(PACE)


def test_an_entity_is_worked_on_once_it_is_quiet(waiting: Debounce[str]) -> None:
    waiting.add("j1", "first", now=0.0)
    waiting.add("j1", "second", now=0.04)
    assert waiting.due(now=0.08) == []
    assert waiting.next_due() == pytest.approx(0.09)
    assert waiting.due(now=0.091) == ["first", "second"]
    assert (len(waiting), waiting.next_due()) == (0, None)


def test_an_entity_that_never_rests_is_worked_on_at_the_deadline(waiting: Debounce[str]) -> None:
    for tick in range(5):
        waiting.add("j1", str(tick), now=tick * 0.04)
    assert waiting.next_due() == pytest.approx(0.15)
    assert waiting.due(now=0.149) == []
    assert waiting.due(now=0.151) == list("01234")


def test_a_batch_takes_the_longest_waiting_first(waiting: Debounce[str]) -> None:
    for place, key in enumerate(["c", "a", "b"]):
        waiting.add(key, key, now=place / 1000)
    assert waiting.due(now=1) == ["c", "a"]
    assert waiting.due(now=1) == ["b"]


def test_everything_is_due_when_the_source_has_ended(waiting: Debounce[str]) -> None:
    waiting.add("j1", "x", now=0.0)
    assert waiting.due(now=0.0, everything=True) == ["x"]


def test_nothing_more_is_taken_in_than_may_wait() -> None:
    waiting: Debounce[int] = Debounce(Pace(waiting=2))
    waiting.add("a", 1, now=0.0)
    assert not waiting.full
    waiting.add("a", 2, now=0.0)
    assert waiting.full


def test_what_another_worker_will_bring_is_forgotten(waiting: Debounce[str]) -> None:
    for key, item in [("a", "x1"), ("a", "y1"), ("b", "x2")]:
        waiting.add(key, item, now=0.0)
    waiting.forget(lambda item: item.startswith("x"))
    assert len(waiting) == 1
    assert waiting.due(now=9, everything=True) == ["y1"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=40),
    st.integers(1, 4),
)
def test_nothing_is_lost_doubled_or_too_late(steps: list[tuple[str, int]], batch: int) -> None:
    waiting: Debounce[tuple[int, float]] = Debounce(Pace(quiet_ms=20, deadline_ms=60, batch=batch))
    now, out = 0.0, []
    for place, (key, pause) in enumerate(steps):
        now += pause / 1000
        while (due := waiting.next_due()) is not None and due <= now:
            done = waiting.due(due)
            assert done
            assert all(due - came <= 0.060_001 for _, came in done)
            out += done
        waiting.add(key, (place, now), now)
    while rest := waiting.due(now, everything=True):
        out += rest
    assert sorted(place for place, _ in out) == list(range(len(steps)))
