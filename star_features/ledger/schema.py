"""
The ledger's tables: what was computed from what, where it was written, and who decided so.

Times are microseconds since 1970, UTC, in columns that end in `_us`: exact and comparable on every
database. A change here needs a migration beside it (`migrations/versions/`); a test compares both.

    run, slot                  what the scheduler did, and who may do it now
    vector                     per space and entity: the input's hash, the vector's checksum, and
                               when it reached history and the online store
    part                       which files of the history the vectors above were read from
    quarantine, tombstone      what was set aside, and who must not come back
    outbox                     events in and out, where no Kafka is configured
    change, interaction        what events said, until the tables say it too
    journal                    rows of the history that are not yet in its Parquet files
    release, release_step      the state of every version, and every step that led there
    consumer, statistic        who reads what; the watch on drift
    secret                     keys that this ledger made for itself
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

LONG = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only
NAME = String(200)


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, str: NAME, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class Run(Base):
    """One try of one job."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    job: Mapped[str]
    slot_us: Mapped[int | None]
    token: Mapped[int]
    holder: Mapped[str]
    started_us: Mapped[int]
    finished_us: Mapped[int | None]
    state: Mapped[str]  # running, done, failed, stopped, fenced
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)


class Slot(Base):
    """A time at which a job is due; whoever holds its lease may do it."""

    __tablename__ = "slot"
    job: Mapped[str] = mapped_column(primary_key=True)
    slot_us: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]  # open, held, done, failed, skipped
    holder: Mapped[str | None]
    token: Mapped[int] = mapped_column(default=0)
    """Fencing token: counts the holders, so that an earlier one is known by its number."""
    lease_until_us: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Vector(Base):
    """What the newest vector of an entity in a feature view is, and how far it got."""

    __tablename__ = "vector"
    view: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True)
    space: Mapped[str]
    input_hash: Mapped[str]
    checksum: Mapped[str]
    content_us: Mapped[int]
    computed_us: Mapped[int]
    history_us: Mapped[int | None]
    online_us: Mapped[int | None]
    """None: not yet, or no longer, what the online store holds."""
    online_store: Mapped[str | None]
    """Which online store that was; another one holds nothing of it."""


class Part(Base):
    """A Parquet file of the history whose rows the ledger has taken in."""

    __tablename__ = "part"
    view: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """Path below the view's folder: named by its content; only an erasure changes it."""
    rows: Mapped[int]
    sha256: Mapped[str | None]
    """Of the file as it should be; None where it was taken in before this was asked."""
    recorded_us: Mapped[int]


class Quarantine(Base):
    """An input that could not be used, with its reason, until it is replayed or dropped."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    at_us: Mapped[int]
    source: Mapped[str]  # a job, or a topic
    entity: Mapped[str | None]
    entity_id: Mapped[str | None]
    reason: Mapped[str] = mapped_column(Text)
    payload: Mapped[str | None] = mapped_column(Text)
    identity: Mapped[str] = mapped_column(unique=True)
    """Digest of source, payload and reason: the same input set aside twice is one row."""
    state: Mapped[str] = mapped_column(default="held")  # held, replayed, dropped
    replays: Mapped[int] = mapped_column(default=0)


class Tombstone(Base):
    """An entity that is gone. An erased one must not come back; a deleted one may, when newer."""

    __tablename__ = "tombstone"
    entity: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True)
    """The id; of an erased one its digest under this ledger's own key (see tombstones.py)."""
    kind: Mapped[str]  # deleted, erased
    content_us: Mapped[int]
    at_us: Mapped[int]
    why: Mapped[str] = mapped_column(Text)
    receipt: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Outbox(Base):
    """Events, in order: those that come in and those that go out, by topic."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    topic: Mapped[str]
    key: Mapped[str]
    payload: Mapped[str] = mapped_column(Text)
    identity: Mapped[str | None] = mapped_column(unique=True)
    """The event's own id where it has one: sent twice, it is one row."""
    at_us: Mapped[int]
    state: Mapped[str] = mapped_column(default="waiting")  # waiting, held, done
    holder: Mapped[str | None]
    lease_until_us: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)


class Change(Base):
    """What an event last said of an entity that is there; the gone ones have a tombstone."""

    __tablename__ = "change"
    entity: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True)
    content_us: Mapped[int]
    tie: Mapped[str]
    """Digest of the content: of two events of one time the greater counts."""
    content: Mapped[dict[str, Any]]
    """text, company_id, categories, lists."""
    told_us: Mapped[int]


class Interaction(Base):
    """An interaction that an event told."""

    __tablename__ = "interaction"
    identity: Mapped[str] = mapped_column(primary_key=True)
    """Digest of all that it says: told twice, it is one row."""
    member_id: Mapped[str]
    job_id: Mapped[str]
    kind: Mapped[str]
    content_us: Mapped[int]
    weight: Mapped[float]
    label: Mapped[int]
    told_us: Mapped[int]


class Journal(Base):
    """A row of a view's history that was computed for an event: Parquet takes many at a time."""

    __tablename__ = "journal"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    view: Mapped[str]
    entity_id: Mapped[str]
    space: Mapped[str]
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Its float32, little endian; None for categorical features."""
    categories: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    input_hash: Mapped[str]
    content_us: Mapped[int]
    computed_us: Mapped[int]


class Release(Base):
    """Where a version stands."""

    __tablename__ = "release"
    kind: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # candidate, shadow, current, retiring, retired
    since_us: Mapped[int]


class ReleaseStep(Base):
    """One step of a release: who, when, why, and with which numbers. Rows are only ever added."""

    __tablename__ = "release_step"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    at_us: Mapped[int]
    who: Mapped[str]
    action: Mapped[str]
    kind: Mapped[str]
    version: Mapped[str]
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    why: Mapped[str] = mapped_column(Text)
    forced: Mapped[bool] = mapped_column(default=False)
    numbers: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Consumer(Base):
    """Who reads stable features, and in which language it was trained."""

    __tablename__ = "consumer"
    name: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str]
    features: Mapped[list[str]]
    pairs: Mapped[dict[str, Any]]
    """By stable name: the pair it was trained on, such as {"star": "graph.v1"}."""
    scorer: Mapped[str]
    """How to load and score it: `package.module:Class` and, after `=`, its folder."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    added_us: Mapped[int]


class Statistic(Base):
    """Figures of a feature view at one materialization: norms, mean, share of new entities, …"""

    __tablename__ = "statistic"
    id: Mapped[int] = mapped_column(LONG, primary_key=True, autoincrement=True)
    view: Mapped[str]
    space: Mapped[str]
    at_us: Mapped[int]
    numbers: Mapped[dict[str, Any]]


class Secret(Base):
    """A key that this ledger made for itself, such as the one behind the digests of erased ids."""

    __tablename__ = "secret"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(Text)


Index("vector_pending", Vector.view, Vector.online_us)
Index("vector_of_entity", Vector.entity_id)
Index("interaction_of_member", Interaction.member_id)
Index("interaction_of_job", Interaction.job_id)
Index("journal_of_entity", Journal.entity_id)
Index("quarantine_of_entity", Quarantine.entity, Quarantine.entity_id)
Index("outbox_next", Outbox.topic, Outbox.state, Outbox.id)
Index("run_of_job", Run.job, Run.slot_us)
Index("statistic_of_view", Statistic.view, Statistic.at_us)
