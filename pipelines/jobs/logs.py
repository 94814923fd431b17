"""
What a job logs: one JSON object a line on stderr, with the run it belongs to, and no profile text.

    logs.start(job="nightly", run=17)
    logs.say("step_done", step="encode", seconds=3.1)
    # {"at": "2026-11-23T02:30:01.123Z", "level": "info", "event": "step_done", "job": "nightly", …}

Only what we chose to say is printed. Of other libraries' messages only who said something, and
where: what they say may quote their input. Of an unexpected error only its type and its place.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from pydantic import ValidationError

from star_features.errors import StarError

OURS = logging.getLogger("star")
MOST = 1_000  # characters of a message


class JsonLines(logging.Formatter):
    """One JSON object a record.

    Attributes:
        always: what every line carries: job, slot, run.
    """

    def __init__(self, always: dict[str, Any]) -> None:
        super().__init__()
        self.always = always

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"at": at.replace("+00:00", "Z"), "level": record.levelname.lower()}
        return json.dumps({**head, **_said(record), **self.always}, default=str)


def start(stream: TextIO | None = None, **always: Any) -> None:
    """Log to a stream (stderr) from here on; `always` stands in every line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(always))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    OURS.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # busy is no warning: slots wait


def say(event: str, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event of ours with its facts: names and numbers, never content."""
    OURS.log(level, event, extra={"facts": facts})


def told(error: BaseException) -> str:
    """An error as it may stand in a log and in the ledger."""
    name = type(error).__name__
    if isinstance(error, ValidationError):
        places = [".".join(map(str, one["loc"])) for one in error.errors(include_input=False)]
        return f"{name}: {', '.join(places)}"
    if isinstance(error, StarError):
        return f"{name}: {error}"[:MOST]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} at {frames[-1].filename}:{frames[-1].lineno}" if frames else name


def _said(record: logging.LogRecord) -> dict[str, Any]:
    if record.name == OURS.name:
        return {"event": record.msg, **getattr(record, "facts", {})}
    where = f"{record.pathname}:{record.lineno}"
    return {"event": "library", "logger": record.name, "where": where}
