"""Who leaves the tables leaves the online store, and comes back with the tables."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import apply, encode, gone, ingest, materialize
from pipelines.home import Home
from pipelines.receipts import read_receipt
from pipelines.recording import opened
from star_features.ledger.tombstones import buried_ids
from star_features.ledger.vectors import newest
from star_features.store.feast_store import open_store

SMALL = Path(__file__).parents[2] / "examples" / "small_csv"


class Place:
    """A home with text vectors online, and the CSV files it reads."""

    def __init__(self, home: Home, source: Path) -> None:
        self.home, self.source = home, source
        shutil.copytree(SMALL, source)
        self.people = (source / "people.csv").read_text().splitlines()

    def say(self, people: list[str]) -> dict:
        (self.source / "people.csv").write_text("\n".join(people) + "\n")
        return ingest.stage(self.home, self.source).run(self.home).facts["gone"]["member"]

    def without(self, *ids: str) -> list[str]:
        return [line for line in self.people if not line.startswith(ids)]

    def write(self) -> None:
        encode.stage(self.home).run(self.home)
        apply.stage(self.home).run(self.home)
        materialize.run(self.home)

    def online(self, *ids: str) -> list[bool]:
        store = open_store(self.home.repo, self.home.path)
        features = ["member_text_v1:vector", "member_attributes:town"]
        found = store.get_online_features(features, [{"member_id": i} for i in ids]).to_dict()
        both = zip(found["vector"], found["town"], strict=True)
        return [vector is not None and town is not None for vector, town in both]

    def known(self) -> set[str]:
        with opened(self.home) as ledger:
            return {row.entity_id for page in newest(ledger, "member_text_v1") for row in page}


@pytest.fixture(scope="module")
def place(make_home: Callable[[str], Home], tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(make_home("gone"), tmp_path_factory.mktemp("source") / "csv")
    place.say(place.people)
    place.write()
    return place


def test_who_is_gone_goes_offline_is_buried_and_comes_back_as_he_was(place: Place) -> None:
    assert place.online("P001", "P002") == [True, True]
    assert place.say(place.without("P001")) == {"removed": 1, "held_back": 0}
    assert place.online("P001", "P002") == [False, True]
    assert "P001" not in place.known()
    with opened(place.home) as ledger, ledger.read() as db:
        assert buried_ids(db, "member").keys() == {"P001"}
    place.write()
    assert place.online("P001", "P002") == [False, True]
    assert ingest.stage(place.home, place.source).run(place.home).skipped

    assert place.say(place.people) == {"removed": 0, "held_back": 0}
    place.write()
    assert read_receipt(place.home, "encode.v1").facts["member_text_v1"]["encoded"] == 0
    assert place.online("P001", "P002") == [True, True]
    with opened(place.home) as ledger, ledger.read() as db:
        assert buried_ids(db, "member") == {}


def test_killed_between_the_store_and_the_ledger_it_is_done_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gone, "_bury", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        place.say(place.without("P003"))
    monkeypatch.undo()
    assert place.say(place.without("P003")) == {"removed": 1, "held_back": 0}
    assert place.online("P003", "P002") == [False, True]


def test_half_a_table_that_is_gone_is_not_believed_until_it_is_forced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gone, "A_FEW", 5)
    half = place.people[: len(place.people) // 2]
    held = place.say(half)
    assert held["removed"] == 0
    assert held["held_back"] > 10
    last = place.people[-1].split(",")[0]
    assert place.online(last, "P002") == [True, True]
    stage = ingest.stage(place.home, place.source, all_gone=True)
    assert stage.run(place.home, force=True).facts["gone"]["member"]["held_back"] == 0
    assert place.online(last, "P002") == [False, True]
