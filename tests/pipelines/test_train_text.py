"""A text version with a training table: trained once from the history, then it encodes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines import encode, ingest, train_text
from pipelines.cli import app
from pipelines.home import Home
from pipelines.roles import roles
from star_features.errors import UsageError
from star_features.store.history import History
from star_features.tables.canonical import Tables

SMALL = Path(__file__).parents[2] / "examples" / "small_csv"
V2 = """
[text.v2]
width = 64
[text.v2.encoder]
model = "all-MiniLM-L6-v2"
token_budget = 512
[text.v2.training]
effective_batch = 8
max_steps = 2
validation = 0.4
"""


@pytest.fixture(scope="module")
def home(make_home: Callable[[str], Home]) -> Home:
    """The small example, ingested, with a second text version in its catalogue."""
    made = make_home("train_text")
    with (made.repo / "spaces.toml").open("a") as file:
        file.write(V2)
    ingest.stage(made, SMALL).run(made)
    return made


def change(home: Home, before: str, after: str) -> None:
    path = home.repo / "spaces.toml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_the_stage_trains_the_version_once_and_encodes_at_its_width(home: Home) -> None:
    facts = encode.stage(home, "v2").run(home).facts
    assert facts["job_text_v2"]["width"] == 64
    assert facts["job_text_v2"]["identity"]["adapter_sha256"]
    space, vectors = (
        facts["member_text_v2"]["space"],
        History.of_vectors(home.history, "member_text_v2").latest(),
    )
    assert vectors.require(space).vectors_ND.shape == (facts["member_text_v2"]["rows"], 64)
    written = (home.model("text_v2") / "tower.json").stat().st_mtime_ns
    again = encode.stage(home, "v2").run(home, force=True)
    assert again.facts["job_text_v2"]["encoded"] == 0
    assert (home.model("text_v2") / "tower.json").stat().st_mtime_ns == written
    assert not (home.path / "checkpoints" / "text_v2").exists()


def test_the_command_prints_every_width_and_trains_nothing_twice(home: Home) -> None:
    train_text.run(home, "v2")
    written = (home.model("text_v2") / "tower.json").stat().st_mtime_ns
    arguments = [
        "train",
        "text",
        "--version",
        "v2",
        "--home",
        str(home.path),
        "--repo",
        str(home.repo),
    ]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    for width in ("64", "128", "200", "256", "384", "2 steps"):
        assert width in shown.output
    assert (home.model("text_v2") / "tower.json").stat().st_mtime_ns == written


def test_a_trained_version_whose_settings_changed_is_refused_until_retrained(
    home: Home, tmp_path: Path
) -> None:
    train_text.run(home, "v2")
    copy = Home(
        shutil.copytree(home.path, tmp_path / "home"), shutil.copytree(home.repo, tmp_path / "repo")
    )
    change(copy, "max_steps = 2", "max_steps = 1")
    with pytest.raises(UsageError, match="star train text --version v2 --retrain"):
        train_text.run(copy, "v2")
    assert train_text.run(copy, "v2", retrain=True)["steps"] == 1


def test_a_width_that_was_not_trained_is_refused(home: Home) -> None:
    train_text.run(home, "v2")
    change(home, "width = 64", "width = 65")
    try:
        wanted = home.catalogue().text["v2"]
        with pytest.raises(UsageError, match="width = 65; it was trained for 64, 128"):
            train_text.encoder_settings(home, "v2", wanted)
    finally:
        change(home, "width = 65", "width = 64")


def test_a_frozen_version_has_no_training(home: Home) -> None:
    with pytest.raises(UsageError, match=r"\[text.v1\] is frozen"):
        train_text.run(home, "v1")


def test_pairs_are_those_of_the_history_with_texts_no_younger_than_they(home: Home) -> None:
    tables = Tables(home.tables)
    rows = roles(tables).history
    texts = {
        entity: {row[f"{entity}_id"]: row for row in tables.table(f"{entity}s").to_pylist()}
        for entity in ("member", "job")
    }
    wanted = []
    for row in rows.to_pylist():
        ends = [texts[entity][row[f"{entity}_id"]] for entity in ("member", "job")]
        if all(end["text"] and end["updated_at"] <= row["at"] for end in ends):
            wanted.append((row["at"], ends[0]["text"], ends[1]["text"], row["label"]))
    got = train_text.training_pairs(tables, rows)
    assert sorted(zip(*got.to_pydict().values(), strict=True)) == sorted(w[1:] for w in wanted)
    at_of = {w[1:]: w[0] for w in wanted}
    times = [at_of[tuple(row.values())] for row in got.to_pylist()]
    if len(at_of) == len(wanted):
        assert times == sorted(times)
    assert isinstance(got, pa.Table)
