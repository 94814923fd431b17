"""What could not be used is kept, counted, found again, replayed or dropped."""

import pytest

from star_features.ledger import quarantine
from star_features.ledger.ledger import Ledger
from star_features.ledger.quarantine import Aside

BAD = Aside("star.changes", "bad_json: EOF", "{")
UNKNOWN = Aside("star.changes", "unknown_job: j9", '{"job_id": "j9"}', "job", "j9")


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    with ledger.begin() as db:
        quarantine.set_aside(db, [BAD, UNKNOWN, BAD], 5)
    return ledger


def test_the_same_input_set_aside_twice_is_one_row(filled: Ledger) -> None:
    with filled.begin() as db:
        quarantine.set_aside(db, [BAD], 6)
        quarantine.set_aside(db, [BAD._replace(payload="[")], 6)
        assert quarantine.counts(db) == {"bad_json": 2, "unknown_job": 1}
        assert [row.at_us for row in quarantine.held(db)] == [5, 5, 6]


def test_an_input_that_is_replayed_and_no_better_is_held_again(filled: Ledger) -> None:
    with filled.begin() as db:
        (row,) = quarantine.held(db, word="bad_json")
        quarantine.replayed(db, [row.id])
        assert quarantine.counts(db) == {"unknown_job": 1}
        quarantine.set_aside(db, [BAD], 7)
        (again,) = quarantine.held(db, ids=[row.id])
        assert (again.at_us, again.replays, again.payload) == (5, 1, "{")


def test_who_was_unknown_finds_what_waited_for_it(filled: Ledger) -> None:
    with filled.begin() as db:
        wanted = [("job", "j1"), ("member", "j9"), ("job", "j9")]
        assert [row.reason for row in quarantine.waiting_for(db, wanted)] == ["unknown_job: j9"]
        assert quarantine.waiting_for(db, [("member", "j9")]) == []


def test_what_is_dropped_keeps_its_reason_and_loses_its_content(filled: Ledger) -> None:
    with filled.begin() as db:
        (row,) = quarantine.held(db, word="bad_json")
        assert quarantine.drop(db, [row.id]) == 1
        assert quarantine.drop(db, [row.id]) == 0
        assert quarantine.counts(db) == {"unknown_job": 1}


def test_a_payload_without_end_is_not_kept(ledger: Ledger) -> None:
    with ledger.begin() as db:
        large = Aside("star.changes", "too_large: …", "x" * (quarantine.KEEP + 1))
        quarantine.set_aside(db, [large, large._replace(payload=None)], 5)
        assert [row.payload for row in quarantine.held(db)] == [None, None]


def test_a_zero_byte_can_be_stored(ledger: Ledger) -> None:
    with ledger.begin() as db:
        quarantine.set_aside(db, [BAD._replace(payload="a\0b")], 5)
        assert quarantine.held(db)[0].payload == "a\\u0000b"
