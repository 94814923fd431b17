"""Who a row, an event or a document is about."""

import json

import pyarrow as pa
import pytest

from star_features.erasure.subject import Subject

TEXT = "Ward nurse in Graz, good at triage and wound dressing."
ANNA = Subject("member", frozenset({"1001"}), (TEXT,))


def test_an_id_is_a_members_where_the_column_says_so() -> None:
    rows = pa.record_batch({"member_id": ["1001", "10011", None], "job_id": ["7", "1001", "1001"]})
    assert ANNA.rows(rows).to_pylist() == [True, False, False]
    assert Subject("job", frozenset({"1001"})).rows(rows).to_pylist() == [False, True, True]


def test_an_edge_is_theirs_at_either_end_and_by_its_type() -> None:
    rows = pa.record_batch(
        {
            "src_type": ["member", "job", "skill"],
            "src_id": ["1001", "1001", "1001"],
            "dst_type": ["job", "member", "job"],
            "dst_id": ["7", "1001", "1001"],
        }
    )
    assert ANNA.owners(rows).to_pylist() == ["1001", "1001", None]


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ('{"member_id": "1001", "text": "x"}', True),
        ('{"job_id": "1001"}', False),
        ('{"entity_ids": ["7", "1001"]}', True),
        ('{"1001": 3}', True),
        ('{"count": 1001}', False),
        ('{"member_id": "10010"}', False),
        ('{"member_id": "1001', True),  # no JSON: nobody can tell, so it is theirs
        (json.dumps({"note": f"he said: {TEXT}"}), True),
        (json.dumps({"value": TEXT[:40] + "…"}), True),
        ('{"note": "Ward nurse in Graz"}', False),
    ],
)
def test_a_document_names_them_by_whole_strings_under_keys_that_fit(
    payload: str, named: bool
) -> None:
    assert ANNA.named_in(payload) is named


def test_a_document_is_scrubbed_of_them_and_of_nobody_else() -> None:
    document = {"member": "1001", "jobs": ["1001", "7"], "top": [{"job": "1001", "text": TEXT}]}
    assert ANNA.scrubbed(document) == {
        "member": None,
        "jobs": ["1001", "7"],
        "top": [{"job": "1001", "text": None}],
    }
    assert not ANNA.named_in(json.dumps(ANNA.scrubbed(document)))


def test_an_id_is_found_however_json_spells_it() -> None:
    zoe = Subject("member", frozenset({"zoë"}))
    assert zoe.named_in('{"member_id": "zo\\u00eb"}')
    assert zoe.named_in('{"member_id": "zoë"}')
