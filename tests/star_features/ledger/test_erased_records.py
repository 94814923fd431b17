"""The ledger without someone: on both databases, whatever table and column they stand in."""

import json
from typing import Any

import pytest
from sqlalchemy import Table, insert, select

from star_features.erasure.records import WITHHELD, erase_records, named_records
from star_features.erasure.subject import Subject
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import (
    Base,
    Change,
    Interaction,
    Journal,
    Outbox,
    Quarantine,
    ReleaseStep,
    Run,
    Slot,
    Vector,
)

TEXT = "Ward nurse in Graz, good at triage."
ANNA = Subject("member", frozenset({"1001"}), (TEXT,))


def filled(table: Any, **given: Any) -> dict[str, Any]:
    """A row of a table: what is given, and something for every other column that wants it."""
    row = dict(given)
    made: Table = table.__table__
    for column in made.columns:
        if column.name not in row and not column.nullable and column.autoincrement is not True:
            kind = column.type.python_type
            row[column.name] = column.name if kind is str else kind()
    return row


THEIRS: list[tuple[Any, dict[str, Any]]] = [
    (Vector, {"view": "member_text_v1", "entity_id": "1001"}),
    (Journal, {"view": "member_graph_v1_from_v2", "entity_id": "1001"}),
    (Change, {"entity": "member", "entity_id": "1001", "content": {"text": TEXT}}),
    (Interaction, {"member_id": "1001", "job_id": "7"}),
    (Quarantine, {"entity": "member", "entity_id": "1001", "identity": "by entity"}),
    (Quarantine, {"payload": '{"member_id": "1001"', "identity": "bad json"}),
    (Quarantine, {"payload": json.dumps({"text": TEXT}), "identity": "no id"}),
    (Outbox, {"key": "1001", "payload": "", "identity": "done"}),
    (Outbox, {"key": "x", "payload": '{"member_id": "1001"}', "identity": None}),
    (Outbox, {"key": "y", "payload": "", "identity": "topic edit-1001-3"}),
]
OTHERS: list[tuple[Any, dict[str, Any]]] = [
    (Vector, {"view": "job_text_v1", "entity_id": "1001"}),
    (Vector, {"view": "member_text_v1", "entity_id": "10011"}),
    (Change, {"entity": "job", "entity_id": "1001", "content": {"text": "A job."}}),
    (Interaction, {"member_id": "7", "job_id": "1001", "identity": "other"}),
    (Quarantine, {"entity": "job", "entity_id": "1001", "payload": '{"job_id": "1001"}'}),
    (Outbox, {"key": "z", "payload": '{"job_id": "1001"}', "identity": None}),
]


def put(ledger: Ledger, rows: list[tuple[Any, dict[str, Any]]]) -> None:
    with ledger.begin() as db:
        for table, given in rows:
            db.execute(insert(table), filled(table, **given))


def everything(ledger: Ledger) -> list[Any]:
    with ledger.read() as db:
        tables = Base.metadata.sorted_tables
        return [(t.name, tuple(row)) for t in tables for row in db.execute(select(t))]


def test_every_row_of_theirs_goes_and_every_other_stays(ledger: Ledger) -> None:
    put(ledger, OTHERS)
    before = everything(ledger)
    put(ledger, THEIRS)
    with ledger.begin() as db:
        counts = erase_records(db, ANNA)
    assert counts == {
        **{"vector": 1, "journal": 1, "change": 1, "interaction": 1},
        **{"quarantine": 3, "outbox": 3},
    }
    assert everything(ledger) == before
    with ledger.begin() as db:
        assert erase_records(db, ANNA) == {}
        assert named_records(db, ANNA) == {}


@pytest.mark.parametrize("place", range(len(THEIRS)))
def test_each_row_that_is_left_is_found(ledger: Ledger, place: int) -> None:
    put(ledger, [*OTHERS, THEIRS[place]])
    with ledger.read() as db:
        assert set(named_records(db, ANNA)) == {THEIRS[place][0].__tablename__}


def test_what_a_run_or_a_release_says_of_them_is_cleared_and_the_row_stays(ledger: Ledger) -> None:
    put(
        ledger,
        [
            (Run, {"facts": {"member": "1001", "rows": 3}, "error": f"failed at {TEXT}"}),
            (Slot, {"checkpoint": {"after": "1001"}}),
            (ReleaseStep, {"numbers": {"worst": [{"member_id": "1001", "cosine": 0.1}]}}),
        ],
    )
    with ledger.begin() as db:
        assert erase_records(db, ANNA) == {"run": 1, "slot": 1, "release_step": 1}
        assert db.execute(select(Run.facts, Run.error)).one() == (
            {"member": None, "rows": 3},
            WITHHELD,
        )
        assert db.execute(select(ReleaseStep.numbers)).scalar_one() == {
            "worst": [{"member_id": None, "cosine": 0.1}]
        }
        assert named_records(db, ANNA) == {}
