"""
Texts to token ids: the prompt before, the cut counted, the end-of-text token where wanted.

Shapes: T tokens of all texts of a batch together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLICE = 4096  # texts tokenized at once: an Encoding holds ten times what we keep of it


@dataclass(frozen=True)
class Tokenizer:
    """One side's reading of texts.

    Attributes:
        backend: a `tokenizers.Tokenizer`, set to cut at the limit and never to pad.
        prompt: put before every text.
        end_id: appended unless the tokenizer did so itself; None: nothing is appended.
        spare_id: stands for a text that has no token at all.
    """

    backend: Any
    prompt: str
    end_id: int | None
    spare_id: int

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Token ids of each text, and whether it was cut."""
        remaining = iter(texts)
        while piece := list(islice(remaining, SLICE)):
            encodings = self.backend.encode_batch_fast([self.prompt + text for text in piece])
            for encoding in encodings:
                ids = self._ended(encoding.ids) or [self.spare_id]
                yield np.asarray(ids, dtype=np.int64), bool(encoding.overflowing)

    def _ended(self, ids: list[int]) -> list[int]:
        if self.end_id is None or ids[-1:] == [self.end_id]:
            return ids
        return [*ids, self.end_id]


def load_backend(folder: Path) -> Any:
    """The model folder's own fast tokenizer, as transformers reads it; no network."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def for_side(tokenizer: Any, prompt: str, max_tokens: int, end_token: bool) -> Tokenizer:
    """A tokenizer for one side; `max_tokens` counts special tokens, the last one included."""
    from tokenizers import Tokenizer as Backend

    end_id = tokenizer.eos_token_id if end_token else None
    backend = Backend.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.enable_truncation(max_tokens)
    if end_id is not None and backend.encode("a").ids[-1:] != [end_id]:
        backend.enable_truncation(max_tokens - 1)
    known = (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id, 0)
    spare_id = next(token for token in known if token is not None)
    return Tokenizer(backend, prompt, end_id, spare_id)
