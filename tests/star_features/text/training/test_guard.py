"""When a training is stopped, and when it must not be; and what memory's end does."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from star_features.errors import StarError
from star_features.text.training import TrainSettings
from star_features.text.training.guard import swing, verdict
from star_features.text.training.room import Room

SETTINGS = TrainSettings(patience=2, below=0.01, oscillation=0.5, oscillation_steps=4)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(loss: float) -> None:
    assert "step 2" in (verdict([1.0, loss], [0.6], 0.6, SETTINGS) or "")


@pytest.mark.parametrize(
    ("aucs", "stops"),
    [
        ([0.58, 0.58], True),
        ([0.58, 0.595], False),  # within the allowance of .01
        ([0.58, 0.58, 0.70], False),  # recovered
        ([0.70, 0.58], False),  # once is not in a row
        ([math.nan, math.nan], True),
    ],
)
def test_validations_below_the_frozen_model_in_a_row_stop(aucs: list[float], stops: bool) -> None:
    assert bool(verdict([1.0], aucs, 0.6, SETTINGS)) == stops


def test_a_loss_that_jumps_up_and_down_stops() -> None:
    jumps = [1.0] * 4 + [1.0, 2.0, 1.0, 2.0, 1.0]
    assert swing(jumps, 4) == 1.0
    assert "oscillates" in (verdict(jumps, [0.7], 0.6, SETTINGS) or "")
    assert verdict([1.0] * 4 + [1.0, 1.4, 1.0, 1.4, 1.0], [0.7], 0.6, SETTINGS) is None


def test_the_first_steps_are_not_judged() -> None:
    assert swing([1.0, 9.0, 1.0, 9.0, 1.0, 9.0, 1.0], 4) == 0


@examples(deadline=None)
@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=30))
def test_a_loss_that_only_falls_is_never_called_oscillating(losses: list[float]) -> None:
    assert verdict(sorted(losses, reverse=True), [0.7], 0.6, SETTINGS) is None


def test_out_of_memory_halves_until_the_work_fits() -> None:
    def needs_at_most_30(tokens: int) -> int:
        if tokens > 30:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tokens

    room = Room(200)
    assert room.within(needs_at_most_30) == 25
    assert (room.tokens, room.halvings) == (25, 3)


def test_a_cpu_says_out_of_memory_in_words_and_any_other_error_is_not_ours() -> None:
    room, calls = Room(8), iter(["DefaultCPUAllocator: can't allocate memory", "shapes differ"])

    def fails(tokens: int) -> None:
        raise RuntimeError(next(calls))

    with pytest.raises(RuntimeError, match="shapes differ"):
        room.within(fails)
    assert room.tokens == 4


def test_a_single_token_that_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    def never(_: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(StarError, match="gradient_checkpointing"):
        Room(3).within(never)
