"""Gradient caching gives the gradients of the plain large batch, whatever the micro-batch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from star_features.text.training.pairs import batch_of
from star_features.text.training.train import Run, gradients

Prepared = Callable[..., Run]
WHOLE = 10_000


def gradient(run: Run, tokens: int, step: int = 0, pairs: int = 48) -> tuple[float, torch.Tensor]:
    """Loss and all gradients of one batch, in one line."""
    loss = gradients(run, batch_of(run.training, np.arange(pairs)), tokens, step)
    grads = [p.grad for p in run.weights.values() if p.grad is not None]
    assert grads
    return loss, torch.cat([grad.flatten() for grad in grads])


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("loss", ["contrastive", "bce+triplet"])
@pytest.mark.parametrize("tokens", [1, 40])
def test_cached_gradients_equal_those_of_the_whole_batch(
    prepared: Prepared, loss: str, tokens: int
) -> None:
    run = prepared(loss=loss)
    plain_loss, wanted = gradient(prepared(loss=loss, gradient_cache=False), WHOLE)
    cached_loss, got = gradient(run, tokens)
    assert cached_loss == pytest.approx(plain_loss, rel=1e-5)
    assert relative_error(got, wanted) < 1e-4
    # And they are no constant: half the batch has others.
    assert relative_error(gradient(run, tokens, pairs=24)[1], wanted) > 1e-2


def test_micro_batches_without_the_cache_are_one_graph_too(prepared: Prepared) -> None:
    run = prepared(gradient_cache=False)
    assert relative_error(gradient(run, 40)[1], gradient(run, WHOLE)[1]) < 1e-4


def test_dropout_is_the_same_in_both_passes_and_another_in_the_next_step(
    prepared: Prepared,
) -> None:
    settings = {"lora_dropout": 0.4}
    _, wanted = gradient(prepared(**settings, gradient_cache=False), 40, step=3)
    run = prepared(**settings)
    assert relative_error(gradient(run, 40, step=3)[1], wanted) < 1e-4
    assert relative_error(gradient(run, 40, step=4)[1], wanted) > 1e-2


def test_gradient_checkpointing_changes_no_gradient_and_computes_layers_again(
    prepared: Prepared,
) -> None:
    run, calls = prepared(gradient_checkpointing=True), []
    layer = next(m for n, m in run.tower.named_modules() if n.endswith("layers.0.mlp"))
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    _, wanted = gradient(prepared(), WHOLE)
    assert relative_error(gradient(run, WHOLE)[1], wanted) < 1e-4
    assert len(calls) == 2  # once forward, once more going back
