"""The published schema is what the code reads."""

import json
from pathlib import Path

import jsonschema
import pytest

from star_features.events.said import Change, EventLimits, Fault, Interaction, read
from star_features.events.schema import published

PUBLISHED = Path(__file__).parents[3] / "docs" / "events.schema.json"
NOW_US = 1_800_000_000_000_000
GOOD = [
    {"type": "member_created", "at": "2026-03-01T12:00:00Z", "member_id": "m1", "text": "nurse"},
    {"type": "member_changed", "at": "2026-03-01", "member_id": "m1", "text": "a",
     "categories": {"city": "Graz"}, "lists": {"skills": ["care"]}, "id": "e1"},
    {"type": "job_changed", "at": "2026-03-01", "job_id": "j1", "text": "a", "company_id": "c1"},
    {"type": "member_deleted", "at": "2026-03-01", "member_id": "m1"},
    {"type": "job_deleted", "at": "2026-03-01", "job_id": "j1", "more": 1},
    {"type": "interaction_happened", "at": "2026-03-01", "member_id": "m1", "job_id": "j1",
     "kind": "view", "weight": 2, "label": 0},
]  # fmt: skip
BAD = [
    {"type": "member_created", "at": "2026-03-01", "text": "nurse"},
    {"type": "member_created", "at": "2026-03-01", "member_id": "", "text": "nurse"},
    {"type": "job_changed", "at": "2026-03-01", "job_id": "j1"},
    {"type": "job_changed", "at": "2026-03-01", "job_id": 7, "text": "a"},
    {"type": "job_moved", "at": "2026-03-01", "job_id": "j1"},
    {"type": "interaction_happened", "at": "2026-03-01", "member_id": "m1", "job_id": "j1"},
    {"type": "interaction_happened", "at": "2026-03-01", "member_id": "m1", "job_id": "j1",
     "kind": "view", "label": 2},
    {"at": "2026-03-01", "job_id": "j1"},
]  # fmt: skip


def test_the_published_schema_is_that_of_the_code() -> None:
    """Made anew by: python -m star_features.events.schema > docs/events.schema.json"""
    assert json.loads(PUBLISHED.read_text()) == published()


@pytest.mark.parametrize("event", GOOD)
def test_what_the_schema_takes_is_read(event: dict[str, object]) -> None:
    jsonschema.validate(event, published())
    said = read(json.dumps(event).encode(), EventLimits(), NOW_US)
    assert isinstance(said, Change | Interaction)


@pytest.mark.parametrize("event", BAD)
def test_what_the_schema_refuses_is_a_fault(event: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, published())
    assert isinstance(read(json.dumps(event).encode(), EventLimits(), NOW_US), Fault)
