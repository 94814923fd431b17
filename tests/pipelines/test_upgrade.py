"""Upgrade on Tuesday, as the README tells it: a new graph version, and rankers do not notice."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines import apply, compat, graph, rank, score, training_set
from pipelines.cli.main import app
from pipelines.home import Home
from pipelines.receipts import read_receipt
from pipelines.release import lifecycle, readers
from pipelines.release.desk import Why
from star_features.catalogue import ENTITIES, SpacePair
from star_features.errors import MissingStage, SpaceMismatch, UsageError
from star_features.store.feast_store import open_store
from star_features.store.history import History
from star_features.tables.canonical import Tables

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.split("## Upgrade on Tuesday")[1].split("\n## ")[0]
PAIRS = Path(__file__).parents[2] / "examples" / "pairs.csv"
MAPPED = SpacePair("graph", "v1", "v2")
QUICK = "seed = 1\nhidden = 16\nheads = 2\nepochs = 2\nlabels_per_epoch = 200\nbatch_size = 32\n"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)


def commands(block: str) -> list[str]:
    return [line.split("#")[0].strip() for line in block.splitlines() if line.startswith("star ")]


def typed(home: Home, line: str) -> str:
    """What a command of the README prints, in another home."""
    words = shlex.split(line)[1:]
    done = CliRunner().invoke(app, [*words, "--home", str(home.path), "--repo", str(home.repo)])
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    return done.output


def point(home: Home, pair: str) -> None:
    """The one reviewed line: which pair rankers read under `star`."""
    spaces = home.repo / "spaces.toml"
    changed, lines = re.subn(r'(?m)^star = ".*"$', f'star = "{pair}"', spaces.read_text())
    assert lines == 1
    spaces.write_text(changed)
    apply.stage(home).run(home)


def read(home: Home, side: str) -> pd.DataFrame:
    store = open_store(home.repo, home.path)
    keys = Tables(home.tables).table(f"{side}s", [f"{side}_id"])[0].to_pylist()
    return pd.DataFrame(rank.read_online(store, f"ranker_{side}", f"{side}_id", keys))


def scores(home: Home) -> pd.DataFrame:
    return score.run(home, PAIRS).frame


def error_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def native(home: Home, version: str, entity: str) -> History:
    return History.of_vectors(home.history, f"{entity}_graph_{version}")


@dataclass(frozen=True)
class Upgraded:
    """A home after the README's commands, and what was seen on the way."""

    home: Home
    before: pd.DataFrame  # scores of v1
    raw_swap: Exception | None  # what the ranker said when its name led to v2 itself
    back: pd.DataFrame  # scores after a rollback
    said: dict[str, str]  # by command


@pytest.fixture(scope="module")
def upgraded(small: Home, tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    """
    The README's commands, typed in a copy of the small home.

    The new version has another seed and another width than the old one: 16, because the example
    has too few jobs for more.
    """
    folder = tmp_path_factory.mktemp("upgraded")
    home = Home(folder / "home", folder / "repo")
    shutil.copytree(small.path, home.path)
    shutil.copytree(small.repo, home.repo)
    before = scores(home)
    entry = blocks("toml")[0]
    assert "width = 256" in entry
    assert "seed = 1\n" in entry
    with (home.repo / "spaces.toml").open("a") as file:
        file.write("\n" + entry.replace("width = 256", "width = 16").replace("seed = 1\n", QUICK))
    shadow, promote, score_pairs, rollback = commands(blocks("text")[0])
    said = {shadow: typed(home, shadow)}
    point(home, "graph.v2")
    raw_swap = error_of(lambda: scores(home))
    point(home, "graph.v1")
    past_the_gate = f'{promote} --force --reason "forty made-up people, two passes"'
    said[promote] = typed(home, past_the_gate)
    typed(home, score_pairs.replace("examples/pairs.csv", str(PAIRS)))
    typed(home, rollback)
    back = scores(home)
    typed(home, past_the_gate)
    return Upgraded(home, before, raw_swap, back, said)


def test_the_frozen_ranker_scores_vectors_of_the_new_model_in_the_old_space(
    upgraded, small
) -> None:
    home, before = upgraded.home, upgraded.before
    ranker = (home.ranker / "ranker.json").read_bytes()
    assert ranker == (small.ranker / "ranker.json").read_bytes()
    after = scores(home)
    assert after["score"].between(0, 1).all()
    assert not np.array_equal(after["score"], before["score"])
    for side in ENTITIES:
        (old,) = native(home, "v1", side).spaces()
        rows = read(home, side)
        assert set(rows[f"{side}_star__space"].dropna()) == {old}
        served = np.stack(rows[f"{side}_star__vector"])
        mapped = History.of_vectors(home.history, f"{side}_graph_v1_from_v2").latest()
        wanted, _ = mapped.aligned_to(rows[f"{side}_id"].tolist())
        np.testing.assert_array_equal(served.astype(np.float32), wanted)


@pytest.mark.parametrize("side", ENTITIES)
def test_online_equals_offline_for_the_mapped_service(upgraded, side) -> None:
    home = upgraded.home
    online = read(home, side)
    labels = online[[f"{side}_id"]].assign(event_timestamp=pd.Timestamp("2100-01-01", tz="UTC"))
    store = open_store(home.repo, home.path)
    service = store.get_feature_service(f"ranker_{side}")
    offline = store.get_historical_features(
        entity_df=labels, features=service, full_feature_names=True
    ).to_df()
    offline = offline.set_index(f"{side}_id").loc[online[f"{side}_id"]]
    for name in ("star", "text"):
        column = f"{side}_{name}__vector"
        got, wanted = (np.stack(frame[column]).astype(np.float32) for frame in (online, offline))
        np.testing.assert_array_equal(got, wanted)
        assert online[f"{side}_{name}__space"].tolist() == offline[f"{side}_{name}__space"].tolist()


def test_every_row_of_the_new_history_is_mapped_at_its_own_time(upgraded) -> None:
    home = upgraded.home
    for side in ENTITIES:
        map, name = compat.the_map(home, MAPPED, side)
        new, mapped = (
            pq.read_table(history.folder, schema=history.schema)
            .to_pandas()
            .sort_values([history.key, "event_timestamp"])
            for history in (
                native(home, "v2", side),
                History.of_vectors(home.history, f"{side}_graph_v1_from_v2"),
            )
        )
        assert len(set(new["event_timestamp"])) >= 3
        for column in (f"{side}_id", "event_timestamp"):
            assert new[column].tolist() == mapped[column].tolist()
        digest = name.split("@")[1]
        assert mapped["input_hash"].tolist() == [f"{digest} of {h}" for h in new["input_hash"]]
        (source,) = set(new["space"])
        np.testing.assert_allclose(
            np.stack(mapped["vector"]), map(np.stack(new["vector"]), space=source), atol=1e-6
        )
        assert (mapped["created"] > new["created"].to_numpy()).all()


def test_a_rollback_gives_every_pair_the_score_it_had(upgraded) -> None:
    pd.testing.assert_frame_equal(upgraded.back, upgraded.before)


def test_a_run_after_a_promotion_does_not_train_the_ranker_anew(upgraded, small) -> None:
    home = upgraded.home
    training_set.stage(home, home.towers()).run(home)
    receipt = rank.stage(home).run(home, force=True)
    assert receipt.facts["kept"] == {"star": "graph.v1"}
    files = [(place.ranker / "model.skops").read_bytes() for place in (home, small)]
    assert files[0] == files[1]
    assert receipt.facts["auc"].keys() == {"frozen"}


def test_the_ranker_is_registered_as_a_reader_of_what_it_was_trained_on(upgraded) -> None:
    (known,) = readers.known(upgraded.home)
    assert (known.name, known.service) == ("ranker", "ranker")
    assert known.pairs == {"star": "graph.v1", "text": "text.v1"}
    with pytest.raises(UsageError, match=r"still read(.|\n)*by ranker"):
        lifecycle.retire(upgraded.home, "graph", "v1", Why("mia"))


def test_a_second_mapping_adds_nothing_and_a_run_has_nothing_to_do(upgraded) -> None:
    home = upgraded.home
    assert compat.fit_stage(home, MAPPED).run(home).skipped
    assert compat.map_stage(home, MAPPED).run(home).skipped
    facts = compat.map_stage(home, MAPPED).run(home, force=True).facts
    assert [facts[MAPPED.view(side)]["new"] for side in ENTITIES] == [0, 0]


def test_the_table_of_a_fit_names_both_maps_and_their_figures(upgraded) -> None:
    home = upgraded.home
    printed = typed(home, "star compat report")
    facts = read_receipt(home, "fit.graph.v1_from_v2").facts
    for side in ENTITIES:
        assert f"{side}_graph_v2 → {side}_graph_v1" in printed
        assert f"{facts[side]['cosine']:.4f}" in printed
        assert facts[side]["pairs"] == len(native(home, "v2", side).latest())
        assert facts[side]["fitted_on"] < facts[side]["pairs"]
    assert "Cosine by pairs" in printed


def test_reading_the_new_space_itself_is_refused_by_the_frozen_ranker(upgraded) -> None:
    assert isinstance(upgraded.raw_swap, SpaceMismatch)
    assert "graph_v2@" in upgraded.raw_swap.got
    assert "graph_v1@" in upgraded.raw_swap.wanted


def test_a_side_is_fitted_anew_while_the_other_keeps_its_map(upgraded) -> None:
    home = upgraded.home
    before = read_receipt(home, "fit.graph.v1_from_v2").facts
    typed(home, "star compat fit job_graph_v2 job_graph_v1 --seed 5")
    after = read_receipt(home, "fit.graph.v1_from_v2").facts
    assert after["member"] == before["member"]
    assert after["job"]["map"] != before["job"]["map"]
    assert compat.fit_stage(home, MAPPED).run(home).skipped, "a run keeps what was fitted last"
    rows = History.of_vectors(home.history, "job_graph_v1_from_v2")
    facts = compat.map_stage(home, MAPPED).run(home).facts
    assert facts["job_graph_v1_from_v2"]["new"] == rows.count() // 2
    map, _ = compat.the_map(home, MAPPED, "job")
    latest, new = rows.latest(), native(home, "v2", "job").latest()
    np.testing.assert_allclose(latest.vectors_ND, map(new.vectors_ND, space=new.space), atol=1e-6)


def test_a_chain_of_maps_is_refused_with_the_direct_command() -> None:
    with pytest.raises(UsageError, match=r"chain(.|\n)*star compat fit graph v3 v1"):
        compat.ends_of(["graph", "v2_from_v3", "v1"])


@pytest.mark.parametrize(
    "words", [["graph", "v2"], ["job_graph_v2", "member_graph_v1"], ["job_graph_v2", "job_text_v1"]]
)
def test_ends_that_are_no_two_versions_of_one_signal_are_refused(words) -> None:
    with pytest.raises(UsageError, match="wanted a kind and two versions"):
        compat.ends_of(words)


def test_a_map_that_was_never_fitted_names_the_command(make_home: Callable[[str], Home]) -> None:
    home = make_home("unfitted")
    with (home.repo / "spaces.toml").open("a") as file:
        file.write(blocks("toml")[0])
    with pytest.raises(MissingStage, match="star compat fit graph v2 v1"):
        compat.map_stage(home, MAPPED).run(home)
    with pytest.raises(MissingStage, match="star graph --version v2"):
        compat.fit_stage(home, MAPPED).run(home)
    with pytest.raises(UsageError, match=r"\[mapped.graph.v2\]"):
        compat.map_stage(home, SpacePair("graph", "v2", "v1"))


def test_towers_that_cannot_train_leave_a_mapped_pair_empty_and_say_why(
    make_home, tmp_path
) -> None:
    from pipelines import encode, ingest

    home, source = make_home("untrained"), tmp_path / "source"
    with (home.repo / "spaces.toml").open("a") as file:
        file.write(blocks("toml")[0])
    shutil.copytree(Path(__file__).parents[2] / "examples" / "small_csv", source)
    clicks = source / "clicks.csv"
    clicks.write_text(clicks.read_text().splitlines()[0] + "\n")
    ingest.stage(home, source).run(home)
    encode.stage(home).run(home)
    for version in ("v1", "v2"):
        graph.stage(home, version).run(home)
    assert "not_trained" in compat.fit_stage(home, MAPPED).run(home).facts
    assert "not_trained" in compat.map_stage(home, MAPPED).run(home).facts
    rows = [History.of_vectors(home.history, MAPPED.view(side)).count() for side in ENTITIES]
    assert rows == [0, 0]
