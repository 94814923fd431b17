"""
Where events come from: the outbox of the ledger, or Kafka (`kafka.py`). What every source owes:

    messages = source.poll(seconds)          # what has come, read; [] after so long
    source.settle(db, messages)              # in the transaction that gives them their effect
    source.commit(messages)                  # and after it

A message that was polled and not settled comes again, to this worker or to another one.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from pipelines.events.settings import EventSettings
from star_features.events.said import Change, Fault, Interaction, Said, read
from star_features.ledger import outbox
from star_features.ledger.ledger import Ledger
from star_features.ledger.outbox import Letter

AT_ONCE = 500  # events claimed together
SECOND = 1_000_000


@dataclass(frozen=True)
class Message:
    """An event as it came.

    Attributes:
        place: where it stands in its source.
        said: what it says, or why it says nothing.
    """

    place: Any
    raw: bytes
    said: Said | Fault

    @property
    def key(self) -> tuple[str, str]:
        """What it waits with: others of its entity."""
        if isinstance(self.said, Change):
            return self.said.key
        if isinstance(self.said, Interaction):
            return "member", self.said.member_id
        return "", str(self.place)

    def text(self) -> str:
        """As it can be kept and read: bytes that are no text are spelt out."""
        return self.raw.decode("utf-8", "backslashreplace")


class Source(Protocol):
    """Where events come from."""

    def poll(self, seconds: float) -> list[Message]:
        """What has come, at most so many seconds from now."""

    def settle(self, db: Connection, messages: Sequence[Message]) -> None:
        """These have their effect when this transaction ends."""

    def commit(self, messages: Sequence[Message]) -> None:
        """These had their effect."""

    def revoked(self) -> Callable[[Message], bool] | None:
        """Which messages another worker will bring, since the last call; None: none of them."""

    def close(self) -> None:
        """Give back what was not settled."""


class OutboxSource:
    """Events from the ledger, claimed under a lease."""

    def __init__(
        self, ledger: Ledger, settings: EventSettings, holder: str, clock: Callable[[], int]
    ) -> None:
        self.ledger, self.settings, self.holder, self.clock = ledger, settings, holder, clock
        self._renewed_us = 0

    def poll(self, seconds: float) -> list[Message]:
        until = time.monotonic() + seconds
        while True:
            self._renew()
            if found := self._claimed():
                return found
            rest = until - time.monotonic()
            if rest <= 0:
                return []
            time.sleep(min(rest, self.settings.poll_ms / 1000))

    def settle(self, db: Connection, messages: Sequence[Message]) -> None:
        outbox.done(db, [message.place for message in messages])

    def commit(self, messages: Sequence[Message]) -> None:
        """Nothing is left to do: they were settled with their effect."""

    def revoked(self) -> Callable[[Message], bool] | None:
        return None

    def close(self) -> None:
        with self.ledger.begin() as db:
            outbox.give_back(db, self.settings.incoming, self.holder)

    def _claimed(self) -> list[Message]:
        now_us = self.clock()
        with self.ledger.read() as db:
            if not outbox.claimable(db, self.settings.incoming, now_us):
                return []
        held = outbox.claim(
            self.ledger, self.settings.incoming, self.holder,
            most=AT_ONCE, lease_us=self.settings.lease_seconds * SECOND, now_us=now_us,
        )  # fmt: skip
        return [self._message(one, now_us) for one in held]

    def _message(self, held: outbox.Held, now_us: int) -> Message:
        raw = held.payload.encode("utf-8", "replace")
        return Message(held.id, raw, read(raw, self.settings.limits, now_us))

    def _renew(self) -> None:
        """Hold on to what is waiting here, well before the lease ends."""
        now_us, lease_us = self.clock(), self.settings.lease_seconds * SECOND
        if now_us - self._renewed_us > lease_us // 3:
            topic = self.settings.incoming
            outbox.renew(self.ledger, topic, self.holder, lease_us=lease_us, now_us=now_us)
            self._renewed_us = now_us


def letter_of(raw: bytes) -> Letter:
    """A message for the outbox: keyed by its entity where it can be read, known by its own id, or
    by its content."""
    import hashlib

    from star_features.events.schema import INCOMING

    text = raw.decode("utf-8", "backslashreplace").replace("\0", "\\u0000")
    own = "digest " + hashlib.blake2b(raw, digest_size=16).hexdigest()
    try:
        event: Any = INCOMING.validate_json(raw)
    except ValueError:
        return Letter("", text, own)
    key = getattr(event, "job_id", None) if event.type.startswith("job") else event.member_id
    return Letter(str(key), text, f"id {event.id}" if event.id else own)
