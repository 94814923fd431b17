"""
What an event says, apart from how it was written: a change of one entity, or an interaction.

    said = read(b'{"type": "job_changed", "at": "2026-03-01T12:00:00Z", ...}', limits, now_us)
    newest([first, second, first])               # the one that counts, in whatever order they came

Reading never raises for what arrived: it returns a `Fault` with its reason, and the rest goes on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from star_features.events.schema import (
    INCOMING,
    Deleted,
    InteractionHappened,
    JobChanged,
    MemberChanged,
    MemberDeleted,
)
from star_features.files import Settings
from star_features.spaces import digest
from star_features.tables.mapping import CONTROL_SIGNS, clean_list

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
SHOWN = 300  # characters of a reason's explanation


class EventLimits(Settings):
    """Where an event stops being believable."""

    max_bytes: int = Field(default=8_000_000, ge=1)
    """Longest message; a longer one is not even read."""
    max_text: int = Field(default=1_000_000, ge=1)
    """Longest text, in characters."""
    max_list: int = Field(default=1_000, ge=1)
    """Most values in one list."""
    max_list_value: int = Field(default=1_000, ge=1)
    """Longest category or value of a list."""
    ahead_seconds: int = Field(default=3_600, ge=0)
    """How far an event may lie in the future: one of the year 2100 would outlast all others."""
    first_year: int = 1970
    """Earliest year of an event."""
    allow_empty_text: bool = False
    """Take a member or job without a text."""


class Stamp(NamedTuple):
    """Which of two states of an entity is the newer one: the later; of equal times a deletion,
    then whichever has the greater digest, so that the order of arrival never decides."""

    at_us: int
    deleted: bool
    tie: str


@dataclass(frozen=True)
class Content:
    """A member or job as the tables hold it, `updated_at` apart."""

    text: str | None
    company_id: str | None = None
    categories: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "company_id": self.company_id,
            "categories": self.categories,
            "lists": self.lists,
        }


@dataclass(frozen=True)
class Change:
    """An entity is this as of `at_us`; `content` None: it is gone.

    Attributes:
        unknown: fields that the schema does not name, left alone.
    """

    entity: str
    entity_id: str
    at_us: int
    content: Content | None
    unknown: tuple[str, ...] = ()

    @property
    def stamp(self) -> Stamp:
        if self.content is None:
            return Stamp(self.at_us, True, "")
        return Stamp(self.at_us, False, digest(self.content.as_json(), 16))

    @property
    def key(self) -> tuple[str, str]:
        return self.entity, self.entity_id


@dataclass(frozen=True)
class Interaction:
    """A member did something with a job."""

    member_id: str
    job_id: str
    kind: str
    at_us: int
    weight: float = 1.0
    label: int = 1
    unknown: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Told twice, it is one."""
        said = [self.member_id, self.job_id, self.kind, self.at_us, self.weight, self.label]
        return digest(said, 32)

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("member", self.member_id), ("job", self.job_id)


Said = Change | Interaction


@dataclass(frozen=True)
class Fault:
    """Why an event is set aside: `reason` is a word, a colon and an explanation without content."""

    reason: str
    entity: str | None = None
    entity_id: str | None = None


def read(raw: bytes | None, limits: EventLimits, now_us: int) -> Said | Fault:
    """What a message says, or why it says nothing."""
    if raw is None or not raw.strip():
        return Fault("empty: a message without content")
    if len(raw) > limits.max_bytes:
        return Fault(f"too_large: {len(raw):,} bytes, wanted {limits.max_bytes:,} at most")
    try:
        event = INCOMING.validate_json(raw)
    except ValidationError as error:
        return _fault_of(error)
    except RecursionError:
        return Fault("bad_json: nested too deeply")
    at_us = (event.at - EPOCH) // timedelta(microseconds=1)
    said = _said(event, at_us)
    why = _why_not(said, event.at.year, limits, now_us)
    return Fault(why, *_entity_of(said)) if why else said


def newest(changes: Iterable[Change]) -> Change:
    """The change that counts, in whatever order they came."""
    return max(changes, key=lambda change: change.stamp)


def moment(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def _said(event: Any, at_us: int) -> Said:
    unknown = tuple(event.model_extra or ())
    if isinstance(event, InteractionHappened):
        return Interaction(
            event.member_id, event.job_id, event.kind, at_us, event.weight, event.label, unknown
        )
    of_member = isinstance(event, MemberChanged | MemberDeleted)
    entity, entity_id = ("member", event.member_id) if of_member else ("job", event.job_id)
    content = None if isinstance(event, Deleted) else _content(event)
    return Change(entity, entity_id, at_us, content, unknown)


def _content(event: MemberChanged | JobChanged) -> Content:
    """Cleaned as the tables are: blanks are nothing, values without white space around them."""
    text = event.text if event.text and event.text.strip() else None
    cleaned = {name: clean_list([value]) for name, value in event.categories.items()}
    return Content(
        text=text,
        company_id=event.company_id if isinstance(event, JobChanged) else None,
        categories={name: values[0] for name, values in sorted(cleaned.items()) if values},
        lists={name: clean_list(values) for name, values in sorted(event.lists.items())},
    )


def _why_not(said: Said, year: int, limits: EventLimits, now_us: int) -> str:
    if said.at_us > now_us + limits.ahead_seconds * SECOND:
        return f"from_the_future: more than {limits.ahead_seconds:,} seconds ahead of the clock"
    if year < limits.first_year:
        return f"time_out_of_bounds: before {limits.first_year}"
    if isinstance(said, Change) and said.content is not None:
        return _why_not_content(said.content, limits)
    return ""


def _why_not_content(content: Content, limits: EventLimits) -> str:
    text = content.text
    if text is None:
        return "" if limits.allow_empty_text else "empty_text: wanted a text"
    if len(text) > limits.max_text:
        return f"text_too_long: {len(text):,} characters, wanted {limits.max_text:,} at most"
    if CONTROL_SIGNS.search(text):
        return "control_characters: in the text"
    for name, values in content.lists.items():
        if len(values) > limits.max_list:
            return f"list_too_long: {len(values):,} {name}, wanted {limits.max_list:,} at most"
    held = [*content.categories.values(), *(v for values in content.lists.values() for v in values)]
    longest = max(map(len, held), default=0)
    if longest > limits.max_list_value:
        return f"value_too_long: {longest:,} characters, wanted {limits.max_list_value:,} at most"
    return ""


def _entity_of(said: Said) -> tuple[str, str]:
    return said.key if isinstance(said, Change) else ("member", said.member_id)


def _fault_of(error: ValidationError) -> Fault:
    """The first thing that is wrong, in words that hold nothing of what arrived."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    kind = str(first["type"])
    if kind == "json_invalid":
        return Fault(f"bad_json: {first['msg']}"[:SHOWN])
    if kind.startswith("union_tag"):
        return Fault("unknown_type: wanted one of docs/events.schema.json")
    if kind in ("model_type", "model_attributes_type", "dict_type") and not where:
        return Fault("bad_json: wanted one JSON object")
    field_name = where.partition(".")[2] or where
    null = field_name in ("member_id", "job_id") and kind in ("missing", "string_type")
    null = null or (field_name in ("member_id", "job_id") and kind == "string_too_short")
    return Fault(f"{'null_key' if null else 'bad_field'}: {field_name}: {first['msg']}"[:SHOWN])
