"""Rows of the history on their way to Parquet."""

from star_features.ledger import journal
from star_features.ledger.journal import Line
from star_features.ledger.ledger import Ledger


def line(view: str, id: str, at_us: int = 1) -> Line:
    return Line(view, id, f"{view}@a", b"\0\0\x80?", None, f"{id} {at_us}", at_us, 9)


def test_rows_come_back_view_by_view_and_are_struck_once(ledger: Ledger) -> None:
    with ledger.begin() as db:
        journal.write(db, [line("job_text_v1", "j1"), line("job_graph_v1", "j1")])
        journal.write(db, [line("job_text_v1", "j1", 2), line("job_text_v1", "j2")])
        categories = line("job_attributes", "j1")._replace(vector=None, categories={"city": None})
        journal.write(db, [categories])
    seen = []
    for page in journal.pages(ledger, page=2):
        seen.append([(one.view, one.entity_id, one.content_us) for one in page])
        with ledger.begin() as db:
            journal.strike(db, [one.id for one in page])
    assert seen == [
        [("job_attributes", "j1", 1)],
        [("job_graph_v1", "j1", 1)],
        [("job_text_v1", "j1", 1), ("job_text_v1", "j1", 2)],
        [("job_text_v1", "j2", 1)],
    ]
    with ledger.read() as db:
        assert journal.count(db) == 0


def test_the_row_taken_in_last_is_found_with_its_bytes(ledger: Ledger) -> None:
    with ledger.begin() as db:
        journal.write(db, [line("job_text_v1", "j1", 2), line("job_text_v1", "j1", 1)])
        found = journal.newest(db, "job_text_v1", ["j1", "j2"])
        assert found["j1"].vector == b"\0\0\x80?"
        assert {id: row.content_us for id, row in found.items()} == {"j1": 1}


def test_an_entity_is_forgotten_in_all_its_views_and_in_no_other(ledger: Ledger) -> None:
    with ledger.begin() as db:
        views = ["job_text_v1", "job_attributes", "member_text_v1"]
        journal.write(db, [line(view, "x") for view in views])
        assert journal.forget_entities(db, "job", ["x"]) == 2
        assert list(journal.newest(db, "member_text_v1", ["x"])) == ["x"]
