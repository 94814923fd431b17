"""A small home with a worker that stays warm, and an encoder whose vectors cost nothing.

Tests share both; each takes ids of its own, so that none sees what another one did.
"""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.events.settings import EventSettings
from pipelines.events.sources import Message, letter_of
from pipelines.events.worker import Worker
from pipelines.home import Home
from pipelines.recording import now_us
from star_features.events.said import read
from star_features.ledger import changes, outbox, quarantine, tombstones
from star_features.online.columns import ViewRead, online_name
from star_features.online.wire import decode_vectors, entity_keys, string_of, width_of
from star_features.spaces import unit
from star_features.store.feast_store import resolve_config
from star_features.store.history import History

WIDTH = 384


class Letters:
    """Stands in for the text encoder: a vector is told by the text's letters.

    A text with NAN, WIDE or BREAK in it makes the trouble of that name.
    """

    def __init__(self, spaces: dict[str, str]) -> None:
        self.spaces = spaces
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str], side: str) -> Any:
        if any("BREAK" in text for text in texts):
            raise RuntimeError("a tokenizer broke")
        self.encoded += texts
        return SimpleNamespace(vectors_ND=[self._vector(text) for text in texts])

    def space(self, name: str, side: str) -> Any:
        return SimpleNamespace(id=self.spaces[side])

    def _vector(self, text: str) -> Any:
        if "WIDE" in text:
            return np.ones(3, dtype=np.float32)
        counts_D = np.ones(WIDTH, dtype=np.float32)
        for letter in text:
            counts_D[ord(letter) % WIDTH] += 1
        return unit(counts_D[None])[0] * (np.nan if "NAN" in text else 1)


class Ticking:
    """A clock that moves by a millisecond whenever it is read, or to where it is put."""

    def __init__(self) -> None:
        self.at_us = now_us()

    def __call__(self) -> int:
        self.at_us += 1_000
        return self.at_us


class Vector:
    """Numbers that are the same but for what another batch does to the last bits."""

    def __init__(self, numbers_D: Any) -> None:
        self.numbers_D = numbers_D

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vector):
            return NotImplemented
        return bool(np.allclose(self.numbers_D, other.numbers_D, atol=2e-5))

    def __repr__(self) -> str:
        return f"Vector({np.round(self.numbers_D[:4], 4).tolist()}…)"

    __hash__ = None  # type: ignore[assignment]


class Place:
    """A home, its worker, and what a test wants to say and see."""

    def __init__(self, home: Home, worker: Worker, encoder: Letters, clock: Ticking) -> None:
        self.home, self.worker, self.encoder, self.clock = home, worker, encoder, clock
        self.ledger, self.settings = worker.ledger, worker.settings
        self._numbers = itertools.count()

    def name(self, prefix: str = "x") -> str:
        """A prefix of ids that no other test has."""
        return f"{prefix}{next(self._numbers)}"

    def send(self, *events: dict[str, Any] | bytes) -> None:
        raws = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
        with self.ledger.begin() as db:
            letters = [letter_of(raw) for raw in raws]
            outbox.put(db, self.settings.incoming, letters, self.clock())

    def work(self, *events: dict[str, Any] | bytes) -> dict[str, int]:
        """Send, work everything off, and say what it came to."""
        before = dict(self.worker.tally.events)
        self.send(*events)
        self.worker.run(once=True)
        after = self.worker.tally.events
        return {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}

    def batch(self, *events: dict[str, Any]) -> None:
        """Apply these at once, in this order, from no source."""
        raws = [json.dumps(event).encode() for event in events]
        now = self.clock()
        messages = [
            Message(n, raw, read(raw, self.settings.limits, now)) for n, raw in enumerate(raws)
        ]
        self.worker.applying.apply(messages, Nowhere())

    def online(self, view: str, id: str) -> tuple[Any, str | None, int] | None:
        """Vector, space and event time, as they stand in the online store."""
        views = self.worker.applying.views
        table, key = views.views[view], f"{view.split('_')[0]}_id"
        name = online_name(views.store.config, table)
        read = ViewRead(name, ("vector", "space"), entity_keys(key, [id]))
        (columns,) = views.online.read_columns(views.store.config, [read])
        (value,), (space,) = columns.values
        if value is None:
            return None
        vector_1D = np.zeros((1, width_of(value)), dtype=np.float32)
        decode_vectors([value], vector_1D)
        space_id = string_of(space) if space else None
        return Vector(vector_1D[0]), space_id, int(columns.event_us_N[0])

    def views(self, entity: str) -> list[str]:
        return [f"{entity}_text_v1", f"{entity}_graph_v1"]

    def history(self, view: str, id: str) -> list[dict[str, Any]]:
        """Rows of one entity, the oldest first."""
        history = History.of_vectors(self.home.history, view)
        rows = [row for row in history.known().to_pylist() if row[history.key] == id]
        return sorted(rows, key=lambda row: (row["event_timestamp"], row["created"]))

    def state(self, ids: dict[str, Sequence[str]], rename: Callable[[str], str]) -> dict[str, Any]:
        """All that is left of these members and jobs, under other names."""
        out: dict[str, Any] = {}
        with self.ledger.read() as db:
            for entity, some in ids.items():
                for id in some:
                    out[f"{entity} {rename(id)}"] = {
                        "online": {v: self.online(v, id) for v in self.views(entity)},
                        "kept": [row[2:] for row in changes.changes_of(db, entity, [id]).values()],
                        "met": sorted(
                            (rename(h.member_id), rename(h.job_id), *h[3:])
                            for h in changes.interactions_of(db, entity, [id])[id]
                        ),
                        "gone": tombstones.deleted_at(db, entity, [id]).get(id),
                        "aside": sorted(
                            row.reason.partition(":")[0]
                            for row in quarantine.waiting_for(db, [(entity, id)])
                        ),
                    }
        return out

    def aside(self, word: str) -> list[Any]:
        with self.ledger.read() as db:
            return quarantine.held(db, word=word)

    def updates(self, id: str) -> list[dict[str, Any]]:
        """What went out about an entity."""
        with self.ledger.read() as db:
            every = outbox.after(db, self.settings.outgoing, 0, most=100_000)
        return [json.loads(held.payload) for held in every if held.key == id]


class Nowhere:
    """A source that keeps nothing."""

    def poll(self, seconds: float) -> list[Message]:
        return []

    def settle(self, db: Any, messages: Sequence[Message]) -> None: ...

    def commit(self, messages: Sequence[Message]) -> None: ...

    def revoked(self) -> None: ...

    def close(self) -> None: ...


def job(id: str, at: str, text: str = "ward nurse", **more: Any) -> dict[str, Any]:
    return {"type": "job_changed", "job_id": id, "at": at, "text": text, **more}


def member(id: str, at: str, text: str = "nurse", **more: Any) -> dict[str, Any]:
    return {"type": "member_changed", "member_id": id, "at": at, "text": text, **more}


def gone(entity: str, id: str, at: str) -> dict[str, Any]:
    return {"type": f"{entity}_deleted", f"{entity}_id": id, "at": at}


def met(member: str, job: str, at: str, kind: str = "applied", **more: Any) -> dict[str, Any]:
    return {"type": "interaction_happened", "member_id": member, "job_id": job, "at": at,
            "kind": kind, **more}  # fmt: skip


@pytest.fixture(scope="session")
def tell() -> SimpleNamespace:
    """Events, in short."""
    return SimpleNamespace(job=job, member=member, gone=gone, met=met)


@pytest.fixture(scope="session")
def copied(small: Home) -> Callable[[Path], Home]:
    """A home of its own, as `small` is."""

    def copy(folder: Path) -> Home:
        home = Home(folder / "home", folder / "repo")
        shutil.copytree(small.path, home.path)
        shutil.copytree(small.repo, home.repo)
        resolve_config(home.repo, home.path)
        return home

    return copy


@pytest.fixture(scope="session")
def letters() -> Callable[[Home], Letters]:
    """The encoder of a home that costs nothing, in the home's own spaces."""

    def of(home: Home) -> Letters:
        views = {e: History.of_vectors(home.history, f"{e}_text_v1") for e in ("member", "job")}
        return Letters({entity: history.spaces()[0] for entity, history in views.items()})

    return of


@pytest.fixture(scope="session")
def at_work(letters: Callable[[Home], Letters]) -> Callable[..., Any]:
    """A worker of a home, with the cheap encoder: a context manager that gives a Place."""
    from contextlib import contextmanager

    @contextmanager
    def open_place(home: Home, settings: EventSettings | None = None) -> Iterator[Place]:
        encoder, clock = letters(home), Ticking()
        chosen = settings or EventSettings()
        with Worker.open(home, chosen, clock=clock, encoders={"v1": encoder}) as worker:
            yield Place(home, worker, encoder, clock)

    return open_place


@pytest.fixture(scope="module")
def place(
    copied: Callable[[Path], Home],
    at_work: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    with at_work(copied(tmp_path_factory.mktemp("events"))) as found:
        yield found
