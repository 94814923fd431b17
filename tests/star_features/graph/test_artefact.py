"""A model as a folder: what is written is what is read back, or an error."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from star_features.errors import ArtefactError, DataError
from star_features.files import read_json
from star_features.graph.artefact import load_model, read_manifest, save_model
from star_features.graph.dgl_graph import dgl, require_int64
from star_features.graph.infer import infer
from star_features.graph.train import train_graph


@pytest.fixture(scope="module")
def trained(world, tiny):
    one = world()
    graph = one.graph()
    return graph, *train_graph(graph, one.interactions, tiny.model_copy(update={"epochs": 1}))


def test_a_saved_model_gives_the_same_vectors_bit_for_bit(trained, tmp_path):
    graph, model, report = trained
    save_model(tmp_path, model, report)
    loaded, read = load_model(tmp_path)
    for entity in ("member", "job"):
        np.testing.assert_array_equal(
            infer(model, graph, None, entity)[1], infer(loaded, graph, None, entity)[1]
        )
    assert read == report
    assert loaded.settings == model.settings


def test_the_manifest_holds_settings_seed_and_the_ids_checksum(trained, tmp_path):
    graph, model, report = trained
    manifest = save_model(tmp_path, model, report)
    assert manifest == read_manifest(tmp_path)
    assert manifest["ids"] == graph.checksum
    assert manifest["settings"]["seed"] == 0
    assert save_model(tmp_path / "again", model, report) == manifest


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json", "report.json"])
def test_a_changed_or_missing_file_is_refused(trained, tmp_path, name):
    _, model, report = trained
    save_model(tmp_path, model, report)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtefactError, match="SHA-256"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(ArtefactError, match="no file"):
        load_model(tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="star graph"):
        load_model(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtefactError, match="no JSON"):
        load_model(tmp_path)
    (tmp_path / "manifest.json").write_text('{"layout": 99}')
    with pytest.raises(ArtefactError, match="layout 99"):
        load_model(tmp_path)


def test_the_vocabulary_is_readable_json(trained, tmp_path):
    _, model, report = trained
    save_model(tmp_path, model, report)
    assert read_json(tmp_path / "vocabulary.json")["ids"]["skills"] == ["all", "s0", "s1", "s2"]


def test_an_int32_dgl_graph_is_refused():
    with pytest.raises(DataError, match=r"int32.*\n.*int64"):
        require_int64(dgl.graph(([0], [1]), idtype=torch.int32))


def test_importing_the_package_or_building_a_graph_loads_neither_torch_nor_dgl():
    code = (
        "import sys, star_features.graph, star_features.graph.build, star_features.graph.settings;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'dgl', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
