"""A tower trained together with its maps into an older one, which rankers go on reading."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from star_features.errors import DataError
from star_features.graph import train
from star_features.graph.infer import infer
from star_features.graph.job_graph import FOREVER
from star_features.graph.joint import AnchorDraw, Joint, moments_of, target_of
from star_features.graph.labels import labels_of, split
from star_features.graph.settings import JointSettings
from star_features.graph.train import train_graph, train_jointly

SPACES = {"member": "member_graph_v1@old", "job": "job_graph_v1@old"}
SIDES = ("member", "job")


def same_weights(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


@pytest.fixture(scope="module")
def setting(world, tiny):
    """A graph, its labels, an old model of it, and what joint training with it needs."""
    one = world(rows=300, members=40, jobs=30)
    graph = one.graph()
    old, _ = train_graph(graph, one.interactions, tiny)
    new = tiny.model_copy(update={"seed": 1, "output": 10})

    def joint(weight=2.0, **changed):
        chosen = JointSettings(targets=("v1",), weight=weight, anchors=16, **changed)
        moments = moments_of(graph, one.interactions, new, chosen)
        return Joint(chosen, (target_of("v1", SPACES, old, graph, moments, chosen),))

    return graph, one.interactions, new, old, joint


def cosine_of(trained, graph, old):
    """Mean cosine of the trained maps' vectors to the old model's, of everyone as of now."""
    found = []
    for side in SIDES:
        weight_DE, bias_E = trained.maps[SPACES[side]]
        mapped = infer(trained.model, graph, None, side)[1] @ weight_DE + bias_E
        mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
        found.append((mapped * infer(old, graph, None, side)[1]).sum(axis=1).mean())
    return np.mean(found)


def test_at_weight_zero_the_tower_is_the_one_trained_without_old_versions(setting):
    graph, labels, new, _, joint = setting
    plain, report = train_graph(graph, labels, new)
    trained = train_jointly(graph, labels, new, joint(weight=0.0))
    assert same_weights(plain, trained.model)
    assert [row["loss"] for row in report.curve] == [row["loss"] for row in trained.report.curve]
    assert trained.maps == {}
    assert trained.report.joint is None


def test_a_larger_dial_keeps_more_of_the_old_vectors(setting):
    graph, labels, new, old, joint = setting
    longer = new.model_copy(update={"epochs": 4, "patience": 4})
    kept = [
        cosine_of(train_jointly(graph, labels, longer, joint(weight, told=0.0)), graph, old)
        for weight in (0.03, 8.0)
    ]
    assert kept[1] > kept[0] + 0.05


def test_the_maps_lead_from_the_new_width_into_the_old_spaces(setting):
    graph, labels, new, old, joint = setting
    trained = train_jointly(graph, labels, new, joint())
    assert set(trained.maps) == set(SPACES.values())
    for weight_DE, bias_E in trained.maps.values():
        assert weight_DE.shape == (new.output, old.settings.output)
        assert bias_E.shape == (old.settings.output,)
    assert trained.report.joint["targets"] == {"v1": SPACES}
    assert trained.report.joint["settings"]["weight"] == 2.0


def test_a_killed_joint_run_ends_as_if_it_had_not_been_killed(setting, tmp_path, monkeypatch):
    graph, labels, new, _, joint = setting
    whole = train_jointly(graph, labels, new, joint(), tmp_path / "whole")
    real, epochs = train._epoch, []

    def dying(*args):
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(train, "_epoch", dying)
    with pytest.raises(KeyboardInterrupt):
        train_jointly(graph, labels, new, joint(), tmp_path / "killed")
    resumed = train_jointly(graph, labels, new, joint(), tmp_path / "killed")
    assert len(epochs) == 4, "two whole epochs, one killed, one after"
    assert same_weights(whole.model, resumed.model)
    for space, (weight_DE, bias_E) in whole.maps.items():
        np.testing.assert_array_equal(weight_DE, resumed.maps[space][0])
        np.testing.assert_array_equal(bias_E, resumed.maps[space][1])


def test_a_checkpoint_of_another_dial_or_other_old_vectors_is_not_resumed(setting, tmp_path):
    graph, labels, new, _, joint = setting
    one = new.model_copy(update={"epochs": 1})
    train_jointly(graph, labels, one, joint(), tmp_path)
    old = joint().targets[0]
    first = old.snapshots[0]
    turned = replace(first, vectors={e: -v for e, v in first.vectors.items()})
    others = replace(old, snapshots=(turned, *old.snapshots[1:]))
    for changed in (joint(weight=3.0), replace(joint(), targets=(others,))):
        fresh = train_jointly(graph, labels, one, changed)
        assert same_weights(fresh.model, train_jointly(graph, labels, one, changed, tmp_path).model)


def test_old_vectors_are_taken_before_the_validation_and_later_ones_are_refused(setting):
    graph, labels, new, old, joint = setting
    training, held = split(*labels_of(graph, labels, new), new)
    moments = joint().moments
    assert max(moments) == training.seeds.at_S.max() < held.seeds.at_S.min()
    assert len(moments) == len(set(moments)) == joint().settings.snapshots
    late = [int(held.seeds.at_S.max())]
    leaking = Joint(
        joint().settings, (target_of("v1", SPACES, old, graph, late, joint().settings),)
    )
    with pytest.raises(DataError, match="later than the last label that is trained on"):
        train_jointly(graph, labels, new, leaking)


def test_an_old_vector_is_what_the_old_model_said_at_its_moment(setting):
    graph, _, _, old, joint = setting
    snapshot = joint().targets[0].snapshots[1]
    then = infer(old, graph, np.datetime64(snapshot.at, "us"), "job", snapshot.ids["job"].tolist())
    np.testing.assert_array_equal(snapshot.vectors["job"], then[1])
    assert not np.allclose(snapshot.vectors["job"], infer(old, graph, None, "job")[1])


def test_data_without_times_have_one_moment_that_sees_everything(setting):
    graph, labels, new, _, joint = setting
    timeless = new.model_copy(update={"time": "none"})
    assert moments_of(graph, labels, timeless, joint().settings) == [FOREVER]


def test_anchors_are_the_same_entities_in_every_old_version(setting):
    graph, _, _, _, joint = setting
    old = joint().targets[0]
    rng = np.random.default_rng(0)

    def reordered(snapshot, keep):
        ids, vectors = {}, {}
        for side in SIDES:
            kept = rng.permutation(len(snapshot.ids[side]))[:keep]
            ids[side], vectors[side] = snapshot.ids[side][kept], snapshot.vectors[side][kept]
        return replace(snapshot, ids=ids, vectors=vectors)

    spaces = {side: f"{side}_graph_v2@old" for side in SIDES}
    other = replace(
        old, name="v2", spaces=spaces, snapshots=tuple(reordered(s, 20) for s in old.snapshots)
    )
    drawn = AnchorDraw(graph, Joint(joint().settings, (old, other))).draw([7])
    again = AnchorDraw(graph, Joint(joint().settings, (old, other))).draw([7])
    assert len(set(drawn.seeds.member_S)) == len(drawn.seeds) == 16
    np.testing.assert_array_equal(drawn.seeds.job_S, again.seeds.job_S)
    for side in SIDES:
        np.testing.assert_array_equal(drawn.wanted[SPACES[side]], drawn.wanted[spaces[side]])
        number = joint().moments.index(int(drawn.seeds.at_S[0]))
        said = old.snapshots[number]
        ids = graph.nodes[side].ids[getattr(drawn.seeds, f"{side}_S") - graph.offset(side)]
        rows = [said.ids[side].tolist().index(key) for key in ids]
        np.testing.assert_array_equal(drawn.wanted[SPACES[side]], said.vectors[side][rows])
