"""A graph version trained together with its maps into an older one, as spaces.toml asks for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines import compat, graph
from pipelines.home import Home
from pipelines.joint import trained_weight
from pipelines.receipts import Receipt
from star_features.catalogue import ENTITIES, SpacePair
from star_features.errors import MissingStage, UsageError
from star_features.store.history import History

MAPPED = SpacePair("graph", "v1", "v2")
ENTRY = """
[graph.v2]
width = 14
text = "v1"
[graph.v2.network]
seed = 1
hidden = 16
heads = 2
epochs = 2
labels_per_epoch = 200
batch_size = 32
[graph.v2.compat]
targets = ["v1"]
weight = 2.0
[mapped.graph.v1]
from = "v2"
"""


def copied(small: Home, folder: Path, entry: str) -> Home:
    home = Home(folder / "home", folder / "repo")
    shutil.copytree(small.path, home.path)
    shutil.copytree(small.repo, home.repo)
    with (home.repo / "spaces.toml").open("a") as file:
        file.write(entry)
    return home


@dataclass(frozen=True)
class Trained:
    """A home whose v2 was trained together with maps into v1, and the maps' receipt."""

    home: Home
    fit: Receipt


@pytest.fixture(scope="module")
def trained(small: Home, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = copied(small, tmp_path_factory.mktemp("joint"), ENTRY)
    assert "graph.v1" in graph.stage(home, "v2").after
    graph.stage(home, "v2").run(home)
    return Trained(home, compat.fit_stage(home, MAPPED).run(home))


def test_the_saved_maps_are_ordinary_ones_of_method_joint(trained) -> None:
    for side in ENTITIES:
        fact = trained.fit.facts[side]
        assert fact["method"] == "joint"
        map, name = compat.the_map(trained.home, MAPPED, side)
        assert name == fact["map"]
        assert map.method == "joint"
        (old,) = History.of_vectors(trained.home.history, f"{side}_graph_v1").spaces()
        assert map.target == old
        assert map.weight_DE.shape[0] == 14
        trained_DE = trained_weight(trained.home, MAPPED, old)
        assert trained_DE.shape == map.weight_DE.shape
        assert not np.allclose(trained_DE, map.weight_DE), "refitted on served vectors"
    assert (
        compat.map_stage(trained.home, MAPPED)
        .run(trained.home)
        .facts["job_graph_v1_from_v2"]["rows"]
    )


def test_the_model_remembers_its_dial_and_another_one_is_refused(trained) -> None:
    home = trained.home
    assert graph.train(home, "v2")["joint"]["settings"]["weight"] == 2.0
    spaces = home.repo / "spaces.toml"
    before = spaces.read_text()
    for changed in (("weight = 2.0", "weight = 3.0"), ("weight = 2.0", "weight = 0.0")):
        spaces.write_text(before.replace(*changed))
        with pytest.raises(UsageError, match="--retrain"):
            graph.train(home, "v2")
    spaces.write_text(before)
    graph.train(home, "v2")


def test_at_weight_zero_the_maps_are_fitted_afterwards(small, tmp_path) -> None:
    home = copied(small, tmp_path, ENTRY.replace("weight = 2.0", "weight = 0.0"))
    assert "graph.v1" not in graph.stage(home, "v2").after
    graph.stage(home, "v2").run(home)
    facts = compat.fit_stage(home, MAPPED).run(home).facts
    assert {facts[side]["method"] for side in ENTITIES} <= {"ridge", "procrustes"}


def test_without_the_older_model_the_command_that_trains_it_is_named(small, tmp_path) -> None:
    home = copied(small, tmp_path, ENTRY)
    shutil.rmtree(home.model("graph_v1"))
    with pytest.raises(MissingStage, match="star graph --version v1"):
        graph.train(home, "v2")
