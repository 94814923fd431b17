"""Thousands of events, one in ten poisoned, repeated and shuffled: every good one counts once, and
every bad one is set aside with its reason. The encoder is a stand-in; all else is the worker.

The long form: pytest -m slow tests/pipelines/events/test_fuzz.py
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipelines.home import Home
from star_features.events.said import Change, EventLimits, Interaction, newest, read
from star_features.ledger import changes, quarantine
from star_features.ledger.schema import Tombstone
from star_features.online.columns import ViewRead, online_name
from star_features.online.wire import entity_keys

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
NOW_US = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1e6)
WORDS = ["nurse", "ward", "cook", "driver", "night", "shift", "Graz", "Basel", "senior", "triage"]


@dataclass
class Told:
    """Events as they are sent, and what must come of them."""

    lines: list[bytes] = field(default_factory=list)
    good: list[Change | Interaction] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)


class Fuzz:
    """Makes events of a seed."""

    def __init__(self, seed: int, events: int) -> None:
        self.rng, self.events, self.told = random.Random(seed), events, Told()
        people = max(20, events // 25)
        self.ids = {e: [f"fuzz-{e}-{n}" for n in range(people)] for e in ("member", "job")}
        self.kinds: list[Callable[[str], tuple[str, bytes]]] = [
            lambda id: ("bad_json", b'{"type": "job_changed", "job_id": "' + id.encode()),
            lambda id: ("bad_json", bytes([0xFF, 0xFE]) + id.encode()),
            lambda id: ("unknown_type", self.job(id, type="job_moved")),
            lambda id: ("null_key", self.job(None, text=f"of nobody {id}")),
            lambda id: ("bad_field", self.job(id, at="yesterday")),
            lambda id: ("bad_field", self.job(id, lists={"needs": "no list"})),
            lambda id: ("from_the_future", self.job(id, at="2199-01-01")),
            lambda id: ("time_out_of_bounds", self.job(id, at="1066-10-14")),
            lambda id: ("empty_text", self.job(id, text=" ")),
            lambda id: ("control_characters", self.job(id, text="a\x00b")),
            lambda id: ("value_too_long", self.job(id, lists={"needs": ["x" * 1_001]})),
            lambda id: ("nan_vector", self.job(id, text="NAN")),
            lambda id: ("wrong_width", self.job(id, text="WIDE")),
            lambda id: ("unknown_member", self.met(id, self.rng.choice(self.ids["job"]))),
        ]

    def make(self) -> Told:
        for number in range(self.events):
            self.poison(number) if number % 10 == 9 else self.sound()
        for entity, ids in self.ids.items():  # so that everybody is known in the end
            for id in ids:
                self.keep(self.change(entity, id))
        self.huge()
        self.told.lines += [
            self.again(line) for line in self.rng.sample(self.told.lines, k=self.events // 5)
        ]
        self.rng.shuffle(self.told.lines)
        return self.told

    def sound(self) -> None:
        entity = self.rng.choice(["member", "job"])
        id, which = self.rng.choice(self.ids[entity]), self.rng.random()
        if which < 0.5:
            self.keep(self.change(entity, id))
        elif which < 0.6:
            self.keep(self.dump(type=f"{entity}_deleted", **{f"{entity}_id": id}))
        else:
            self.keep(
                self.met(self.rng.choice(self.ids["member"]), self.rng.choice(self.ids["job"]))
            )

    def keep(self, line: bytes) -> None:
        said = read(line, EventLimits(), NOW_US)
        assert isinstance(said, Change | Interaction)
        self.told.good.append(said)
        self.told.lines.append(line)

    def poison(self, number: int) -> None:
        word, line = self.kinds[number // 10 % len(self.kinds)](f"bad-{number}")
        self.told.bad[word] += 1
        self.told.lines.append(line)

    def huge(self) -> None:
        self.told.bad.update(too_large=1, text_too_long=1)
        self.told.lines += [
            self.job("huge", text="x" * 50_000_000),
            self.job("long", text="x" * 1_000_001),
        ]

    def again(self, line: bytes) -> bytes:
        """The same event; a good one as other bytes, or the outbox would know it."""
        if len(line) > 10_000 or not isinstance(
            read(line, EventLimits(), NOW_US), Change | Interaction
        ):
            return line
        event = json.loads(line)
        if event.get("text") in ("NAN", "WIDE") or str(event.get("member_id")).startswith("bad"):
            return line
        return json.dumps(event | {"repeated": self.rng.random()}).encode()

    def change(self, entity: str, id: str) -> bytes:
        text = " ".join(self.rng.choices(WORDS, k=4))
        needs = self.rng.sample(["triage", "web services", "new skill"], k=self.rng.randint(0, 2))
        lists = {"can_do" if entity == "member" else "needs": needs}
        return self.dump(type=f"{entity}_changed", text=text, lists=lists, **{f"{entity}_id": id})

    def job(self, id: str | None, **more: Any) -> bytes:
        return self.dump(**{"type": "job_changed", "job_id": id, "text": "ward", **more})

    def met(self, member: str, job: str) -> bytes:
        kind = self.rng.choice(["applied", "saved", "never seen"])
        return self.dump(type="interaction_happened", member_id=member, job_id=job, kind=kind,
                         label=self.rng.choice([1, 1, 0]))  # fmt: skip

    def dump(self, **event: Any) -> bytes:
        at = BEGIN + timedelta(seconds=self.rng.randrange(1_000))  # many at the same time
        return json.dumps({"at": at.isoformat(), **event}).encode()


@pytest.mark.parametrize("events", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_every_good_event_counts_once_and_every_bad_one_is_set_aside(
    copied: Callable[[Path], Home], at_work: Callable[..., Any], tmp_path: Path, events: int
) -> None:
    from pipelines.events.send import send

    told = Fuzz(seed=17, events=events).make()
    with at_work(copied(tmp_path)) as place:
        send(place.home, place.settings, told.lines)
        tally = place.worker.run(once=True)
        with place.ledger.read() as db:
            assert quarantine.counts(db) == dict(told.bad)
        check_interactions(place, told)
        for entity in ("member", "job"):
            check_entities(place, told, entity)
        assert tally.events["encoded"] <= len(told.good)


def check_interactions(place: Any, told: Told) -> None:
    wanted = {said.identity for said in told.good if isinstance(said, Interaction)}
    kept = [row.identity for page in changes.all_interactions(place.ledger) for row in page]
    assert len(kept) == len(wanted)
    assert set(kept) == wanted


def check_entities(place: Any, told: Told, entity: str) -> None:
    """The newest state of each, in the ledger and online; nobody else."""
    by_id: dict[str, list[Change]] = {}
    for said in told.good:
        if isinstance(said, Change) and said.entity == entity:
            by_id.setdefault(said.entity_id, []).append(said)
    last = {id: newest(every) for id, every in by_id.items()}
    there = {id: change for id, change in last.items() if change.content}
    kept = {
        row.entity_id: row for page in changes.all_changes(place.ledger, entity) for row in page
    }
    assert {id: (row.content_us, row.tie) for id, row in kept.items()} == {
        id: (change.at_us, change.stamp.tie) for id, change in there.items()
    }
    with place.ledger.read() as db:
        gone = select(Tombstone.entity_id).where(Tombstone.entity == entity)
        assert set(db.execute(gone).scalars()) == last.keys() - there.keys()
    for view in place.views(entity):
        assert online(place, view, sorted(last)) == {id: id in there for id in last}


def online(place: Any, view: str, ids: list[str]) -> dict[str, bool]:
    views = place.worker.applying.views
    table, key = views.views[view], f"{view.split('_')[0]}_id"
    asked = ViewRead(online_name(views.store.config, table), ("vector",), entity_keys(key, ids))
    (columns,) = views.online.read_columns(views.store.config, [asked])
    return {id: value is not None for id, value in zip(ids, columns.values[0], strict=True)}
