"""
The ledger without what is about someone.

    with ledger.begin() as db:
        counts = erase_records(db, subject)      # {"vector": 6, "outbox": 2}
    with ledger.read() as db:
        assert not named_records(db, subject)

Whose a row is, its columns say, in every table alike: `entity` and `entity_id`, `view` and
`entity_id`, or `member_id` and `job_id`. An event or a set-aside input that names them goes as a
whole; elsewhere (facts of a run, a checkpoint) the name becomes null and the row stays.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Select,
    Table,
    Text,
    and_,
    cast,
    delete,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from star_features.erasure.subject import TOLD, Subject
from star_features.ledger.dialect import parts
from star_features.ledger.schema import Base, Outbox, Quarantine, Secret, Tombstone

WITHHELD = "(withheld: it named an erased entity)"
GO_WHOLE: set[str] = {Outbox.__tablename__, Quarantine.__tablename__}
THEIR_SENDERS = ("key", "identity")
"""Columns of these that hold what the sender of an event chose."""
LEFT_ALONE: set[str] = {Tombstone.__tablename__, Secret.__tablename__}


def erase_records(db: Connection, subject: Subject) -> Counter[str]:
    """Remove or clear every row that is about them; returns how many, by table."""
    counts: Counter[str] = Counter()
    for table in _tables():
        for part in parts(sorted(subject.ids)):
            if (theirs := _owned(table, subject.entity, part)) is not None:
                counts[table.name] += db.execute(delete(table).where(theirs)).rowcount
        named = list(_named(db, table, subject))
        counts[table.name] += len(named)
        if table.name in GO_WHOLE:
            for rows in parts([key for key, _ in named]):
                db.execute(delete(table).where(_is_one_of(table, rows)))
        else:
            for key, values in named:
                db.execute(update(table).where(_is_one_of(table, [key])).values(**values))
    return +counts


def named_records(db: Connection, subject: Subject) -> Counter[str]:
    """Rows that are still about them, by table: none, after an erasure."""
    counts: Counter[str] = Counter()
    for table in _tables():
        for part in parts(sorted(subject.ids)):
            if (theirs := _owned(table, subject.entity, part)) is not None:
                counts[table.name] += len(db.execute(select(*_key(table)).where(theirs)).all())
        counts[table.name] += sum(1 for _ in _named(db, table, subject))
    return +counts


def _tables() -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if table.name not in LEFT_ALONE]


def _owned(table: Table, entity: str, ids: Sequence[str]) -> ColumnElement[bool] | None:
    """Which rows are about them by their columns; None where a table has no such columns."""
    columns = table.c
    if {"entity", "entity_id"} <= set(columns.keys()):
        return and_(columns.entity == entity, columns.entity_id.in_(ids))
    if {"view", "entity_id"} <= set(columns.keys()):
        of_entity = columns.view.startswith(f"{entity}_", autoescape=True)
        return and_(of_entity, columns.entity_id.in_(ids))
    if f"{entity}_id" in columns:
        return columns[f"{entity}_id"].in_(ids)
    return None


def _named(
    db: Connection, table: Table, subject: Subject
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Rows that name them in free text or JSON: key, and the cleared values of those columns."""
    free = [column for column in table.c if _is_free(table, column)]
    if not free:
        return
    width = len(_key(table))
    candidates = _candidates(table, free, subject).execution_options(yield_per=1000)
    for row in db.execute(candidates):
        values = zip(free, row[width:], strict=True)
        if cleared := {c.name: _cleared(v, subject) for c, v in values if _names(c, v, subject)}:
            yield tuple(row[:width]), cleared


def _candidates(table: Table, free: list[Column[Any]], subject: Subject) -> Select[Any]:
    """Rows whose free columns hold an id, or the beginning of a text, anywhere."""
    words = [*subject.ids, *(text[:TOLD] for text in subject.told)]
    spelt = {form for word in words for form in (word, json.dumps(word)[1:-1])}
    holds = [
        cast(column, Text).contains(word, autoescape=True) for column in free for word in spelt
    ]
    return select(*_key(table), *free).where(or_(*holds))


def _is_free(table: Table, column: Column[Any]) -> bool:
    if table.name in GO_WHOLE and column.name in THEIR_SENDERS:
        return True
    return isinstance(column.type, JSON | Text)


def _names(column: Column[Any], value: Any, subject: Subject) -> bool:
    if value is None:
        return False
    if not isinstance(column.type, JSON | Text):
        return subject.mentioned_in(value)
    return subject.named_in(value if isinstance(value, str) else json.dumps(value))


def _cleared(value: Any, subject: Subject) -> Any:
    return WITHHELD if isinstance(value, str) else subject.scrubbed(value)


def _key(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns)


def _is_one_of(table: Table, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    return tuple_(*_key(table)).in_(keys)
