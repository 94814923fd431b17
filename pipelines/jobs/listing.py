"""What `star jobs` lists: every job, its last run, and its next slot, from the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from pipelines.home import Home
from pipelines.jobs.by_hand import BY_HAND
from pipelines.jobs.due import next_slot
from pipelines.jobs.settings import EPOCH, Job, Schedule
from pipelines.recording import opened
from star_features.ledger.schema import Run, Slot


@dataclass(frozen=True)
class Line:
    """One job.

    Attributes:
        last: its newest run, scheduled or by hand.
        waiting: slots that are due and not done.
        next: when it is due next; None where it is switched off.
    """

    name: str
    job: Job
    last: Run | None
    waiting: int
    next: datetime | None

    def cells(self) -> list[str]:
        due = self.job.cron or f"every {self.job.every}"
        last = self.last
        return [
            self.name,
            " → ".join(self.job.steps),
            due if self.job.enabled else "by hand",
            _short(_moment(last.started_us)) if last else "never",
            last.state if last else "",
            f"{(last.finished_us - last.started_us) / 1e6:,.1f}"
            if last and last.finished_us
            else "",
            str(self.waiting),
            _short(self.next) if self.next else "",
        ]


def listing(home: Home, now: datetime) -> list[Line]:
    """Every job of the schedule."""
    schedule = Schedule.load(home.schedule)
    with opened(home) as ledger, ledger.read() as db:
        return [
            Line(
                name,
                job,
                last_run(db, name),
                open_slots(db, name),
                next_slot(job, now) if job.enabled else None,
            )
            for name, job in schedule.jobs.items()
        ]


def last_run(db: Connection, name: str) -> Run | None:
    """The newest try of a job."""
    of_job = select(Run.__table__).where(Run.job.in_([name, name + BY_HAND]))
    row = db.execute(of_job.order_by(Run.id.desc()).limit(1)).mappings().first()
    return Run(**row) if row else None


def open_slots(db: Connection, name: str) -> int:
    """How many slots of a job are due and not done."""
    open_ = select(func.count()).where(Slot.job == name, Slot.state.in_(("open", "held")))
    return int(db.execute(open_).scalar_one())


def _moment(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def _short(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
