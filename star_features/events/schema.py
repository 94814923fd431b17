"""
The events that star-features reads and sends, as JSON: one object a message.

    python -m star_features.events.schema > docs/events.schema.json     # the published form

A changed entity arrives whole, as it is now, not as a difference: then the newest event is the
state, whatever came before it, twice or never. `at` is when it became true, at its source; it alone
decides which of two events is the newer one. A field that is not described here is left alone.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
CHANGES = "star.changes"
"""The topic of events that come in."""
EMBEDDINGS = "star.embeddings"
"""The topic of events that go out."""


def _moment(value: Any) -> Any:
    """ISO 8601 only: a bare number could be seconds or milliseconds. Without a zone it is UTC."""
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("wanted ISO 8601, such as 2026-03-01T12:00:00Z") from None


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Event(BaseModel):
    """What every event has."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    at: Moment
    """When it became true (ISO 8601, UTC unless it says otherwise)."""
    id: Id | None = None
    """The event's own id; an event sent twice under one id is one event."""


class _Content(Event):
    text: str | None
    """The whole text, as it is now; null where there is none."""
    categories: dict[str, str | None] = Field(default_factory=dict)
    """Categorical columns of the table; one that is absent is null."""
    lists: dict[str, list[str]] = Field(default_factory=dict)
    """List columns of the table, such as skills; one that is absent is empty."""


class MemberChanged(_Content):
    """A member was created, or is different: the whole member as of `at`."""

    type: Literal["member_created", "member_changed"]
    member_id: Id


class JobChanged(_Content):
    """A job was created, or is different: the whole job as of `at`."""

    type: Literal["job_created", "job_changed"]
    job_id: Id
    company_id: Id | None = None
    """Who offers it."""


class MemberDeleted(Event):
    """A member is gone. Newer content brings it back; `star erase` is for good."""

    type: Literal["member_deleted"]
    member_id: Id


class JobDeleted(Event):
    """A job is gone. Newer content brings it back; `star erase` is for good."""

    type: Literal["job_deleted"]
    job_id: Id


class InteractionHappened(Event):
    """A member did something with a job."""

    type: Literal["interaction_happened"]
    member_id: Id
    job_id: Id
    kind: Id
    """What was done: view, save, apply, … any word."""
    weight: float = Field(1.0, ge=0, lt=3.4e38, allow_inf_nan=False)
    """How much it counts."""
    label: Literal[0, 1] = 1
    """1: taken. 0: shown and not taken."""


class EmbeddingUpdated(BaseModel):
    """A vector is new, and can be read online. This one goes out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: Literal["embedding_updated"] = "embedding_updated"
    id: str
    """Digest of what follows without `computed_at`: the same update sent twice has one id."""
    view: str
    """The feature view, such as job_graph_v1."""
    space: str
    """The space that the vector lives in."""
    entity: Literal["member", "job"]
    entity_id: str
    content_at: datetime
    """When the content became true."""
    computed_at: datetime
    """When the vector was computed."""
    checksum: str
    """Of the vector, as the ledger knows it."""


Changed = MemberChanged | JobChanged
Deleted = MemberDeleted | JobDeleted
Incoming = Annotated[Changed | Deleted | InteractionHappened, Field(discriminator="type")]
INCOMING: TypeAdapter[Changed | Deleted | InteractionHappened] = TypeAdapter(Incoming)


def published() -> dict[str, Any]:
    """The JSON Schema of all events, in and out."""
    every: TypeAdapter[Any] = TypeAdapter(
        Annotated[
            Changed | Deleted | InteractionHappened | EmbeddingUpdated,
            Field(discriminator="type"),
        ]
    )
    schema = every.json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of star-features",
        "description": f"In on topic {CHANGES}, keyed by the entity's id; out on {EMBEDDINGS}.",
        **schema,
    }


if __name__ == "__main__":
    print(json.dumps(published(), indent=2))
