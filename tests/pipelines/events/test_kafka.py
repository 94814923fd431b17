"""Events by Kafka: its client's own mock cluster, the real protocol, no server."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from pipelines.events import kafka
from pipelines.events.kafka import Offsets
from pipelines.events.send import send, watch
from pipelines.events.settings import EventSettings, kafka_settings, load
from star_features.errors import UsageError

MAY, JUNE = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """The address of a cluster that lives as long as this producer."""
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
    found = cluster.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in found)
    cluster.flush(1)


@pytest.fixture
def settings(brokers: str, request: pytest.FixtureRequest) -> EventSettings:
    """Topics and a group of each test's own."""
    name = request.node.name[:40]
    return EventSettings(
        source="kafka",
        # The mock keeps one who left until its session ends; a server does not.
        kafka={
            "bootstrap.servers": brokers,
            "session.timeout.ms": "5000",
            "heartbeat.interval.ms": "500",
        },
        incoming=f"in.{name}",
        outgoing=f"out.{name}",
        group=f"group.{name}",
    )


@pytest.fixture
def working(place: Any, at_work: Callable[..., Any], settings: EventSettings) -> Callable[[], Any]:
    """A worker of the same home that reads Kafka."""
    return lambda: at_work(place.home, settings)


def put(place: Any, settings: EventSettings, *events: dict[str, Any] | bytes) -> None:
    lines = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    send(place.home, settings, lines)


def until(found: Any, wanted: Callable[[], bool]) -> None:
    """Let a worker run until something is so."""
    for _ in range(200):
        found.worker.run(stop=once())
        if wanted():
            return
    raise AssertionError(f"never: {found.worker.tally.events}")


def once() -> Callable[[], bool]:
    asked = iter([False])
    return lambda: next(asked, True)


def committed(settings: EventSettings) -> int:
    consumer = Consumer({**settings.kafka, "group.id": settings.group})
    partitions = consumer.list_topics(settings.incoming, timeout=10).topics[settings.incoming]
    asked = [TopicPartition(settings.incoming, p) for p in partitions.partitions]
    found = sum(max(p.offset, 0) for p in consumer.committed(asked, timeout=10))
    consumer.close()
    return found


def test_an_event_comes_by_kafka_and_an_update_leaves_by_it(
    place: Any, tell: Any, settings: EventSettings, working: Callable[[], Any]
) -> None:
    id = place.name("j")
    put(place, settings, tell.job(id, MAY), b"{", tell.job(place.name("j"), MAY))
    with working() as found:
        until(found, lambda: found.worker.tally.events["changed"] == 2)
        assert found.online("job_text_v1", id) is not None
        assert found.worker.tally.events["set aside"] == 1
    assert committed(settings) == 3
    updates = watch(place.home, settings, lambda: True, from_start=True)
    assert {(u["view"], u["entity_id"]) for u in updates if u["entity_id"] == id} == {
        ("job_text_v1", id),
        ("job_graph_v1", id),
    }


def test_an_offset_is_committed_only_after_the_write(
    place: Any, tell: Any, settings: EventSettings, working: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed between the two, the next worker of the group gets the event again."""
    id = place.name("j")
    put(place, settings, tell.job(id, MAY))

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with working() as found:
        monkeypatch.setattr(found.worker.source, "commit", kill)
        with pytest.raises(Killed):
            until(found, lambda: False)
        before = found.state({"job": [id]}, str)
        assert found.online("job_text_v1", id) is not None
    assert committed(settings) == 0
    with working() as found:
        until(found, lambda: found.worker.tally.events["events"] == 1)
        assert found.worker.tally.events["stale"] == 1
        assert found.state({"job": [id]}, str) == before
        until(found, lambda: committed(settings) == 1)


def test_two_workers_of_a_group_share_the_events(
    place: Any, tell: Any, settings: EventSettings, working: Callable[[], Any]
) -> None:
    """Whoever has which partition when: each event is applied, by one of them or by both."""
    ids = [place.name("j") for _ in range(12)]
    put(place, settings, *(tell.job(id, MAY) for id in ids))
    with working() as one, working() as other:
        done = lambda: sum(w.worker.tally.events["changed"] for w in (one, other))  # noqa: E731
        for _ in range(300):
            one.worker.run(stop=once())
            other.worker.run(stop=once())
            if done() == len(ids):
                break
        assert done() == len(ids)
        assert all(one.online("job_text_v1", id) for id in ids)


def test_a_poisoned_event_is_replayed_by_kafka(
    place: Any, tell: Any, settings: EventSettings, working: Callable[[], Any]
) -> None:
    from pipelines import quarantine

    member = place.name("m")
    put(place, settings, tell.met("nobody by kafka", "1001", JUNE), tell.member(member, MAY))
    with working() as found:
        until(found, lambda: found.worker.tally.events["events"] == 2)
        row = found.aside("unknown_member")[-1]
        assert row.entity_id == "nobody by kafka"
        assert quarantine.replay(place.home, settings, [row.id], None, False) == (1, 0)
        until(found, lambda: found.worker.tally.events["set aside"] == 2)


def test_an_offset_waits_for_all_before_it() -> None:
    offsets = Offsets()
    for offset in (5, 6, 7):
        offsets.read(offset)
    offsets.done(6)
    assert offsets.committable == 5
    offsets.done(5)
    assert offsets.committable == 7
    offsets.done(7)
    assert offsets.committable == 8
    offsets.done(7)
    assert offsets.committable == 8


def test_settings_come_from_the_environment_and_secrets_stay_out_of_sight(place: Any) -> None:
    environ = {
        "STAR_EVENTS_SOURCE": "kafka",
        "STAR_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
        "STAR_KAFKA_SASL_PASSWORD": "secret",
    }
    settings = load(place.home, environ)
    assert settings.source == "kafka"
    assert settings.kafka == {"bootstrap.servers": "kafka:9092", "sasl.password": "secret"}
    assert kafka_settings({"STAR_HOME": "x"}) == {}
    assert "secret" not in repr(settings)
    with pytest.raises(UsageError, match="STAR_KAFKA_BOOTSTRAP_SERVERS"):
        kafka.connection(load(place.home, {"STAR_EVENTS_SOURCE": "kafka"}))
    with pytest.raises(UsageError, match="source"):
        load(place.home, {"STAR_EVENTS_SOURCE": "carrier pigeon"})
