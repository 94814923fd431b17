"""
Kafka: changes come in through a consumer group, and what goes out is carried from the outbox.

An offset is committed when every event before it has had its effect, not when it was read: events
wait for others of their entity, so they are done out of order. Updates leave in the order in which
the ledger has them, keyed by entity, at least once each.
"""

import bisect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from sqlalchemy import Connection

from pipelines.events.settings import EventSettings
from pipelines.events.sources import SECOND, Message
from star_features.errors import StoreError, UsageError
from star_features.events.said import read
from star_features.ledger import outbox
from star_features.ledger.ledger import Ledger

AT_ONCE = 500
FLUSH_SECONDS = 30.0
Partition = tuple[str, int]


def connection(settings: EventSettings) -> dict[str, Any]:
    """What every client needs.

    Raises:
        UsageError: nobody said where Kafka is.
    """
    if "bootstrap.servers" not in settings.kafka:
        raise UsageError(
            "source = kafka, and no Kafka is named.\nWanted STAR_KAFKA_BOOTSTRAP_SERVERS=host:9092 "
            'or [kafka] "bootstrap.servers" = "host:9092" in events.toml.'
        )
    return dict(settings.kafka)


class Offsets:
    """Of one partition, what was read and not done: what may be committed is the first of it."""

    def __init__(self) -> None:
        self._open: list[int] = []
        self._next = 0

    def read(self, offset: int) -> None:
        bisect.insort(self._open, offset)
        self._next = max(self._next, offset + 1)

    def done(self, offset: int) -> None:
        place = bisect.bisect_left(self._open, offset)
        if place < len(self._open) and self._open[place] == offset:
            del self._open[place]

    @property
    def committable(self) -> int:
        """Every event before this offset is done."""
        return self._open[0] if self._open else self._next


class KafkaSource:
    """Events from a topic, shared with the other workers of the group."""

    def __init__(self, settings: EventSettings, clock: Callable[[], int]) -> None:
        self.settings, self.clock = settings, clock
        self._offsets: dict[Partition, Offsets] = {}
        self._revoked: set[Partition] = set()
        self.consumer = Consumer(
            {
                "group.id": settings.group,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                **connection(settings),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "partition.assignment.strategy": "range,roundrobin",
            }
        )
        self.consumer.subscribe(
            [settings.incoming], on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, seconds: float) -> list[Message]:
        """What has come. The first comes alone: the rest of what is there is taken along."""
        found: list[Message] = []
        wait = seconds
        while len(found) < AT_ONCE and (record := self.consumer.poll(wait)) is not None:
            wait = 0.0
            if (error := record.error()) is not None:
                _refuse(error)
                continue
            found.append(self._message(record))
        return found

    def settle(self, db: Connection, messages: Sequence[Message]) -> None:
        """Offsets are Kafka's: they follow after the transaction."""

    def commit(self, messages: Sequence[Message]) -> None:
        touched = set()
        for topic, partition, offset in (message.place for message in messages):
            if found := self._offsets.get((topic, partition)):
                found.done(offset)
                touched.add((topic, partition))
        offsets = [TopicPartition(*key, self._offsets[key].committable) for key in touched]
        if offsets:
            try:
                self.consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:  # they come again, and change nothing
                _refuse(error.args[0])

    def revoked(self) -> Callable[[Message], bool] | None:
        if not self._revoked:
            return None
        gone, self._revoked = self._revoked, set()
        return lambda message: message.place[:2] in gone

    def close(self) -> None:
        self.consumer.close()

    def _message(self, record: Any) -> Message:
        topic, partition, offset = record.topic(), record.partition(), record.offset()
        self._offsets.setdefault((topic, partition), Offsets()).read(offset)
        raw = record.value() or b""
        said = read(record.value(), self.settings.limits, self.clock())
        return Message((topic, partition, offset), raw, said)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another worker brings what was not done here."""
        for one in partitions:
            self._offsets.pop((one.topic, one.partition), None)
            self._revoked.add((one.topic, one.partition))


class KafkaRelay:
    """Carries updates from the outbox to their topic."""

    def __init__(
        self, ledger: Ledger, settings: EventSettings, holder: str, clock: Callable[[], int]
    ) -> None:
        self.ledger, self.settings, self.holder, self.clock = ledger, settings, holder, clock
        own = {"enable.idempotence": True, "acks": "all", "linger.ms": 5}
        self.producer = Producer({**own, **connection(settings)})

    def pump(self) -> None:
        """Send what waits; it is done when Kafka has it."""
        lease_us = self.settings.lease_seconds * SECOND
        while held := outbox.claim(
            self.ledger, self.settings.outgoing, self.holder,
            most=AT_ONCE, lease_us=lease_us, now_us=self.clock(),
        ):  # fmt: skip
            arrived: list[int] = []
            for one in held:
                self.producer.produce(
                    self.settings.outgoing, one.payload.encode(), one.key.encode(),
                    on_delivery=_noting(one.id, arrived),
                )  # fmt: skip
            left = self.producer.flush(FLUSH_SECONDS)
            with self.ledger.begin() as db:
                outbox.done(db, arrived)
            if left or len(arrived) < len(held):
                raise StoreError(
                    f"Kafka took {len(arrived)} of {len(held)} updates in {FLUSH_SECONDS:.0f} s.\n"
                    "They stay in the outbox: start the worker again when Kafka answers."
                )


def send(settings: EventSettings, letters: "Sequence[outbox.Letter]") -> None:
    """Put events into the topic of changes, each under the key of its entity."""
    producer = Producer({"enable.idempotence": True, "acks": "all", **connection(settings)})
    arrived: list[int] = []
    for place, letter in enumerate(letters):
        while True:
            try:
                producer.produce(
                    settings.incoming, letter.payload.encode(), letter.key.encode(),
                    on_delivery=_noting(place, arrived),
                )  # fmt: skip
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(FLUSH_SECONDS)
    if len(arrived) < len(letters):
        raise StoreError(f"Kafka took {len(arrived)} of {len(letters)} events; send them again.")


def _noting(place: int, arrived: list[int]) -> Callable[[KafkaError | None, Any], None]:
    def noted(error: KafkaError | None, _: Any) -> None:
        if error is None:
            arrived.append(place)

    return noted


def _refuse(error: KafkaError) -> None:
    """Errors that pass are Kafka's own to mend; the others stop the worker."""
    if error.retriable() or error.code() in _PASSING:
        return
    raise StoreError(f"Kafka: {error.str()}\nCheck STAR_KAFKA_…; the events are not lost.")


_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._PARTITION_EOF,
    KafkaError._NO_OFFSET,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNKNOWN_MEMBER_ID,
}


def watch(
    settings: EventSettings, stop: Callable[[], bool], *, from_start: bool
) -> Iterator[dict[str, Any]]:
    """Updates of the outgoing topic, read beside every group; stopped, up to its end."""
    consumer = Consumer(
        {**connection(settings), "group.id": "star-events-watch", "enable.partition.eof": True}
    )
    topic = consumer.list_topics(settings.outgoing, timeout=FLUSH_SECONDS).topics[settings.outgoing]
    begin = OFFSET_BEGINNING if from_start else OFFSET_END
    consumer.assign([TopicPartition(settings.outgoing, p, begin) for p in topic.partitions])
    ended: set[int | None] = set()
    try:
        while not (stop() and len(ended) == len(topic.partitions)):
            record = consumer.poll(0.5)
            if record is None:
                continue
            if (error := record.error()) is None:
                ended.discard(record.partition())
                yield json.loads(record.value() or b"{}")
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(record.partition())
            else:
                _refuse(error)
    finally:
        consumer.close()
