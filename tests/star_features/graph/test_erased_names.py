"""A model forgets the name and the row of an erased id, and keeps meaning what it meant."""

import numpy as np
import pytest

from star_features.erasure.documents import forget_names
from star_features.erasure.subject import Subject
from star_features.files import read_json
from star_features.graph.artefact import identity_of, load_model, read_manifest, save_model
from star_features.graph.infer import infer
from star_features.graph.train import train_graph

M3 = Subject("member", frozenset({"m3"}))


@pytest.fixture(scope="module")
def graph(world):
    return world().graph()


@pytest.fixture
def folder(graph, world, tiny, tmp_path):
    """A model with an embedding of every member's id."""
    settings = tiny.model_copy(update={"epochs": 1, "use_ids": True})
    save_model(tmp_path, *train_graph(graph, world().interactions, settings))
    return tmp_path


def vectors(folder, graph):
    ids, vectors_ND = infer(load_model(folder)[0], graph, None, "member")
    return dict(zip(ids.tolist(), vectors_ND, strict=True))


def test_the_row_of_an_erased_id_is_zero_and_every_other_weight_as_before(folder, graph):
    before = load_model(folder)[0].state_dict()
    assert forget_names(folder, M3, {}) == {"id embeddings": 1}
    model, _ = load_model(folder)
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    (name,) = changed
    place = before[name].ne(model.state_dict()[name]).any(dim=1).nonzero().flatten().tolist()
    assert len(before[name]) == 12 + 1
    assert place == [graph.nodes["member"].ids.tolist().index("m3") + 1]
    assert not model.state_dict()[name][place].any()


def test_the_space_keeps_its_identity_and_the_name_is_gone_from_every_file(folder):
    before = identity_of(read_manifest(folder))
    forget_names(folder, M3, {"skills": ["s1"], "place": ["Oslo"]})
    assert identity_of(read_manifest(folder)) == before
    assert read_manifest(folder)["files"]["weights.safetensors"] != before
    vocabulary = read_json(folder / "vocabulary.json")
    assert "m3" not in vocabulary["ids"]["member"]
    assert "m4" in vocabulary["ids"]["member"]
    assert "s1" not in vocabulary["ids"]["skills"]
    assert "Oslo" not in vocabulary["categories"]["member"]["place"]
    assert b"m3" not in (folder / "vocabulary.json").read_bytes()


def test_who_is_met_again_under_an_erased_id_reads_as_somebody_new(folder, graph):
    forget_names(folder, M3, {})
    model = load_model(folder)[0]
    assert "m3" not in model.vocabulary.ids["member"]
    assert np.isfinite(vectors(folder, graph)["m3"]).all()


def test_forgetting_again_changes_nothing(folder):
    forget_names(folder, M3, {"skills": ["s1"]})
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert forget_names(folder, M3, {"skills": ["s1"]}) == {}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.parametrize("kept", range(4))
def test_killed_at_any_write_the_same_call_finishes_it(folder, monkeypatch, kept):
    """Of its four renames the first `kept` happen."""
    renames = iter([True] * kept)
    real = type(folder).replace

    def one_more(path, target):
        if not next(renames, False):
            raise KeyboardInterrupt
        return real(path, target)

    def os_one_more(path, target):
        return one_more(type(folder)(path), target)

    with monkeypatch.context() as patched:
        patched.setattr(type(folder), "replace", one_more)
        patched.setattr("star_features.files.os.replace", os_one_more)
        with pytest.raises(KeyboardInterrupt):
            forget_names(folder, M3, {})
    assert forget_names(folder, M3, {}) == {"id embeddings": 1}
    model, _ = load_model(folder)
    assert "m3" not in model.vocabulary.ids["member"]


def test_a_folder_that_is_no_graph_model_is_left_alone(tmp_path):
    (tmp_path / "vocabulary.json").write_text("[]")
    assert forget_names(tmp_path, M3, {}) == {}
