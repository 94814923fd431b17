"""
Who reads what, and in which language it was trained.

    with ledger.begin() as db:
        add(db, Registered("ranker", "ranker", ("star",), {"star": "graph.v1"}, scorer), now_us)

A consumer that is registered is asked before a release, and keeps a version from being retired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select

from star_features.errors import UsageError
from star_features.ledger.dialect import insert_into
from star_features.ledger.schema import Consumer


@dataclass(frozen=True)
class Registered:
    """One consumer.

    Attributes:
        service: the service it reads.
        features: the stable names it reads, without their side: `star`.
        pairs: by stable name, the pair whose language it was trained in: `graph.v1`.
        scorer: how to load and score it: `package.module:Class=FOLDER`.
        settings: what else the gate should know of it.
    """

    name: str
    service: str
    features: Sequence[str]
    pairs: Mapping[str, str]
    scorer: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def add(db: Connection, consumer: Registered, now_us: int) -> None:
    """Register a consumer; one of the same name is replaced."""
    row = {
        "service": consumer.service,
        "features": list(consumer.features),
        "pairs": dict(consumer.pairs),
        "scorer": consumer.scorer,
        "settings": dict(consumer.settings),
        "added_us": now_us,
    }
    wanted = insert_into(db, Consumer).values(name=consumer.name, **row)
    db.execute(wanted.on_conflict_do_update(index_elements=["name"], set_=row))


def remove(db: Connection, name: str) -> None:
    """Forget a consumer.

    Raises:
        UsageError: there is none of that name.
    """
    if db.execute(delete(Consumer).where(Consumer.name == name)).rowcount == 0:
        known = ", ".join(one.name for one in consumers(db)) or "none"
        raise UsageError(f"no consumer {name!r}; known: {known}.\nSee them: star consumers list")


def consumers(db: Connection) -> list[Registered]:
    """All of them, by name."""
    fields = ("name", "service", "features", "pairs", "scorer", "settings")
    rows = db.execute(select(*(getattr(Consumer, name) for name in fields)).order_by(Consumer.name))
    return [Registered(**row) for row in rows.mappings()]
