"""schedule.toml: what may stand there, and what it changes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.jobs.due import due_between, next_slot
from pipelines.jobs.settings import JOBS, Job, Schedule, seconds
from pipelines.jobs.steps import OURS, step_of
from star_features.errors import DataError, UsageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def written(folder: Path, text: str) -> Schedule:
    path = folder / "schedule.toml"
    path.write_text(text)
    return Schedule.load(path)


def test_without_a_file_the_jobs_of_the_code_run(tmp_path: Path) -> None:
    schedule = Schedule.load(tmp_path / "schedule.toml")
    assert schedule.jobs.keys() == JOBS.keys()
    assert next_slot(schedule.job("nightly"), NOON) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)


def test_the_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    schedule = written(
        tmp_path, '[jobs.nightly]\nevery = "6h"\n[jobs.own]\nsteps = ["a.b:c"]\ncron = "0 1 * * 1"'
    )
    assert next_slot(schedule.job("nightly"), NOON) == datetime(2026, 3, 1, 18, tzinfo=UTC)
    assert schedule.job("nightly").steps == JOBS["nightly"]["steps"]
    assert schedule.job("hourly").every == JOBS["hourly"]["every"]
    assert next_slot(schedule.job("own"), NOON) == datetime(2026, 3, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[jobs.x]\nsteps = ["encode"]', "either cron or every"),
        ('[jobs.x]\nsteps = ["encode"]\nevery = "1h"\ncron = "0 0 * * *"', "either cron or every"),
        ('[jobs.x]\nsteps = ["encod"]\nevery = "1h"', "no step 'encod'; wanted refresh"),
        ('[jobs.x]\nsteps = ["encode"]\nevery = "1 hour"', "wanted such as 90s"),
        ('[jobs.x]\nsteps = ["encode"]\nevery = "0s"', "wanted such as 90s"),
        ('[jobs.x]\nsteps = ["encode"]\ncron = "61 * * * *"', "61"),
        ('[jobs.x]\nsteps = []\nevery = "1h"', "at least 1 item"),
        ('[jobs.nightly]\ntimeuot = "1h"', "timeuot"),
        ('leese = "1h"', "leese"),
        ("[jobs.nightly", "Expected"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_reason(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        written(tmp_path, text)


@pytest.mark.parametrize(
    ("weekdays", "wanted"),
    [
        ("0", [1, 8]),  # the first of March 2026 is a Sunday
        ("7", [1, 8]),
        ("1", [2, 9]),
        ("1-5", [2, 3, 4, 5, 6, 9]),
        ("5-7", [1, 6, 7, 8]),
        ("0,6", [1, 7, 8]),
        ("*/3", [1, 4, 7, 8]),
        ("mon-fri", [2, 3, 4, 5, 6, 9]),
        ("*", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_weekdays_are_those_of_cron(weekdays: str, wanted: list[int]) -> None:
    job = Job(steps=("write",), cron=f"0 12 * * {weekdays}")
    found = due_between(job, NOON - timedelta(hours=1), NOON + timedelta(days=8))
    assert [day.day for day in found] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172_800), ("1w", 604_800)],
)
def test_lengths_of_time_are_written_with_their_unit(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


def test_an_unknown_job_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: nightly, hourly"):
        Schedule().job("nigthly")


def test_every_step_is_found_by_its_name_and_anybodys_by_its_place() -> None:
    assert step_of("encode") is OURS["encode"]
    assert step_of("pipelines.jobs.steps:encode") is OURS["encode"]
    for wrong in ("encod", "pipelines.jobs.steps:encod", "no.such.module:run"):
        with pytest.raises(UsageError, match=f"no step '{wrong}'"):
            step_of(wrong)
