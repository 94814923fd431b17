"""What SQLite and PostgreSQL both know and SQLAlchemy spells twice: an insert that may conflict."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql, sqlite

AT_ONCE = 500
"""Ids in one statement."""

T = TypeVar("T")


def insert_into(db: Connection, table: Any) -> Any:
    """An insert with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    name: Table = table.__table__
    if db.dialect.name == "postgresql":
        return postgresql.insert(name)
    return sqlite.insert(name)


def one_at_a_time(db: Connection, lock: int) -> None:
    """Let transactions of one kind wait for each other: SQLite's always do."""
    if db.dialect.name == "postgresql":
        db.execute(text(f"SELECT pg_advisory_xact_lock({lock})"))


def parts(items: Iterable[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """The items, some at a time."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part
