"""A whole training on a small world: it learns, resumes to the bit, and stops when it does harm."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from star_features.errors import UsageError
from star_features.text import backbone
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings, train
from star_features.text.training.frozen import Frozen
from star_features.text.training.pairs import Pairs
from star_features.text.training.tower import Tower, attention_names, principal_axes
from star_features.text.training.train import Run, Trained, rate, train_text
from star_features.text.weights import locate

Quick = Callable[..., TrainSettings]


def state(trained: Trained) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trained.tower.trained().items()}


def same(one: Trained, another: Trained) -> bool:
    wanted = state(another)
    return all(torch.equal(value, wanted[name]) for name, value in state(one).items())


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="learning_rat\n"):
        TrainSettings(learning_rat=1e-3)  # type: ignore[call-arg]


def test_training_learns_who_takes_which_job_at_every_width(trained: Trained) -> None:
    report = trained.report
    assert report.best_auc > max(0.8, report.frozen_auc + 0.2)
    assert report.stopped is None
    assert [row["width"] for row in report.widths] == [8, 16, 32]
    assert all(row["tuned"] > 0.8 for row in report.widths)
    assert report.widths[-1]["tuned"] == pytest.approx(report.best_auc)
    assert report.widths[-1]["frozen_cut"] == pytest.approx(report.frozen_auc)


def test_the_papers_loss_learns_it_too(pairs: Pairs, base: EncoderSettings, quick: Quick) -> None:
    report = train_text(pairs, base, quick(loss="bce+triplet", max_steps=30)).report
    assert report.best_auc > max(0.8, report.frozen_auc + 0.2)


def test_before_the_first_step_the_tower_ranks_as_the_frozen_model(
    prepared: Callable[..., Run],
) -> None:
    run = prepared()
    ids = run.frozen.ids["member"][:20]
    with torch.no_grad():
        made = torch.cat([run.embed([each], np.array([False])) for each in ids])
    frozen = TextEncoder.load(run.frozen.encoder)
    wanted = frozen.encode(list(run.training.member_texts[:20]), "member").vectors_ND
    made_ND = torch.nn.functional.normalize(made, dim=1).numpy()
    np.testing.assert_allclose(made_ND @ made_ND.T, wanted @ wanted.T, atol=2e-5)


@examples(deadline=None)
@given(st.integers(0, 20))
def test_principal_axes_are_a_rotation_whose_first_coordinates_hold_the_most(seed: int) -> None:
    vectors_ND = np.random.default_rng(seed).normal(size=(9, 4)).astype(np.float32)
    axes_DD = principal_axes(vectors_ND)
    np.testing.assert_allclose(axes_DD @ axes_DD.T, np.eye(4), atol=1e-5)
    held_D = np.square(vectors_ND @ axes_DD.T).sum(axis=0)
    assert (np.diff(held_D) <= 1e-4).all()


def test_the_same_seed_gives_the_same_bits_and_another_one_others(
    pairs: Pairs, base: EncoderSettings, quick: Quick
) -> None:
    one = train_text(pairs, base, quick())
    assert same(one, train_text(pairs, base, quick()))
    assert not same(one, train_text(pairs, base, quick(seed=1)))


@pytest.mark.parametrize("killed_at", [1, 5])
def test_a_killed_run_goes_on_and_ends_the_same_to_the_bit(
    pairs: Pairs,
    base: EncoderSettings,
    quick: Quick,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: int,
) -> None:
    settings = quick(lora_dropout=0.2, loss="bce+triplet", max_steps=7)
    wanted = train_text(pairs, base, settings)
    honest, done = train.gradients, []

    def until_killed(run: Run, batch: object, tokens: int, step: int) -> float:
        done.append(step)
        if len(done) == killed_at + 1:
            raise KeyboardInterrupt
        return honest(run, batch, tokens, step)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "gradients", until_killed)
    with pytest.raises(KeyboardInterrupt):
        train_text(pairs, base, settings, tmp_path)
    got = train_text(pairs, base, settings, tmp_path)
    assert done[killed_at + 1] == killed_at // 3 * 3  # goes on at the last validation
    assert same(got, wanted)
    assert got.report == wanted.report


def test_a_checkpoint_of_other_settings_is_not_taken(
    pairs: Pairs, base: EncoderSettings, quick: Quick, tmp_path: Path
) -> None:
    train_text(pairs, base, quick(), tmp_path)
    wanted = train_text(pairs, base, quick(learning_rate=1e-3))
    assert same(train_text(pairs, base, quick(learning_rate=1e-3), tmp_path), wanted)


def test_a_run_below_the_frozen_model_stops_and_gives_the_untouched_weights_back(
    table: pa.Table, base: EncoderSettings, quick: Quick
) -> None:
    labels = table["label"].to_pylist()
    turned = [1 - label if row < 180 else label for row, label in enumerate(labels)]
    lies = Pairs.of(table.set_column(2, "label", [turned]))
    settings = quick(max_steps=60, validate_every=2, patience=2)
    report = (trained := train_text(lies, base, settings)).report
    assert "below the frozen model's" in (report.stopped or "")
    assert report.steps < 60
    best = max(report.curve, key=lambda row: row["auc"])
    assert (report.best_step, report.best_auc) == (best["step"], best["auc"])
    assert report.widths[-1]["tuned"] == pytest.approx(best["auc"])
    assert trained.report.best_auc >= report.frozen_auc - 0.01


def test_a_loss_that_is_not_finite_stops_and_moves_no_weight(
    pairs: Pairs, base: EncoderSettings, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = train.gradients

    def breaks(run: Run, batch: object, tokens: int, step: int) -> float:
        loss = honest(run, batch, tokens, step)  # type: ignore[arg-type]
        return float("nan") if step == 4 else loss

    wanted = train_text(pairs, base, quick(max_steps=6))
    monkeypatch.setattr(train, "gradients", breaks)
    got = train_text(pairs, base, quick(max_steps=6))
    assert got.report.stopped == "step 5: the loss or its gradient is not finite"
    assert got.report.curve == wanted.report.curve[:2]


def test_out_of_memory_halves_the_micro_batch_and_the_weights_are_the_same(
    pairs: Pairs, base: EncoderSettings, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = train_text(pairs, base, quick())
    honest = Tower.forward

    def small_machine(tower: Tower, packed: object, is_job_N: torch.Tensor) -> torch.Tensor:
        if len(packed.ids_T) > 60 and torch.is_grad_enabled():  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("out of memory")
        return honest(tower, packed, is_job_N)  # type: ignore[arg-type]

    monkeypatch.setattr(Tower, "forward", small_machine)
    got = train_text(pairs, base, quick())
    assert (got.report.micro_tokens, got.report.halvings) == (50, 2)
    for name, value in state(got).items():
        torch.testing.assert_close(value, state(wanted)[name], rtol=0, atol=2e-3)


def test_texts_that_were_cut_are_counted_on_their_side(
    pairs: Pairs, base: EncoderSettings, quick: Quick
) -> None:
    short = base.model_copy(update={"job": base.job.model_copy(update={"max_tokens": 4})})
    frozen = Frozen.of(TextEncoder.load(short), pairs, pairs, quick())
    longer = sum(len(("for " + text).split()) > 3 for text in pairs.job_texts)  # and the end
    assert frozen.truncated == {"member": 0, "job": longer}
    assert max(map(len, frozen.ids["job"])) == 4


def test_query_key_and_value_are_found_by_the_names_of_the_architecture(
    mistral_folder: Path,
) -> None:
    mistral, minilm = (backbone.load(f, None) for f in (mistral_folder, locate("all-MiniLM-L6-v2")))
    assert attention_names(mistral) == ("q_proj", "k_proj", "v_proj")
    assert attention_names(minilm) == ("query", "key", "value")
    with pytest.raises(UsageError, match="lin_a"):
        attention_names(torch.nn.ModuleDict({"lin_a": torch.nn.Linear(2, 2)}))


def test_only_the_adapter_and_the_head_are_trained(prepared: Callable[..., Run]) -> None:
    names = prepared().tower.trained()
    assert {name.split(".")[-3] for name in names if "lora" in name} == {"lora_A", "lora_B"}
    assert [name for name in names if "lora" not in name] == ["heads.member"]
    assert not any("lora" not in name for name in prepared(head="none").tower.trained())


def test_bfloat16_without_units_for_it_trains_in_float32_and_says_so(
    pairs: Pairs, base: EncoderSettings, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = train_text(pairs, base, quick(max_steps=2))
    monkeypatch.setattr(train, "multiplies_bfloat16", lambda _: False)
    got = train_text(pairs, base, quick(max_steps=2, precision="bfloat16"))
    assert "bfloat16" in got.report.notes[0]
    assert same(got, wanted)


def test_with_bfloat16_the_trained_weights_stay_float32(
    prepared: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "multiplies_bfloat16", lambda _: True)
    run = prepared(precision="bfloat16")
    assert {p.dtype for p in run.tower.trained().values()} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in run.tower.parameters()}
    assert run.embed(run.frozen.ids["job"][:3], np.ones(3, dtype=bool)).isfinite().all()


@examples(deadline=None)
@given(
    st.integers(1, 60),
    st.sampled_from(["cosine", "linear"]),
    st.floats(0, 0.9),
)
def test_the_step_size_rises_over_the_warm_up_and_falls_from_full_towards_zero(
    steps: int, schedule: str, warm_up: float
) -> None:
    settings = TrainSettings(schedule=schedule, warm_up=warm_up)  # type: ignore[arg-type]
    rates = [rate(settings, step, steps) for step in range(steps)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(1)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()


def test_a_cosine_is_at_half_in_the_middle_and_above_the_line_before_it() -> None:
    cosine, line = (TrainSettings(schedule=s, warm_up=0) for s in ("cosine", "linear"))
    assert rate(cosine, 5, 10) == pytest.approx(0.5) == rate(line, 5, 10)
    assert rate(cosine, 10, 10) == pytest.approx(0) == rate(line, 10, 10)
    assert rate(cosine, 2, 10) > rate(line, 2, 10) == pytest.approx(0.8)


def test_one_short_training_of_minilm_runs(table: pa.Table, quick: Quick) -> None:
    some = Pairs.of(table.slice(0, 40))
    settings = quick(max_steps=2, effective_batch=8, micro_tokens=200, learning_rate=1e-3)
    report = train_text(some, EncoderSettings(), settings).report
    assert report.steps == 2
    assert report.targets == ["key", "query", "value"]
    assert report.parameters == 6 * 3 * 2 * 4 * 384 + 384 * 384
