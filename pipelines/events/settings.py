"""
How events are worked on: `events.toml` beside `spaces.toml`, and the environment over it.

    source = "kafka"
    [kafka]
    "bootstrap.servers" = "kafka:9092"
    [pace]
    deadline_ms = 120

$STAR_EVENTS_SOURCE says where from. Every $STAR_KAFKA_… is a setting of librdkafka, and secrets
have no other place: STAR_KAFKA_SASL_PASSWORD is `sasl.password`.
"""

import os
import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from pipelines.home import Home
from star_features.errors import UsageError
from star_features.events.debounce import Pace
from star_features.events.said import EventLimits
from star_features.events.schema import CHANGES, EMBEDDINGS
from star_features.files import Settings

FILE = "events.toml"
SOURCE = "STAR_EVENTS_SOURCE"
KAFKA = "STAR_KAFKA_"


class EventSettings(Settings):
    """Where events come from and go to, how long they wait, what is believed."""

    source: Literal["outbox", "kafka"] = "outbox"
    """The outbox of the ledger, or Kafka."""
    incoming: str = CHANGES
    """The topic of changes and interactions."""
    outgoing: str = EMBEDDINGS
    """The topic of new vectors."""
    group: str = "star-features"
    """The consumer group; its workers share the partitions."""
    kafka: dict[str, str] = Field(default_factory=dict, repr=False)
    """Settings of librdkafka, `bootstrap.servers` at least."""
    pace: Pace = Pace()
    """How long events wait for more of their entity."""
    limits: EventLimits = EventLimits()
    """Where an event stops being believable."""
    poll_ms: int = Field(default=20, gt=0)
    """How often an empty outbox is looked into."""
    lease_seconds: int = Field(default=60, gt=0)
    """How long a worker that died keeps its events."""
    history_seconds: float = Field(default=60, ge=0)
    """How often computed rows are moved from the journal to the Parquet history."""
    keep_days: int = Field(default=7, ge=0)
    """How long the outbox remembers what is done, so that it is not taken in again."""
    cached: int = Field(default=20_000, ge=0)
    """Text vectors kept in memory of entities that changed."""


def load(home: Home, environ: Mapping[str, str] | None = None) -> EventSettings:
    """Read the settings.

    Raises:
        UsageError: the file is not TOML, has an unknown key, or a value that cannot be.
    """
    environ = os.environ if environ is None else environ
    path = home.repo / FILE
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text()) if path.exists() else {}
        if SOURCE in environ:
            found["source"] = environ[SOURCE]
        found["kafka"] = found.get("kafka", {}) | kafka_settings(environ)
        return EventSettings.model_validate(found)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        known = ", ".join(EventSettings.model_fields)
        raise UsageError(f"{path.name}, {SOURCE}: {error}\nKnown keys: {known}.") from error


def kafka_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment says to librdkafka."""
    return {
        name.removeprefix(KAFKA).lower().replace("_", "."): value
        for name, value in environ.items()
        if name.startswith(KAFKA)
    }
