"""Training: it learns, it repeats, it resumes, and it refuses what it cannot learn from."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch

from star_features.errors import DataError, EmptyInput, StarError
from star_features.graph import checkpoint, train
from star_features.graph.build import micros
from star_features.graph.infer import infer
from star_features.graph.labels import labels_of, order, split
from star_features.graph.losses import auc
from star_features.graph.objective import also_taken
from star_features.graph.sampler import Pairs
from star_features.graph.train import train_graph
from star_features.graph.vocabulary import read_graph, vocabulary_of


def same_weights(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def without_seconds(report):
    return [(row["loss"], row["value"]) for row in report.curve]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(world, tiny):
    one = world(rows=200)
    graph = one.graph()
    first, again = (train_graph(graph, one.interactions, tiny)[0] for _ in range(2))
    other, _ = train_graph(graph, one.interactions, tiny.model_copy(update={"seed": 1}))
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_training_leaves_the_callers_random_numbers_and_threads_alone(world, tiny):
    one = world()
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train_graph(one.graph(), one.interactions, tiny.model_copy(update={"epochs": 1}))
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()


def test_a_killed_run_ends_as_if_it_had_not_been_killed(world, tiny, tmp_path, monkeypatch):
    one = world(rows=200)
    graph = one.graph()
    whole, report = train_graph(graph, one.interactions, tiny, tmp_path / "whole")
    real, epochs = train._epoch, []

    def dying(*args):
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(train, "_epoch", dying)
    with pytest.raises(KeyboardInterrupt):
        train_graph(graph, one.interactions, tiny, tmp_path / "killed")
    resumed, again = train_graph(graph, one.interactions, tiny, tmp_path / "killed")
    assert len(epochs) == 4, "two whole epochs, one killed, one after"
    assert same_weights(whole, resumed)
    assert without_seconds(report) == without_seconds(again)


def test_a_checkpoint_of_other_labels_or_settings_or_a_broken_one_is_not_resumed(
    world, tiny, tmp_path
):
    one = world(rows=200)
    graph, tiny = one.graph(), tiny.model_copy(update={"epochs": 1})
    begin, _ = train_graph(graph, one.interactions, tiny, tmp_path / "a")
    for labels, chosen in (
        (one.interactions.slice(3), tiny),
        (one.interactions, tiny.model_copy(update={"learning_rate": 0.02})),
    ):
        folder = tmp_path / "copy"
        shutil.copytree(tmp_path / "a", folder, dirs_exist_ok=True)
        fresh, _ = train_graph(graph, labels, chosen)
        got, _ = train_graph(graph, labels, chosen, folder)
        assert same_weights(fresh, got)
    for file in (tmp_path / "a").glob("*.safetensors"):
        file.write_bytes(b"cut")
    assert same_weights(begin, train_graph(graph, one.interactions, tiny, tmp_path / "a")[0])


def test_a_trained_graph_tells_taken_from_refused_better_than_text(world, tiny):
    one = world(seed=3, members=60, jobs=45, rows=1500)
    late = np.array([at.day > 24 or at.month > 1 for at in one.interactions["at"].to_pylist()])
    past, future = (one.interactions.filter(pa.array(mask)) for mask in (~late, late))
    graph = one.graph(interactions=past)
    chosen = tiny.model_copy(update={"batch_size": 64, "epochs": 8})
    model, report = train_graph(graph, past, chosen)
    assert report.metric == "auc"
    assert report.best_value == max(row["value"] for row in report.curve)
    taken = np.asarray(future["label"], dtype=np.float32)
    score = {}
    for name, vectors in (
        ("text", {e: t.vectors_ND for e, t in one.text.items()}),
        ("graph", {e: infer(model, graph, None, e)[1] for e in ("member", "job")}),
    ):
        ends = (vectors[e][[int(k[1:]) for k in future[f"{e}_id"].to_pylist()]]
                for e in ("member", "job"))  # fmt: skip
        score[name] = auc(np.multiply(*ends).sum(axis=1), taken)
    assert score["graph"] > score["text"] + 0.02
    assert score["graph"] > 0.85


def test_without_refused_jobs_the_validation_is_a_rank(world, tiny):
    one = world(rows=300)
    taken = one.interactions.filter(pa.compute.equal(one.interactions["label"], 1))
    _, report = train_graph(one.graph(), taken.drop_columns(["label"]), tiny)
    assert report.metric == "mrr"
    assert 0 < report.best_value <= 1


def test_data_without_times_trains_on_everything_but_the_pair_itself(world, tiny, on_days):
    one = world(rows=300)
    flat = one.interactions.set_column(3, "at", on_days([0] * 300))
    graph = one.graph(interactions=flat)
    with pytest.raises(EmptyInput, match="0 taken"):
        train_graph(graph, flat, tiny)
    _, report = train_graph(graph, flat, tiny.model_copy(update={"time": "none"}))
    assert report.best_value > 0.5


def test_a_world_of_one_job_trains_and_gives_unit_vectors(world, tiny):
    one = world(jobs=1, rows=80)
    graph = one.graph()
    for labels in (one.interactions, one.interactions.drop_columns(["label"])):
        model, _ = train_graph(graph, labels, tiny)
        norm = np.linalg.norm(infer(model, graph, None, "job")[1], axis=1)
        np.testing.assert_allclose(norm, 1, atol=1e-5)


def test_too_few_taken_jobs_cannot_train_and_the_error_says_so(world, tiny):
    one = world(rows=60)
    for kept in (0, 4):
        few = one.interactions.filter(pa.compute.equal(one.interactions["label"], 1)).slice(0, kept)
        with pytest.raises(EmptyInput, match=f"(?s){kept} taken interactions .* at least 5"):
            train_graph(one.graph(), few, tiny)
    with pytest.raises(DataError, match="unknown member ids"):
        train_graph(world(members=5).graph(), one.interactions, tiny)


@pytest.mark.parametrize("bad", [1, 99])
def test_a_run_that_diverges_is_rescued_a_few_times_and_then_stops(world, tiny, monkeypatch, bad):
    one = world()
    real, calls = train._epoch, []

    def diverging(*args):
        calls.append(1)
        return {"loss": float("nan")} if len(calls) <= bad else real(*args)

    monkeypatch.setattr(train, "_epoch", diverging)
    if bad == 1:
        _, report = train_graph(one.graph(), one.interactions, tiny)
        assert report.rescues == 1
        assert len(report.curve) == tiny.epochs
    else:
        with pytest.raises(StarError, match=r"diverged 3 times.*0\.0025"):
            train_graph(one.graph(), one.interactions, tiny)


def test_training_stops_when_validation_no_longer_improves(world, tiny, monkeypatch):
    one = world()
    values = iter([0.5, 0.7, 0.6, 0.6, 0.9])
    monkeypatch.setattr(train, "_validate", lambda *_: next(values))
    chosen = tiny.model_copy(update={"epochs": 9, "patience": 2})
    _, report = train_graph(one.graph(), one.interactions, chosen)
    assert [row["value"] for row in report.curve] == [0.5, 0.7, 0.6, 0.6]
    assert (report.best_epoch, report.best_value) == (1, 0.7)


def test_a_pass_whose_loss_is_a_multiple_of_the_first_ones_has_diverged(world, tiny, monkeypatch):
    one = world()
    real, calls = train._epoch, []

    def diverging(*args):
        row = real(*args)
        calls.append(row["loss"])
        return row | {"loss": 3.1 * calls[0]} if len(calls) == 2 else row

    monkeypatch.setattr(train, "_epoch", diverging)
    _, report = train_graph(one.graph(), one.interactions, tiny)
    assert (report.rescues, len(calls)) == (1, tiny.epochs + 1)


def test_a_step_without_a_finite_gradient_is_not_taken(world, tiny, monkeypatch):
    one = world()
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(StarError, match="diverged"):
        train_graph(one.graph(), one.interactions, tiny)


def test_adaptive_training_reads_more_only_after_a_stall_and_resumes_the_same(
    world, tiny, monkeypatch, tmp_path
):
    one = world(rows=300)
    values = [0.5, 0.5, 0.9, 0.9, 0.9, 0.9]
    chosen = type(tiny)(
        **tiny.model_dump() | {"epochs": 6, "adaptive": {"start": 1}, "patience": 2}
    )

    def told(*_):
        return values[len(seen) - 1]

    real, seen = train._epoch, []
    monkeypatch.setattr(train, "_validate", told)

    def counted(*args):
        seen.append(1)
        if len(seen) == 3 and not died:
            died.append(1)
            seen.pop()
            raise KeyboardInterrupt
        return real(*args)

    died = []
    monkeypatch.setattr(train, "_epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        train_graph(one.graph(), one.interactions, chosen, tmp_path)
    resumed, report = train_graph(one.graph(), one.interactions, chosen, tmp_path)
    assert [row["raises"] for row in report.curve] == [0, 0, 1, 1, 2, 2]
    read = [row["edges"] for row in report.curve]
    assert max(read[:2]) < min(read[2:4]) <= max(read[2:4]) < min(read[4:])
    seen.clear()
    whole, _ = train_graph(one.graph(), one.interactions, chosen)
    assert same_weights(whole, resumed)


def test_labels_are_unique_and_the_taken_one_wins(world, tiny):
    one = world()
    row = one.interactions.slice(0, 1).to_pylist()[0]
    table = pa.Table.from_pylist(
        [row | {"label": 0}, row | {"label": 1, "weight": 0.5}, row | {"label": 1, "weight": 0.7}],
        one.interactions.schema,
    )
    labels, _ = labels_of(one.graph(), table, tiny)
    assert labels.taken_S.tolist() == [1]
    assert labels.weight_S.tolist() == pytest.approx([0.7])


def test_a_kinds_weight_multiplies_and_zero_leaves_it_out(world, tiny):
    one = world()
    chosen = tiny.model_copy(update={"kind_weights": {"apply": 3.0, "view": 0.0}})
    labels, _ = labels_of(one.graph(), one.interactions, chosen)
    assert set(labels.weight_S.tolist()) == {3.0}
    applied = one.interactions.filter(pa.compute.equal(one.interactions["kind"], "apply"))
    assert len(labels) == len(applied.group_by(["member_id", "job_id", "at"]).aggregate([]))


def test_validation_is_later_than_training(world, tiny):
    one = world(rows=400)
    training, held = split(*labels_of(one.graph(), one.interactions, tiny), tiny)
    assert training.seeds.at_S.max() < held.seeds.at_S.min()
    assert 0.05 < len(held) / (len(training) + len(held)) < 0.2


def test_an_epochs_order_is_every_label_once_and_near_in_time(world, tiny):
    one = world(rows=1500, members=60, jobs=45)
    labels, _ = labels_of(one.graph(), one.interactions, tiny)
    first, second = (order(labels, tiny, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(len(labels)))
    assert first.tolist() != second.tolist()
    reach = [np.ptp(first[i : i + 16]) for i in range(0, len(first) - 16, 16)]
    assert max(reach) < 6 * tiny.window * tiny.batch_size < len(labels)
    some = order(labels, tiny.model_copy(update={"labels_per_epoch": 50}), 0)
    assert len(set(some.tolist())) == 50


def test_a_job_that_a_member_took_too_is_no_negative_of_its_own(world, tiny):
    one = world()
    graph = one.graph()
    view = read_graph(graph, vocabulary_of(graph, tiny)).view
    labels, _ = labels_of(graph, one.interactions, tiny)
    batch = labels.take(np.arange(40))
    before = int(np.median(labels.seeds.at_S))
    hidden = also_taken(Pairs.of(view), batch, before)
    ever = {
        (row["member_id"], row["job_id"])
        for row, at in zip(
            one.interactions.to_pylist(), micros(one.interactions["at"]), strict=True
        )
        if row["label"] and at < before
    }
    assert 0 < len(ever) < len(Pairs.of(view).key_P)
    for i in range(40):
        for k in range(40):
            pair = (f"m{batch.seeds.member_S[i]}", f"j{batch.seeds.job_S[k] - 12}")
            same = batch.seeds.job_S[i] == batch.seeds.job_S[k]
            assert hidden[i, k] == (i != k and (pair in ever or same))


def test_a_checkpoint_is_written_beside_the_one_in_use(world, tiny, tmp_path):
    one = world()
    train_graph(one.graph(), one.interactions, tiny, tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {
        "progress.json", "weights-0.safetensors", "weights-1.safetensors",
    }  # fmt: skip
    assert checkpoint._state_of(tmp_path, "another run") is None
