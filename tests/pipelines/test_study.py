"""`star evaluate graph`: each row and seed is trained once, and kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import encode, ingest, study
from pipelines.cli import app
from pipelines.home import Home
from star_features.errors import UsageError

SMALL = Path(__file__).parents[2] / "examples" / "small_csv"
TWO = {"categorical": {"use_text": False}, "+ text": {}}


@pytest.fixture(scope="module")
def home(make_home: Callable[[str], Home]) -> Home:
    made = make_home("study")
    ingest.stage(made, SMALL).run(made)
    encode.stage(made).run(made)
    return made


def test_a_killed_study_goes_on_and_a_done_one_only_reads(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = study.Asked(home, "v1", TWO, (0, 1), (5,))
    real, trained = study.graph_model.train_once, []

    def counted(*args):
        trained.append(1)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(study.graph_model, "train_once", counted)
    with pytest.raises(KeyboardInterrupt):
        list(study.run(asked))
    first = list(study.run(asked))
    assert len(trained) == 5, "two rows, one killed, two after"
    assert list(study.run(asked)) == first
    assert len(trained) == 5
    rows = [(result["row"], result["seed"]) for result in first]
    assert rows == [(study.PEERS, 0), *((row, seed) for seed in (0, 1) for row in TWO)]
    assert not [path for path in asked.folder.iterdir() if path.is_dir()]
    names = [entry["row"] for entry in study.by_ranking(first)]
    assert names == ["text alone", "popularity", "item-item", *TWO, *TWO]
    other = study.Asked(home, "v1", {"+ text, renamed": {}}, (1,), (5,))
    assert list(study.run(other))[1]["rankings"] == first[-1]["rankings"]


def test_the_same_row_with_other_texts_or_cuts_is_another_result(home: Home) -> None:
    one, other = (study.Asked(home, "v1", {}, (0,), at) for at in ((5,), (6,)))
    figures = [next(study.run(asked))["rankings"]["text"]["all"] for asked in (one, other)]
    assert [list(f)[2] for f in figures] == ["recall@5", "recall@6"]


def test_the_command_shows_rows_slices_and_seeds(home: Home) -> None:
    known = sorted(path.name for path in (home.path / "evaluation" / "study").glob("*.json"))
    where = ["--home", str(home.path), "--repo", str(home.repo)]
    done = CliRunner().invoke(
        app, ["evaluate", "graph", "--seeds", "0", "--at", "5", *where], terminal_width=200
    )
    assert done.exit_code == 0, done.output
    for word in (*study.STUDIES["inputs"], "item-item", "recall@5", "mrr"):
        assert word.split()[-1] in done.output
    path = sorted((home.path / "evaluation" / "study").glob("*.json"))
    assert len(path) > len(known)
    assert {"row", "seed", "seconds", "rankings"} == set(json.loads(path[0].read_text()))


def test_an_unknown_study_and_no_seed_are_refused(home: Home) -> None:
    with pytest.raises(UsageError, match="known: inputs, losses, neighbours"):
        study.study(home, "luck", (0,), (10,))
    with pytest.raises(UsageError, match="one or more"):
        study.study(home, "inputs", (), (10,))


@pytest.mark.parametrize("name", study.STUDIES)
def test_every_row_of_every_study_is_a_valid_setting(home: Home, name: str) -> None:
    from star_features.graph.settings import GraphSettings

    chosen = [GraphSettings(**changed) for changed in study.STUDIES[name].values()]
    assert len({settings.model_dump_json() for settings in chosen}) == len(chosen)
