"""Memory: what is freed goes back at once, and out of memory halves the micro-batch."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from star_features.errors import StarError

T = TypeVar("T")
M_MMAP_THRESHOLD, LARGE = -3, 1 << 20
CPU_WORDS = ("can't allocate memory", "not enough memory")


@dataclass
class Room:
    """How many tokens a micro-batch may have, and how often that had to be halved."""

    tokens: int
    halvings: int = 0

    def within(self, work: Callable[[int], T]) -> T:
        """`work(tokens)`, with half the tokens as often as memory runs out.

        Raises:
            StarError: a single token at a time is still too much.
        """
        while True:
            try:
                return work(self.tokens)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the error's traceback would hold the tensors in memory.
            self._halve()

    def _halve(self) -> None:
        if self.tokens == 1:
            raise StarError(
                "one text alone does not fit into memory.\n"
                "Wanted less: lower max_tokens, or set gradient_checkpointing = true."
            )
        self.tokens //= 2
        self.halvings += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says so, by class (a GPU) or in words (a CPU)."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(word in words for word in CPU_WORDS)


def hand_back_large_blocks() -> bool:
    """Let the memory of a large tensor go back to the system when it is freed; True where it does.

    Left alone, glibc raises the size from which a block is mapped by itself with every such block
    that is freed, up to 32 MiB. Then all activations lie in one heap whose holes fit no later
    micro-batch: one of 2,048 tokens of MiniLM took 468 MiB and the second one 61 more, against
    271 and 4 with this. For the whole process, and for good; there is nothing to do elsewhere.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, LARGE))
