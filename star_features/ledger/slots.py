"""
Slots: times at which a job is due, each done once whoever does it, and whoever dies at it.

    with ledger.begin() as db:
        expect(db, "nightly", [slot_us])                      # it is due
        claim = take(db, ["nightly"], me, now_us, lease_us)   # mine, or None
    with ledger.begin() as db:
        renew(db, claim, now_us + lease_us)                   # I am alive; Fenced: I am too late
        save(db, claim, {"done": ["refresh"]})                # whoever comes next goes on from here
        finish(db, claim, now_us, "done", facts={...})

A slot has one holder at a time, and all slots together have one: jobs of one home write the same
files. The *token* counts a slot's holders; whoever holds an old one is fenced: `guard` refuses
each of his transactions, inside of it, so that no pause is long enough to slip through.

Whether a holder is dead is for the others to judge, by their own steady clocks: one whose lease
has not moved for as long as a lease lasts (`Watch`). Wall clocks may differ, and jump.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from star_features.errors import Fenced
from star_features.ledger.dialect import insert_into, one_at_a_time
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Run, Slot

CLAIM_LOCK = 7_275_006
"""PostgreSQL's advisory lock under which one scheduler claims and the others wait."""


@dataclass(frozen=True)
class Claim:
    """A slot that is held, by whom, and which try of it this is.

    Attributes:
        token: counts its holders: the fencing token.
        run: the row of this try in `run`.
        checkpoint: what the holder before got done.
    """

    job: str
    slot_us: int
    token: int
    holder: str
    run: int
    attempts: int
    checkpoint: Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """A slot that somebody holds, as the others see it."""

    job: str
    slot_us: int
    token: int
    holder: str
    lease_until_us: int


@dataclass
class Watch:
    """Who is dead, by the steady clock of whoever asks.

    Attributes:
        seen: when each lease was first seen as it is now.
    """

    seen: dict[Held, float] = field(default_factory=dict)

    def dead(self, held: Iterable[Held], steady_s: float, lease_s: float) -> list[Held]:
        """Those whose lease has stood still for longer than a lease lasts."""
        self.seen = {one: self.seen.get(one, steady_s) for one in held}
        return [one for one, since in self.seen.items() if steady_s - since > lease_s]


def expect(db: Connection, job: str, slots_us: Sequence[int], state: str = "open") -> int:
    """These slots are due; those that are known stay as they are. Returns how many are new."""
    rows = [
        {"job": job, "slot_us": slot_us, "state": state, "token": 0, "attempts": 0}
        | {"checkpoint": {}}
        for slot_us in slots_us
    ]
    if not rows:
        return 0
    new = insert_into(db, Slot).values(rows).on_conflict_do_nothing().returning(Slot.slot_us)
    return len(db.execute(new).all())


def last_slot(db: Connection, job: str) -> int | None:
    """The latest slot of a job that anybody has seen."""
    return db.execute(select(func.max(Slot.slot_us)).where(Slot.job == job)).scalar()


def held_now(db: Connection) -> list[Held]:
    """Every slot that has a holder, dead or alive."""
    rows = select(Slot.job, Slot.slot_us, Slot.token, Slot.holder, Slot.lease_until_us).where(
        Slot.state == "held"
    )
    return [
        Held(job, slot_us, token, holder or "", until_us or 0)
        for job, slot_us, token, holder, until_us in db.execute(rows)
    ]


def waiting(db: Connection) -> bool:
    """Whether any slot waits for a holder."""
    return db.execute(select(Slot.job).where(Slot.state == "open").limit(1)).first() is not None


def forget(db: Connection, before_us: int) -> None:
    """Remove slots and runs that are over and older than this; the last slot of a job stays."""
    for job, last_us in db.execute(
        select(Slot.job, func.max(Slot.slot_us)).group_by(Slot.job)
    ).all():
        over = Slot.state.in_(("done", "failed", "skipped"))
        old = and_(Slot.job == job, Slot.slot_us < min(before_us, last_us))
        db.execute(delete(Slot).where(old, over))
    db.execute(delete(Run).where(Run.finished_us < before_us))


def take(
    db: Connection,
    most_attempts: Mapping[str, int],
    holder: str,
    now_us: int,
    lease_us: int,
    dead: Collection[Held] = (),
) -> Claim | None:
    """
    Hold the oldest slot that waits, unless somebody alive holds one; None where there is nothing.

    A slot whose holders have died or failed too often is failed for good.

    Args:
        most_attempts: the jobs to look at, and how often each may be tried.
        dead: holders that are known to be dead (`Watch`); their slots wait again.
    """
    one_at_a_time(db, CLAIM_LOCK)
    for one in dead:
        _bury(db, one, now_us)
    if db.execute(select(Slot.job).where(Slot.state == "held").limit(1)).first():
        return None
    ready = or_(Slot.lease_until_us.is_(None), Slot.lease_until_us <= now_us)
    waiting = select(Slot.__table__).where(Slot.job.in_(most_attempts), Slot.state == "open", ready)
    for row in db.execute(waiting.order_by(Slot.slot_us, Slot.job)).mappings():
        if row["attempts"] < most_attempts[row["job"]]:
            return _hold(db, row, holder, now_us, lease_us)
        db.execute(_is(row).values(state="failed", lease_until_us=None))
    return None


def guard(db: Connection, claim: Claim) -> None:
    """Refuse the transaction of a holder whose slot has passed to another.

    Raises:
        Fenced: it has.
    """
    row = select(Slot.token, Slot.state).where(Slot.job == claim.job, Slot.slot_us == claim.slot_us)
    if db.dialect.name == "postgresql":  # SQLite's transaction is alone from its beginning
        row = row.with_for_update(key_share=True)
    found = db.execute(row).first()
    if found is None or tuple(found) != (claim.token, "held"):
        raise Fenced(claim.job, claim.slot_us, claim.token)


def guarded(ledger: Ledger, claim: Claim) -> Ledger:
    """The same ledger, for the holder of a claim: each of its transactions is guarded."""
    return replace(ledger, check=lambda db: guard(db, claim))


def renew(db: Connection, claim: Claim, until_us: int) -> None:
    """The holder is alive. Raises Fenced where it is too late to say so."""
    _change(db, claim, lease_until_us=until_us)


def save(db: Connection, claim: Claim, checkpoint: Mapping[str, Any]) -> None:
    """How far the holder got. Raises Fenced."""
    _change(db, claim, checkpoint=dict(checkpoint))


def finish(
    db: Connection,
    claim: Claim,
    now_us: int,
    state: str,
    *,
    facts: Mapping[str, Any] | None = None,
    error: str | None = None,
    again_us: int | None = None,
) -> None:
    """
    The try is over. Raises Fenced.

    Args:
        state: done, failed, or stopped (by a shutdown: the try does not count).
        again_us: leave the slot open, to be tried again from then on.
    """
    if state == "stopped":
        _change(db, claim, state="open", lease_until_us=None, attempts=claim.attempts - 1)
    elif again_us is not None:
        _change(db, claim, state="open", lease_until_us=again_us)
    else:
        _change(db, claim, state=state, lease_until_us=None)
    ended = {"finished_us": now_us, "state": state, "error": error, "facts": dict(facts or {})}
    db.execute(update(Run).where(Run.id == claim.run).values(ended))


def _hold(db: Connection, row: Mapping[Any, Any], holder: str, now_us: int, lease_us: int) -> Claim:
    token, attempts = row["token"] + 1, row["attempts"] + 1
    until = {"lease_until_us": now_us + lease_us, "holder": holder}
    db.execute(_is(row).values(state="held", token=token, attempts=attempts, **until))
    run = {"job": row["job"], "slot_us": row["slot_us"], "token": token, "holder": holder}
    added = insert(Run).values(**run, started_us=now_us, state="running", facts={})
    number = db.execute(added).inserted_primary_key
    assert number is not None  # the database counts runs
    return Claim(**run, run=int(number[0]), attempts=attempts, checkpoint=row["checkpoint"])


def _bury(db: Connection, one: Held, now_us: int) -> None:
    """The slot of a dead holder waits again, if it is still his."""
    his = and_(Slot.job == one.job, Slot.slot_us == one.slot_us, Slot.token == one.token)
    still = and_(his, Slot.state == "held", Slot.lease_until_us == one.lease_until_us)
    freed = update(Slot).where(still).values(state="open", lease_until_us=None)
    if db.execute(freed).rowcount:
        run = and_(Run.job == one.job, Run.slot_us == one.slot_us, Run.token == one.token)
        gone = update(Run).where(run, Run.state == "running")
        db.execute(gone.values(state="lost", finished_us=now_us))


def _change(db: Connection, claim: Claim, **values: Any) -> None:
    mine = and_(Slot.job == claim.job, Slot.slot_us == claim.slot_us, Slot.state == "held")
    changed = update(Slot).where(mine, Slot.token == claim.token).values(**values)
    if not db.execute(changed).rowcount:
        raise Fenced(claim.job, claim.slot_us, claim.token)


def _is(row: Mapping[Any, Any]) -> Any:
    return update(Slot).where(Slot.job == row["job"], Slot.slot_us == row["slot_us"])
