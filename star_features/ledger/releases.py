"""
Where every version stands, and every step that led there.

    with ledger.begin() as db:
        take_step(db, step, {"v2": "current", "v1": "retiring"})

States: `candidate → shadow → current → retiring → retired`. A step names the states it starts from,
and fails when another process was there first. A step that takes more than one transaction (files,
a registry and the ledger) is announced first: whoever finds an announcement without its end knows
what was under way, and can finish it or undo it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from star_features.errors import UsageError
from star_features.ledger.dialect import one_at_a_time
from star_features.ledger.schema import Release, ReleaseStep

CANDIDATE, SHADOW, CURRENT = "candidate", "shadow", "current"
RETIRING, RETIRED = "retiring", "retired"
STATES = (CANDIDATE, SHADOW, CURRENT, RETIRING, RETIRED)

LOCK = 7_275_011
"""Postgres' advisory lock under which steps are announced."""

PROMOTE, ROLLBACK = "promote", "rollback"
BEGIN = "begin "
"""Before an action's name: announced, and not done yet."""


@dataclass(frozen=True)
class Step:
    """One step of one version.

    Attributes:
        action: `shadow`, `promote`, `begin promote`, `rollback`, `retire`, `refit`, `check`, …
        numbers: what it was decided on, and what it changed.
    """

    at_us: int
    who: str
    action: str
    kind: str
    version: str
    why: str = ""
    forced: bool = False
    numbers: Mapping[str, Any] = field(default_factory=dict)
    from_state: str | None = None
    to_state: str = CANDIDATE
    id: int | None = None


def states(db: Connection, kind: str | None = None) -> dict[tuple[str, str], str]:
    """The state of every version that a step was ever taken with, by kind and version."""
    query = select(Release.kind, Release.version, Release.state)
    rows = db.execute(query if kind is None else query.where(Release.kind == kind))
    return {(row.kind, row.version): row.state for row in rows}


def steps(db: Connection, kind: str | None = None) -> list[Step]:
    """Every step, oldest first."""
    query = select(ReleaseStep.__table__).order_by(ReleaseStep.id)
    rows = db.execute(query if kind is None else query.where(ReleaseStep.kind == kind))
    return [Step(**row) for row in rows.mappings()]


def announce(db: Connection, step: Step, seen: Sequence[Step]) -> None:
    """Say that an action begins: it has changed nothing yet.

    Args:
        seen: every step of the kind that the decision was taken on.

    Raises:
        UsageError: there are newer ones.
    """
    one_at_a_time(db, LOCK)
    known = seen[-1].id if seen else None
    newest = select(func.max(ReleaseStep.id)).where(ReleaseStep.kind == step.kind)
    if db.execute(newest).scalar() != known:
        raise _moved_meanwhile(step.kind, step.version, "where it was")
    _record(db, step, f"{BEGIN}{step.action}")


def take_step(
    db: Connection, step: Step, to: str, *, others: Mapping[str, tuple[str, str]] | None = None
) -> None:
    """Move a version to a state, and others of its kind with it: all of them or none.

    Args:
        step: `from_state` is the state it has now; None for a version without a row.
        others: by version, the state it has now and the one it goes to.

    Raises:
        UsageError: somebody else has moved one of them meanwhile.
    """
    _move(db, step.kind, step.version, step.from_state, to, step.at_us)
    for version, (before, after) in (others or {}).items():
        _move(db, step.kind, version, before, after, step.at_us)
    _record(db, step, step.action, to)


def undone_last(taken: Sequence[Step]) -> Step | None:
    """The newest promotion of one kind, begun or done, that was not rolled back: what a rollback
    would undo."""
    stack: list[Step] = []
    for step in taken:
        if step.action.removeprefix(BEGIN) == PROMOTE:
            _drop_begun(stack)
            stack.append(step)
        elif step.action == ROLLBACK and stack:
            stack.pop()
    return stack[-1] if stack else None


def under_way(taken: Sequence[Step]) -> Step | None:
    """The promotion or rollback of one kind that was announced and never ended."""
    ends = (PROMOTE, ROLLBACK)
    last = next((s for s in reversed(taken) if s.action.removeprefix(BEGIN) in ends), None)
    return last if last and last.action.startswith(BEGIN) else None


def _drop_begun(stack: list[Step]) -> None:
    """A promotion that is begun again, or done, is the one that was begun before."""
    if stack and stack[-1].action.startswith(BEGIN):
        stack.pop()


def _move(
    db: Connection, kind: str, version: str, before: str | None, after: str, at_us: int
) -> None:
    values = {"state": after, "since_us": at_us}
    if before is None:
        try:
            db.execute(insert(Release).values(kind=kind, version=version, **values))
        except IntegrityError:
            raise _moved_meanwhile(kind, version, "new") from None
        return
    if before == after:
        return
    this = (Release.kind == kind, Release.version == version, Release.state == before)
    if db.execute(update(Release).where(*this).values(**values)).rowcount != 1:
        raise _moved_meanwhile(kind, version, before)


def _record(db: Connection, step: Step, action: str, to: str | None = None) -> None:
    row = asdict(step) | {"action": action, "numbers": dict(step.numbers)}
    row["to_state"] = to or step.from_state or CANDIDATE
    del row["id"]
    db.execute(insert(ReleaseStep).values(**row))


def _moved_meanwhile(kind: str, version: str, wanted: str) -> UsageError:
    return UsageError(
        f"{kind} {version} is no longer {wanted}: somebody else moved it.\n"
        "See what stands now: star release status"
    )
