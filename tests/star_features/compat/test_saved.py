"""What is written is what is read back; what was touched is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.compat.drift import SpaceStatistics, domain_of
from star_features.compat.maps import Map
from star_features.compat.saved import (
    load_domain,
    load_map,
    load_statistics,
    save_domain,
    save_map,
    save_statistics,
)
from star_features.compat.score import isotonic
from star_features.errors import ArtefactError, MissingStage

COMMAND = "star compat fit job_graph_v2 job_graph_v1"


@pytest.fixture
def fitted(world) -> Map:
    rows = world.rows(200, 5)
    scores = np.linspace(0, 1, 20)
    map = world.fit(rows, world.noisy(rows @ world.turn(5), 0.4))
    return replace(map, calibrations={"ranker": isotonic(scores, scores**2)})


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_save_and_load_is_exact(world, tmp_path_factory, width, other, seed) -> None:
    source, target = world.rows(60, width, seed), world.rows(60, other, seed + 1)
    source += 0.1 * np.arange(60)[:, None]  # in width 1 unit vectors tell nothing apart
    map = world.fit(source, target + 0.1 * np.arange(60)[:, None])
    again = load_map(save_map(map, tmp_path_factory.mktemp("maps")))
    assert again.weight_DE.tobytes() == map.weight_DE.tobytes()
    assert again.bias_E.tobytes() == map.bias_E.tobytes()
    assert again.weight_DE.dtype == np.float32
    facts = ("source", "target", "method", "strength", "scale", "receipt")
    assert [getattr(again, fact) for fact in facts] == [getattr(map, fact) for fact in facts]


def test_calibrations_travel_with_the_map(fitted: Map, tmp_path: Path) -> None:
    again = load_map(save_map(fitted, tmp_path))
    scores = np.linspace(-1, 2, 50)
    assert list(again.calibrations) == ["ranker"]
    assert (again.calibrations["ranker"](scores) == fitted.calibrations["ranker"](scores)).all()


def test_the_folder_is_named_by_spaces_and_content(fitted: Map, tmp_path: Path) -> None:
    folder = save_map(fitted, tmp_path)
    other = save_map(replace(fitted, bias_E=fitted.bias_E + 1), tmp_path)
    assert folder.name.startswith("job_graph_v2--job_graph_v1@")
    assert save_map(fitted, tmp_path) == folder != other
    assert sorted(path.name for path in folder.iterdir()) == ["map.json", "map.safetensors"]
    assert sorted(tmp_path.iterdir()) == sorted([folder, other])


def test_the_json_says_what_the_map_is(fitted: Map, tmp_path: Path) -> None:
    facts = json.loads((save_map(fitted, tmp_path) / "map.json").read_text())
    assert facts["source"] == fitted.source
    assert facts["receipt"]["pairs"] == fitted.receipt.pairs
    assert facts["receipt"]["seed"] == 0
    assert len(facts["tensors_sha256"]) == 64


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused(world, tmp_path_factory, data: st.DataObject) -> None:
    rows = world.rows(100, 3)
    folder = save_map(world.fit(rows, rows), tmp_path_factory.mktemp("maps"))
    file = folder / data.draw(st.sampled_from(["map.json", "map.safetensors"]))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1  # of a digit, a letter or a brace: never only whitespace to whitespace
    file.write_bytes(content)
    with pytest.raises(ArtefactError, match=COMMAND):
        load_map(folder)


@pytest.mark.parametrize("name", ["map.json", "map.safetensors"])
@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(fitted: Map, tmp_path: Path, name: str, left: float) -> None:
    file = save_map(fitted, tmp_path) / name
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(ArtefactError, match=COMMAND):
        load_map(file.parent)


def test_tensors_of_another_map_are_refused(fitted: Map, tmp_path: Path) -> None:
    folder = save_map(fitted, tmp_path)
    other = save_map(replace(fitted, bias_E=fitted.bias_E * 2), tmp_path)
    shutil.copy(other / "map.safetensors", folder)
    with pytest.raises(ArtefactError, match="truncated or edited"):
        load_map(folder)


def test_a_map_without_its_tensors_is_refused(fitted: Map, tmp_path: Path) -> None:
    folder = save_map(fitted, tmp_path)
    (folder / "map.safetensors").unlink()
    with pytest.raises(ArtefactError, match="not there"):
        load_map(folder)


def test_a_map_that_was_never_fitted_is_asked_for_by_command(tmp_path: Path) -> None:
    with pytest.raises(MissingStage, match=COMMAND):
        load_map(tmp_path / "job_graph_v2--job_graph_v1@000000000000")


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_space_made_anew_under_the_same_name_is_refused(
    fitted: Map, tmp_path: Path, end: str
) -> None:
    folder = save_map(fitted, tmp_path)
    today = getattr(fitted, end).split("@")[0] + "@ffffffffffff"
    assert load_map(folder, source=fitted.source, target=fitted.target).source == fitted.source
    with pytest.raises(ArtefactError, match=rf"(?s){end} is.*ffffffffffff now.*{COMMAND}"):
        load_map(folder, **{end: today})


def test_statistics_and_domain_come_back_exactly(world, tmp_path: Path) -> None:
    rows = world.rows(300, 4)
    rows[3] = 0
    statistics = SpaceStatistics(world.new, 4)
    statistics.add(rows)
    again = load_statistics(save_statistics(statistics, tmp_path))
    assert (again.moments.scatter_DD == statistics.moments.scatter_DD).all()
    assert (again.moments.mean_D == statistics.moments.mean_D).all()
    assert (again.count, again.zero_rows, again.space) == (299, 1, world.new)
    assert again.lengths == statistics.lengths
    domain = domain_of(statistics, rows)
    other = load_domain(save_domain(domain, tmp_path))
    assert (other.outside(rows) == domain.outside(rows)).all()


def test_statistics_without_any_row_come_back_too(world, tmp_path: Path) -> None:
    folder = save_statistics(SpaceStatistics(world.new, 2), tmp_path)
    assert load_statistics(folder).lengths == SpaceStatistics(world.new, 2).lengths
