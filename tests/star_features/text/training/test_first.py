"""The head alone, on frozen vectors: it learns, keeps its best pass, and is not learnt twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings, frozen, train
from star_features.text.training.first import pairs_to_read
from star_features.text.training.pairs import Pairs
from star_features.text.training.tower import Heads
from star_features.text.training.train import train_text

Quick = Callable[..., TrainSettings]
ALONE = {
    "loss": "bce+triplet",
    "epochs": 0,
    "first_epochs": 20,
    "first_batch": 48,
    "first_rate": 2e-2,
}


def test_a_head_a_side_learns_alone_and_no_weight_of_the_backbone_moves(
    pairs: Pairs, base: EncoderSettings, quick: Quick
) -> None:
    trained = train_text(pairs, base, quick(**ALONE, head="sides"))
    report = trained.report
    assert report.best_auc > max(0.8, report.frozen_auc + 0.2)
    assert (report.steps, report.best_step) == (0, 0)
    assert report.head_curve[0]["auc"] == pytest.approx(report.frozen_auc)
    assert len(report.head_curve) == 21
    assert report.curve[0]["auc"] == pytest.approx(max(row["auc"] for row in report.head_curve))
    moved = {name for name, p in trained.tower.trained().items() if "lora_B" in name and p.any()}
    assert moved == set()


def test_passes_that_do_harm_leave_the_principal_axes_in_place(
    table: pa.Table, base: EncoderSettings, quick: Quick
) -> None:
    labels = table["label"].to_pylist()
    turned = [1 - label if row < 180 else label for row, label in enumerate(labels)]
    lies = Pairs.of(table.set_column(2, "label", [turned]))
    report = train_text(lies, base, quick(**ALONE, head="sides")).report
    assert report.head_curve[-1]["auc"] < report.frozen_auc - 0.1
    assert report.curve[0]["auc"] == pytest.approx(report.frozen_auc, abs=0.02)


def test_each_text_goes_through_the_head_of_its_side() -> None:
    heads = Heads(np.eye(3, dtype=np.float32), "sides")
    heads.job.data *= 2
    out_ND = heads(torch.ones(2, 3), torch.tensor([True, False]))
    assert out_ND.tolist() == [[2, 2, 2], [1, 1, 1]]
    shared = Heads(np.eye(3, dtype=np.float32) * 3, "shared")
    assert shared(torch.ones(2, 3), torch.tensor([True, False])).unique().tolist() == [3]
    assert set(dict(shared.named_parameters())) == {"member"}
    none = Heads(np.eye(3, dtype=np.float32), "none")
    assert none(torch.ones(1, 3), torch.tensor([True])).tolist() == [[1, 1, 1]]
    assert not list(none.parameters())


def test_the_newest_pairs_are_read_and_none_where_the_head_does_not_learn_alone(
    pairs: Pairs,
) -> None:
    some = pairs_to_read(pairs, TrainSettings(first_pairs=5))
    assert some is not None
    assert some.member_N.tolist() == pairs.member_N[-5:].tolist()
    assert pairs_to_read(pairs, TrainSettings(head="none")) is None
    assert pairs_to_read(pairs, TrainSettings(first_epochs=0)) is None


def test_a_run_that_was_killed_after_the_head_encodes_nothing_again_and_ends_the_same(
    pairs: Pairs,
    base: EncoderSettings,
    quick: Quick,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = quick(**ALONE | {"epochs": 1, "max_steps": 2}, head="sides")
    wanted = train_text(pairs, base, settings)
    honest = train.gradients

    def killed(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "gradients", killed)
    monkeypatch.setattr(frozen, "CHUNK", 50)
    with pytest.raises(KeyboardInterrupt):
        train_text(pairs, base, settings, tmp_path)
    assert len(list(tmp_path.glob("frozen-*.safetensors"))) > 2
    monkeypatch.setattr(train, "gradients", honest)
    monkeypatch.setattr(frozen, "_chunk", killed)
    got = train_text(pairs, base, settings, tmp_path)
    assert got.report == wanted.report
    for name, value in got.tower.trained().items():
        assert torch.equal(value, wanted.tower.trained()[name])


def test_vectors_of_other_texts_are_not_taken_for_these(
    base: EncoderSettings, tmp_path: Path
) -> None:
    encoder = TextEncoder.load(base)
    one = frozen._vectors(encoder, ["a nurse"], "job", tmp_path)
    another = frozen._vectors(encoder, ["a carpenter"], "job", tmp_path)
    again = frozen._vectors(encoder, ["a nurse"], "job", tmp_path)
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, another)
    assert not np.allclose(one, frozen._vectors(encoder, ["a nurse"], "member", tmp_path))
