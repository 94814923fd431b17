"""Logs say what we chose to say, and never what a text said."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from pipelines.jobs import logs
from star_features.errors import StoreError

SECRET = "I have been nursing in Leeds since 1998"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("star")
    before = root.handlers[:], root.level, ours.level
    out = io.StringIO()
    logs.start(out, run=17)
    yield out
    root.handlers[:], level, ours.level = before
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_line_is_an_object_with_its_run(stream: io.StringIO) -> None:
    logs.say("step_done", step="encode", rows=3)
    (line,) = lines(stream)
    assert line.pop("at").endswith("Z")
    told = {"level": "info", "event": "step_done", "step": "encode", "rows": 3, "run": 17}
    assert line == told


def test_what_libraries_say_is_not_repeated(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("too long: %s", SECRET)
    logging.getLogger("some.library").error(f"too long: {SECRET}")
    warnings.warn(SECRET, stacklevel=1)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("some.library").exception(SECRET)
    assert len(lines(stream)) == 4
    assert {line["event"] for line in lines(stream)} == {"library"}
    assert "test_logs.py" in lines(stream)[0]["where"]
    assert "nursing" not in stream.getvalue()


def test_an_unexpected_error_is_told_by_its_type_and_place() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        said = logs.told(error)
    assert said.startswith("KeyError at ")
    assert "test_logs.py" in said
    assert "nursing" not in said


def test_our_own_errors_are_told_in_their_words() -> None:
    assert logs.told(StoreError("no server\nstart it")) == "StoreError: no server\nstart it"
    assert len(logs.told(StoreError("x" * 10_000))) <= logs.MOST


def test_a_setting_that_is_wrong_is_told_by_its_name() -> None:
    class Row(BaseModel):
        text: int

    with pytest.raises(ValueError, match="text") as wrong:
        Row.model_validate({"text": SECRET})
    assert logs.told(wrong.value) == "ValidationError: text"
