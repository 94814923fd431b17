"""Batches on several cores at once: the same results, in order, and no trace left behind."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from star_features.text import parallel
from star_features.text.encoder import TextEncoder


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_every_worker_has_one_thread_and_the_caller_keeps_its_own() -> None:
    together = threading.Barrier(3, timeout=20)

    def work(item: int) -> tuple[int, int]:
        together.wait()
        return item, torch.get_num_threads()

    assert list(parallel.run(work, [4, 5, 6], workers=3)) == [(4, 1), (5, 1), (6, 1)]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_batch_alone_has_all_threads() -> None:
    assert list(parallel.run(lambda _: torch.get_num_threads(), [0], workers=3)) == [3]


@pytest.mark.usefixtures("three_threads")
def test_what_goes_wrong_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel.run(lambda item: 1 // item, [1, 0], workers=2))
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_several_cores_give_the_vectors_of_one(
    mistral: TextEncoder, load: Callable[..., TextEncoder]
) -> None:
    texts = [f"the {first} {then}" for first in ("nurse", "data") for then in ("reads", "of", "in")]
    together = load(token_budget=1).encode(texts, "job").vectors_ND
    alone = np.concatenate([mistral.encode([text], "job").vectors_ND for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-5)
