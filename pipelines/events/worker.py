"""
The event worker: poll, wait for more of the same entity, apply, move on.

    with Worker.open(home, settings) as worker:
        worker.run(once=True)             # until the source is empty
        worker.run(stop=event.is_set)     # until somebody says so

One process does one batch at a time; more processes share the work, by partitions of Kafka or by
leases of the outbox. Stopped, it finishes the batch it is at and gives the rest back.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.events.apply import Applying, Tally
from pipelines.events.history import flush_if_free
from pipelines.events.settings import EventSettings
from pipelines.events.sources import Message, OutboxSource, Source
from pipelines.events.towers import Encoder
from pipelines.home import Home
from pipelines.jobs import logs
from pipelines.materialize import histories
from pipelines.recording import now_us
from star_features.events.debounce import Debounce
from star_features.ledger import outbox
from star_features.ledger.ledger import Ledger
from star_features.store.recording import follow

LONGEST_POLL = 0.5  # seconds: so often it looks whether it is to stop
LOG_SECONDS = 10.0
DAY_US = 86_400_000_000


class Worker:
    """One worker; `open` makes it of a home and its settings."""

    def __init__(
        self,
        home: Home,
        ledger: Ledger,
        settings: EventSettings,
        source: Source,
        applying: Applying,
        relay: Callable[[], None],
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.home, self.ledger, self.settings, self.source = home, ledger, settings, source
        self.applying, self.relay, self.clock = applying, relay, clock
        self.waiting: Debounce[Message] = Debounce(settings.pace)
        self._flushed = self._told_at = time.monotonic()
        self._told: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def open(
        cls,
        home: Home,
        settings: EventSettings,
        *,
        clock: Callable[[], int] = now_us,
        encoders: dict[str, Encoder] | None = None,
    ) -> Iterator["Worker"]:
        """Connect and load everything: seconds. Closed at the end, whatever happens."""
        ledger = home.ledger()
        for history in histories(home):
            follow(ledger, history, clock())
        holder = f"{socket.gethostname()} {os.getpid()}"
        applying = Applying(home, ledger, settings, clock, encoders)
        source, relay = _ends(ledger, settings, holder, clock)
        try:
            yield cls(home, ledger, settings, source, applying, relay, clock)
        finally:
            source.close()
            applying.close()
            ledger.close()

    @property
    def tally(self) -> Tally:
        return self.applying.tally

    def run(self, *, once: bool = False, stop: Callable[[], bool] = lambda: False) -> Tally:
        """Work until stopped; or, once, until nothing is left to do."""
        while not stop():
            came = self._poll(once)
            self._forget_revoked()
            worked = self._work(everything=once and not came)
            self._keep_house()
            if once and not (came or worked or len(self.waiting)):
                break
        self._keep_house(at_end=True)
        return self.tally

    def _poll(self, once: bool) -> bool:
        """Take in what has come; whether anything had."""
        if self.waiting.full:
            return True
        messages = self.source.poll(0.0 if once else self._patience())
        now = time.monotonic()
        for message in messages:
            self.waiting.add(message.key, message, now)
        return bool(messages)

    def _patience(self) -> float:
        """How long there is nothing to do but listen."""
        due = self.waiting.next_due()
        return LONGEST_POLL if due is None else min(LONGEST_POLL, max(0.0, due - time.monotonic()))

    def _work(self, everything: bool) -> bool:
        """Apply one batch that is due; whether there was one."""
        batch = self.waiting.due(time.monotonic(), everything=everything or self.waiting.full)
        if batch:
            self.applying.apply(batch, self.source)
            self.relay()
        return bool(batch)

    def _forget_revoked(self) -> None:
        if (revoked := self.source.revoked()) is not None:
            self.waiting.forget(revoked)

    def _keep_house(self, at_end: bool = False) -> None:
        """Now and then: a line in the log, rows to the history, old messages out of the outbox."""
        now = time.monotonic()
        if now - self._told_at >= LOG_SECONDS or at_end:
            self._tell(now)
        if not at_end and now - self._flushed < self.settings.history_seconds:
            return
        self._flushed = now
        moved = flush_if_free(self.home, self.ledger, self.clock())
        self.tally.events["rows to history"] += moved or 0
        before_us = self.clock() - self.settings.keep_days * DAY_US
        with self.ledger.begin() as db:
            outbox.sweep(db, self.settings.incoming, before_us)
            outbox.sweep(db, self.settings.outgoing, before_us, undone=self._is_outbox())
        self.relay()

    def _tell(self, now: float) -> None:
        """What came of the events since the last line: names and numbers."""
        new = self.tally.events - self._told
        self._told, self._told_at = self.tally.events.copy(), now
        if new:
            logs.say("events", **{name.replace(" ", "_"): count for name, count in new.items()})

    def _is_outbox(self) -> bool:
        """Nobody marks what goes out as done where the outbox is the end of its way."""
        return self.settings.source == "outbox"


def _ends(
    ledger: Ledger, settings: EventSettings, holder: str, clock: Callable[[], int]
) -> tuple[Source, Callable[[], None]]:
    """Where events come from, and what carries the ones that go out."""
    if settings.source == "kafka":
        from pipelines.events.kafka import KafkaRelay, KafkaSource

        relay = KafkaRelay(ledger, settings, holder, clock)
        return KafkaSource(settings, clock), relay.pump
    return OutboxSource(ledger, settings, holder, clock), lambda: None
