"""
One batch of events: decide what counts, compute, write online, then write down what was done.

    applying = Applying(home, ledger, settings, clock)
    applying.apply(messages, source)

The order is what makes it safe to be killed anywhere. New rows go online first; then one
transaction of the ledger holds everything else: the new state, the rows on their way to the
history, the updates to send, what was set aside, and that these messages are done. Whoever is
killed before it does the same again, and the same comes out; whoever is killed after it is done.
A deletion is written down first and carried out then: told again, it is carried out again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from sqlalchemy import Connection

from pipelines.events.base import Base, stamp_of
from pipelines.events.compute import Computing, Made, Memory, NewRow, update_id
from pipelines.events.scene import Scene, look, released, targets_of
from pipelines.events.settings import EventSettings
from pipelines.events.sources import Message, Source
from pipelines.events.stores import OnlineViews
from pipelines.events.towers import Encoder, Towers
from pipelines.home import Home
from star_features.errors import StoreError
from star_features.events.decide import Decision, Key, decide
from star_features.events.said import Change, Fault, Interaction, moment
from star_features.events.schema import EmbeddingUpdated
from star_features.ledger import changes, journal, outbox, quarantine, tombstones, vectors
from star_features.ledger.changes import Happened, Kept
from star_features.ledger.dialect import one_at_a_time
from star_features.ledger.journal import Line
from star_features.ledger.ledger import Ledger
from star_features.ledger.outbox import Letter
from star_features.ledger.quarantine import Aside
from star_features.ledger.vectors import Computed, Newest, checksum, checksum_of_texts
from star_features.store.feast_store import fingerprint

WRITING = 7_275_005
"""PostgreSQL's lock under which one batch writes its state down and the others wait."""
TRIES = 20


class _Moved(Exception):
    """What a batch was computed from is no longer what is known."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene


@dataclass
class Tally:
    """What came of the events so far, and the seconds that it took."""

    events: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


class Applying:
    """Everything warm that a batch needs.

    Args:
        clock: microseconds since 1970.
        encoders: by text version, in place of the home's own.
    """

    def __init__(
        self,
        home: Home,
        ledger: Ledger,
        settings: EventSettings,
        clock: Callable[[], int],
        encoders: dict[str, Encoder] | None = None,
    ) -> None:
        self.home, self.ledger, self.settings, self.clock = home, ledger, settings, clock
        self.encoders = encoders
        self.views = OnlineViews(home)
        self.store_id = fingerprint(home.path)
        self.base = Base.load(home)
        self.towers = Towers.load(home, encoders)
        self.memory = Memory(settings.cached)
        self.tally = Tally()

    def apply(self, messages: Sequence[Message], source: Source) -> None:
        """Give a batch its effect, whole; when this returns, it is done and the source knows."""
        for _ in range(TRIES):
            self._refresh()
            try:
                self._once(messages, source)
                return
            except _Moved as moved:
                self.tally.events["begun anew"] += 1
                self._take_back(moved.scene)
        raise StoreError(
            f"{len(messages)} events were begun {TRIES} times, and each time the same members or "
            "jobs changed meanwhile.\nAre several workers without keys on one topic? Key events by "
            "the entity's id (docs/events.md)."
        )

    def close(self) -> None:
        self.views.close()

    def _refresh(self) -> None:
        """Follow what a refresh of the home has replaced."""
        if stamp_of(self.home) not in (None, self.base.stamp):
            self.base = Base.load(self.home)
        if self.towers.stale(self.home):
            self.towers = Towers.load(self.home, self.encoders)
            self.views = OnlineViews(self.home)

    def _once(self, messages: Sequence[Message], source: Source) -> None:
        said = [message.said for message in messages]
        changed = [one for one in said if isinstance(one, Change)]
        happened = [one for one in said if isinstance(one, Interaction)]
        faults = [fault_key(one) for one in said if isinstance(one, Fault)]
        named = changed, happened, [key for key in faults if key]
        with self.ledger.read() as db:
            scene = look(db, self.base, *named)
            all_met = [*happened, *released(scene.waiting)]
            decision = decide(changed, all_met, scene.standing)
            told = changes.known_interactions(db, [one.identity for one in decision.met])
            new = [one for one in decision.met if one.identity not in told]
            targets = targets_of(decision, scene, self.base, new)
            known = self._known(db, targets)
        now_us = self.clock()
        made = Computing(
            self.towers, self.memory, known, self.views.text_vector, self.base.categorical, now_us
        ).rows(targets)
        self._write_online(made.rows)
        written = _Written(messages, decision, new, made, scene)
        started = perf_counter()
        with self.ledger.begin() as db:
            one_at_a_time(db, WRITING)
            now = look(db, self.base, *named)
            if now != scene:
                raise _Moved(now)
            self._write_down(db, written, now_us)
            if not decision.gone:
                source.settle(db, messages)
        if decision.gone:
            self._remove([change.key for change in decision.gone])
            with self.ledger.begin() as db:
                source.settle(db, messages)
        source.commit(messages)
        self.tally.seconds["ledger"] += perf_counter() - started
        self._count(written)

    def _known(self, db: Connection, targets: Sequence[Any]) -> dict[str, dict[str, Newest]]:
        found = {}
        for entity, views in self.views.of_entity.items():
            ids = [target.id for target in targets if target.entity == entity]
            found.update({view: vectors.newest_of(db, view, ids) for view in views if ids})
        return found

    def _write_online(self, rows: Sequence[NewRow]) -> None:
        started = perf_counter()
        for view, some in _by_view(rows).items():
            self.views.write(view, some)
        self.tally.seconds["online"] += perf_counter() - started

    def _remove(self, keys: Sequence[Key]) -> None:
        for entity in self.views.of_entity:
            if ids := [id for kind, id in keys if kind == entity]:
                self.views.remove(entity, ids)

    def _take_back(self, scene: Scene) -> None:
        """Somebody was buried while rows were written: they are not to stay online."""
        self._remove(scene.gone_for_good(list(scene.standing)))

    def _write_down(self, db: Connection, written: "_Written", now_us: int) -> None:
        decision = written.decision
        self._bury(db, decision.gone, now_us)
        there = written.taken()
        changes.keep(db, [_kept(change) for change in there], now_us)
        for entity in self.views.of_entity:
            times_us = {c.entity_id: c.at_us for c in there if c.entity == entity}
            tombstones.revive(db, entity, times_us)
        changes.add_interactions(db, [_happened(one) for one in written.kept_new()], now_us)
        quarantine.replayed(db, [row.id for row in written.scene.waiting])
        quarantine.set_aside(db, written.aside(self.settings.incoming), now_us)
        for view, some in _by_view(written.made.rows).items():
            self._record(db, view, some, now_us)
        letters = [_letter(row) for row in written.made.rows if row.vector_D is not None]
        outbox.put(db, self.settings.outgoing, letters, now_us)

    def _bury(self, db: Connection, gone: Sequence[Change], now_us: int) -> None:
        for entity in self.views.of_entity:
            times_us = {c.entity_id: c.at_us for c in gone if c.entity == entity}
            if not times_us:
                continue
            tombstones.bury(
                db, entity, times_us, kind="deleted", content_us=times_us, now_us=now_us,
                why="deleted by an event",
            )  # fmt: skip
            changes.forget_changes(db, entity, times_us)
            vectors.forget(db, entity, list(times_us))
            journal.forget_entities(db, entity, times_us)

    def _record(self, db: Connection, view: str, rows: Sequence[NewRow], now_us: int) -> None:
        journal.write(db, [_line(row) for row in rows])
        newest = [_newest(row) for row in rows]
        ids, spaces, hashes, sums, content, computed = zip(*newest, strict=True)
        columns = Computed(view, ids, spaces, hashes, sums, content, computed)
        vectors.record(db, columns, history_us=None)
        vectors.mark_online(db, view, newest, self.store_id, now_us)

    def _count(self, written: "_Written") -> None:
        decision, made = written.decision, written.made
        self.tally.events.update(
            {
                "events": len(written.messages),
                "changed": len(written.taken()),
                "deleted": len(decision.gone),
                "interactions": len(written.kept_new()),
                "stale": decision.stale + len(decision.met) - len(written.new),
                "erased": decision.erased,
                "set aside": len(written.aside("")),
                "encoded": made.encoded,
            }
        )
        self.tally.events.update(
            f"ignored field {name}"
            for message in written.messages
            if not isinstance(message.said, Fault)
            for name in message.said.unknown
        )
        self.tally.rows.update(row.view for row in made.rows)
        for name, seconds in made.seconds.items():
            self.tally.seconds[name] += seconds


@dataclass(frozen=True)
class _Written:
    """A batch as it is written down."""

    messages: Sequence[Message]
    decision: Decision
    new: Sequence[Interaction]
    made: Made
    scene: Scene

    def taken(self) -> list[Change]:
        """Changes that could be computed."""
        return [change for change in self.decision.there if change.key not in self.made.faults]

    def kept_new(self) -> list[Interaction]:
        """New interactions both of whose ends could be computed."""
        bad = self.made.faults
        return [one for one in self.new if not bad.keys() & set(one.ends)]

    def aside(self, topic: str) -> list[Aside]:
        """What is set aside: what could not be read, whose other end is unknown, or that failed."""
        out = [
            Aside(topic, m.said.reason, m.text(), m.said.entity, m.said.entity_id)
            for m in self.messages
            if isinstance(m.said, Fault) and not self._erased(m.said)
        ]
        for one, (entity, id) in self.decision.unknown:
            why = f"unknown_{entity}: nobody spoke of {entity} {id} yet"
            out.append(Aside(topic, why, self._payload(one), entity, id))
        failed: list[tuple[Change | Interaction, Key]] = []
        failed += [(c, c.key) for c in self.decision.there if c.key in self.made.faults]
        failed += [(i, end) for i in self.new for end in i.ends if end in self.made.faults]
        for said, key in failed:
            out.append(Aside(topic, self.made.faults[key], self._payload(said), *key))
        return out

    def _erased(self, fault: Fault) -> bool:
        """What cannot be used and is about one who was erased is not kept either."""
        key = fault_key(fault)
        return key is not None and self.scene.standing[key].erased

    def _payload(self, said: Change | Interaction) -> str | None:
        """The message that said it: of this batch, or of those that had waited."""
        found = next((m.text() for m in self.messages if m.said == said), None)
        waited = (row.payload for row in self.scene.waiting if released([row]) == [said])
        return found if found is not None else next(waited, None)


def fault_key(fault: Fault) -> Key | None:
    """Whom a fault is about, where that could be read."""
    if fault.entity is None or fault.entity_id is None:
        return None
    return fault.entity, fault.entity_id


def _by_view(rows: Sequence[NewRow]) -> dict[str, list[NewRow]]:
    found: dict[str, list[NewRow]] = {}
    for row in rows:
        found.setdefault(row.view, []).append(row)
    return found


def _kept(change: Change) -> Kept:
    assert change.content is not None
    return Kept(*change.key, change.at_us, change.stamp.tie, change.content.as_json())


def _happened(one: Interaction) -> Happened:
    return Happened(
        one.identity, one.member_id, one.job_id, one.kind, one.at_us, one.weight, one.label
    )


def _newest(row: NewRow) -> Newest:
    return Newest(
        row.id, row.space, row.input_hash, _checksum(row), row.content_us, row.computed_us
    )


def _checksum(row: NewRow) -> str:
    if row.vector_D is None:
        return checksum_of_texts(row.categories or {})
    return checksum(row.space, row.vector_D.tobytes())


def _line(row: NewRow) -> Line:
    packed = None if row.vector_D is None else row.vector_D.tobytes()
    return Line(
        row.view, row.id, row.space, packed, row.categories, row.input_hash, row.content_us,
        row.computed_us,
    )  # fmt: skip


def _letter(row: NewRow) -> Letter:
    update = EmbeddingUpdated.model_validate(
        {
            "id": update_id(row),
            "view": row.view,
            "space": row.space,
            "entity": row.entity,
            "entity_id": row.id,
            "content_at": moment(row.content_us),
            "computed_at": moment(row.computed_us),
            "checksum": _checksum(row),
        }
    )
    return Letter(row.id, update.model_dump_json(), update.id)
