"""
The schedule: which jobs there are, declared here, and when they run, in `schedule.toml`.

    [jobs.nightly]                      # a job of the code (see JOBS), or one of your own
    cron = "30 2 * * *"                 # minute hour day month weekday, UTC
    timeout = "8h"

    [jobs.export]
    steps = ["warehouse.export:run", "refresh"]     # your own function, then a step of ours
    every = "1h"
    catch_up = "each"

The file lies beside `spaces.toml`; without it the jobs run at the times written here.
"""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import Field, ValidationError, field_validator, model_validator

from star_features.errors import DataError, UsageError
from star_features.files import Settings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION = re.compile(r"^(\d+(?:\.\d+)?)([smhdw])$")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEKDAY = re.compile(r"^(\*|[0-7](-[0-7])?)(/[1-7])?(,(\*|[0-7](-[0-7])?)(/[1-7])?)*$")
STEPS = ("refresh", "encode", "graph", "map", "write", "verify", "publish")
"""The steps of ours, in the order in which a full job takes them (see steps.py)."""


def seconds(text: str) -> float:
    """`90s`, `15m`, `6h`, `1d`, `2w` in seconds."""
    found = DURATION.match(text.strip())
    if not found or not float(found[1]):
        raise ValueError(f"{text!r} is no length of time; wanted such as 90s, 15m, 6h, 1d, 2w")
    return float(found[1]) * UNITS[found[2]]


def _weekdays(field: str) -> str:
    """Cron counts weekdays from Sunday, 0 or 7; the trigger's numbers begin with Monday."""
    found = WEEKDAY.match(field) and [_named_days(part) for part in field.split(",")]
    return ",".join(found) if found else field


def _named_days(part: str) -> str:
    days, _, step = part.partition("/")
    first, _, last = ("0-6" if days == "*" else days).partition("-")
    if not days or part == "*":
        return part
    numbers = range(int(first), int(last or first) + 1, int(step or 1))
    return ",".join(DAYS[number % 7] for number in numbers)


class Job(Settings):
    """One job: its steps, when it is due, and what happens when that goes wrong."""

    steps: tuple[str, ...] = Field(min_length=1)
    """Steps in order: refresh, encode, graph, map, write, verify, publish, or module:function."""
    cron: str | None = None
    """Five fields, UTC: minute hour day month weekday."""
    every: str | None = None
    """A length of time, such as 15m: due at its multiples since 1970, on every machine alike."""
    timeout: str = "6h"
    """A try that takes longer is stopped."""
    catch_up: Literal["latest", "each"] = "latest"
    """Of slots that passed while nobody was there: only the last is done, or each."""
    attempts: int = Field(default=3, ge=1)
    """How often a slot is tried before it is given up."""
    enabled: bool = True
    """Off: known, and run by hand only."""

    @field_validator("every", "timeout")
    @classmethod
    def _is_a_length(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value

    @field_validator("steps")
    @classmethod
    def _are_steps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [step for step in value if step not in STEPS and ":" not in step]:
            raise ValueError(
                f"no step {unknown[0]!r}; wanted {', '.join(STEPS)}, or package.module:function"
            )
        return value

    @model_validator(mode="after")
    def _is_due_somehow(self) -> "Job":
        if (self.cron is None) == (self.every is None):
            raise ValueError("wanted either cron or every")
        self.trigger()
        return self

    def trigger(self) -> BaseTrigger:
        """When it is due, in UTC, the same on every machine."""
        if self.every:
            return IntervalTrigger(seconds=seconds(self.every), start_date=EPOCH, timezone=UTC)
        fields = str(self.cron).split()
        if len(fields) == 5:
            fields[4] = _weekdays(fields[4])
        return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)


JOBS: dict[str, dict[str, Any]] = {
    "nightly": {"steps": STEPS, "cron": "30 2 * * *", "timeout": "12h"},
    "hourly": {"steps": ("write", "verify", "publish"), "every": "1h", "timeout": "50m"},
}
"""The jobs there are without a word in schedule.toml, which may change each of their settings."""


class Objective(Settings):
    """What is promised of a kind's freshness."""

    within: str
    """So long after a change, at most, its vector is to be online."""
    share: float = Field(default=0.99, gt=0, le=1)
    """Of how many entities that is promised."""

    @field_validator("within")
    @classmethod
    def _is_a_length(cls, value: str) -> str:
        seconds(value)
        return value


class Schedule(Settings):
    """The whole of `schedule.toml`."""

    data: str | None = None
    """Where `refresh` reads the tables; unset: where the last `star ingest` read them."""
    config: str | None = None
    """A dataset.toml that does not lie beside the data."""
    lease: str = "30s"
    """A holder that has not been heard of for so long is dead, and another one goes on."""
    poll: str = "5s"
    """How often a scheduler looks for slots that somebody left behind."""
    patience: str = "15m"
    """How long a job waits while a command works in the same home."""
    grace: str = "30s"
    """How long a job that is asked to stop has to do so."""
    listen: str | None = None
    """HOST:PORT of /metrics, /healthz and /readyz; unset: none."""
    keep: str = "90d"
    """How long slots and runs are remembered."""
    verify_all: bool = False
    """`verify` reads every row back, not only those written first and last."""
    freshness: dict[str, Objective] = {}  # noqa: RUF012
    """Objectives by kind (text, graph, attributes); unset: two days for 99 in 100."""
    jobs: dict[str, Job] = Field(default_factory=dict)
    """By name."""

    @field_validator("lease", "poll", "patience", "grace", "keep")
    @classmethod
    def _is_a_length(cls, value: str) -> str:
        seconds(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _with_the_jobs_of_the_code(cls, value: dict[str, Any]) -> dict[str, Any]:
        jobs = {name: dict(job) for name, job in JOBS.items()}
        for name, said in value.get("jobs", {}).items():
            known = jobs.get(name, {})
            if "cron" in said or "every" in said:  # one of them replaces the other
                known = {k: v for k, v in known.items() if k not in ("cron", "every")}
            jobs[name] = {**known, **said}
        return {**value, "jobs": jobs}

    @classmethod
    def load(cls, path: Path) -> "Schedule":
        """Read and check `schedule.toml`; the defaults where there is none.

        Raises:
            DataError: it is not TOML, or holds what no schedule has.
        """
        if not path.exists():
            return cls()
        try:
            return cls.model_validate(tomllib.loads(path.read_text()))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            wanted = "Wanted [jobs.NAME] tables as docs/operations.md shows them."
            raise DataError(path, str(error), wanted) from error

    def job(self, name: str) -> Job:
        """One job; raises UsageError with the known ones."""
        if name not in self.jobs:
            raise UsageError(f"no job {name!r}; known: {', '.join(self.jobs)} (schedule.toml)")
        return self.jobs[name]

    def objective(self, kind: str) -> Objective:
        return self.freshness.get(kind, Objective(within="2d"))
