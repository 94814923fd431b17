"""`star train graph`: trains once, says how, and leaves a model that `star graph` takes over."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import encode, graph, ingest
from pipelines.cli import app
from pipelines.home import Home
from star_features.errors import UsageError

SMALL = Path(__file__).parents[2] / "examples" / "small_csv"
ADAPTIVE = "seed = 0\nadaptive = { start = 2 }\n"


@pytest.fixture(scope="module")
def home(make_home: Callable[[str], Home]) -> Home:
    """The small example with its text vectors, and a graph version that begins with few edges."""
    made = make_home("train_graph")
    spaces = made.repo / "spaces.toml"
    spaces.write_text(spaces.read_text().replace("seed = 0\n", ADAPTIVE, 1))
    ingest.stage(made, SMALL).run(made)
    encode.stage(made).run(made)
    return made


def told(home: Home, *options: str) -> str:
    where = ["--home", str(home.path), "--repo", str(home.repo)]
    done = CliRunner().invoke(app, ["train", "graph", "--version", "v1", *where, *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_trains_once_and_shows_every_pass_and_a_picture(home: Home) -> None:
    first = told(home)
    weights = home.model("graph_v1") / "weights.safetensors"
    written = weights.stat().st_mtime_ns
    assert "later labels of the history" in first
    assert (home.report / "graph_v1.png").exists()
    assert told(home) == first
    assert weights.stat().st_mtime_ns == written
    told(home, "--retrain")
    assert weights.stat().st_mtime_ns > written


def test_star_graph_takes_the_trained_model_over(home: Home) -> None:
    told(home)
    digest = graph.train(home, "v1")["sha256"]
    facts = graph.stage(home).run(home).facts
    assert facts["training"]["sha256"] == digest
    assert facts["job_graph_v1"]["rows"] > 0


def test_other_settings_than_the_model_was_trained_with_are_refused(home: Home) -> None:
    told(home)
    spaces = home.repo / "spaces.toml"
    before = spaces.read_text()
    spaces.write_text(before.replace("start = 2", "start = 3"))
    with pytest.raises(UsageError, match="other settings"):
        graph.train(home, "v1")
    spaces.write_text(before)
