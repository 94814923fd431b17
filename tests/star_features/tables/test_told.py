"""What events told is laid over a source; what the source knows as well is its own."""

from datetime import UTC, datetime

import pytest

from star_features.tables.canonical import Tables
from star_features.tables.read import read_dataset
from star_features.tables.told import Told, ToldMeeting, ToldRow

JOBS = (
    "job_id,text,updated_at,company_id,town,skills\n"
    "j1,ward,2024-01-01,c1,Graz,a|b\nj2,kitchen,2024-01-02,c2,Graz,c\nj3,desk,2024-01-03,c2,Bern,\n"
)
ROME = {"town": "Rome", "a column that nobody has": "x"}
TOML = "[jobs]\nlists = { skills = '|' }\ncategorical = ['town']"


def us(day):
    return int(datetime(2024, 1, day, tzinfo=UTC).timestamp() * 1_000_000)


def row(id, day, **more):
    held = {"text": "told", "company_id": None, "categories": {}, "lists": {}} | more
    return ToldRow(id, us(day), **held)


def view(member, job, day, month=2):
    at_us = int(datetime(2024, month, day, tzinfo=UTC).timestamp() * 1_000_000)
    return ToldMeeting(f"{member} {job} {day}", member, job, "view", at_us, 1.0, 1)


def told(jobs=(), members=(), interactions=()):
    pages = {"job": jobs, "member": members}
    return Told(lambda entity: iter([pages[entity]]), lambda: iter([interactions]))


@pytest.fixture
def read(dataset, tmp_path):
    def run(over):
        read_dataset(dataset(TOML, jobs=JOBS), tmp_path / "out", told=over)
        return Tables(tmp_path / "out")

    return run


def test_the_newer_of_the_two_is_in_the_tables(read):
    over = told(
        jobs=[
            row("j1", 5, company_id="c9", categories=ROME, lists={"skills": ["z"]}),
            row("j2", 2, text="as new as the source"),
            row("j3", 1, text="older"),
            row("j4", 1),
        ]
    )  # fmt: skip
    tables = read(over)
    rows = {r["job_id"]: r for r in tables.jobs().to_pylist()}
    assert {id: r["text"] for id, r in rows.items()} == {
        "j1": "told", "j2": "kitchen", "j3": "desk", "j4": "told"
    }  # fmt: skip
    assert rows["j1"] == {
        "job_id": "j1", "company_id": "c9", "text": "told", "town": "Rome", "skills": ["z"],
        "updated_at": datetime(2024, 1, 5, tzinfo=UTC),
    }  # fmt: skip
    assert (rows["j4"]["town"], rows["j4"]["skills"], rows["j4"]["company_id"]) == (None, [], None)
    assert over.caught_up == {"member": {}, "job": {"j2": us(2), "j3": us(1)}}


def test_the_counts_add_up(read):
    counts = read(told(jobs=[row("j1", 5), row("j4", 1)])).receipt.tables["jobs"]
    assert (counts.rows_in, counts.told, counts.superseded, counts.kept) == (3, 2, 1, 4)
    assert counts.rows_in + counts.told == counts.kept + counts.quarantined + counts.superseded


def test_a_told_interaction_is_added_once_and_only_between_those_who_are_there(read):
    over = told(
        jobs=[row("j4", 1)],
        interactions=[view("m1", "j1", 1), view("m1", "j4", 9), view("m9", "j1", 9)],
    )
    tables = read(over)
    pairs = [(r["member_id"], r["job_id"]) for r in tables.interactions().to_pylist()]
    assert pairs == [("m1", "j1"), ("m2", "j2"), ("m1", "j2"), ("m1", "j4")]
    assert over.known == {"m1 j1 1"}
    (aside,) = tables.quarantine(["table", "file", "reason"]).to_pylist()
    assert aside == {"table": "interactions", "file": "events", "reason": "unknown_member"}


def test_nothing_told_changes_nothing(dataset, tmp_path):
    source = dataset(TOML, jobs=JOBS)
    for name, over in (("plain", None), ("told", told())):
        read_dataset(source, tmp_path / name, told=over)
    for table in ("members", "jobs", "interactions", "quarantine"):
        one, other = (Tables(tmp_path / name).table(table) for name in ("plain", "told"))
        assert one.equals(other)
