"""
A model folder as a function of packed tokens, for encoders and decoders alike.

Shapes: T tokens of a batch, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from star_features.errors import ArtefactError
from star_features.text.packing import Packed, attention

IMPLEMENTATION = "packed"


def load(folder: Path, adapter: Path | None) -> nn.Module:
    """The backbone in float32 on the CPU, its adapter merged in; no network, no foreign code."""
    from transformers import AttentionInterface, AutoModel

    AttentionInterface.register(IMPLEMENTATION, attention)
    with _quiet():
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation=IMPLEMENTATION,
            output_loading_info=True,
        )
    _refuse_invented_weights(folder, report)
    model.config.use_cache = False
    return _merged(model, adapter) if adapter else model.eval()


def hidden(model: nn.Module, packed: Packed) -> Tensor:
    """T × D: the last layer's states; differentiable."""
    out = model(
        input_ids=packed.ids_T[None], position_ids=packed.positions_T[None], spans=packed.spans
    )
    states: Tensor = out.last_hidden_state[0]
    return states


def plain_hidden(model: Any, ids_T: Tensor) -> Tensor:
    """T × D of one text by transformers' own attention: what the packed form must equal."""
    model.config._attn_implementation = "sdpa"
    try:
        states: Tensor = model(input_ids=ids_T[None]).last_hidden_state[0]
    finally:
        model.config._attn_implementation = IMPLEMENTATION
    return states


def is_decoder(model: nn.Module) -> bool:
    """Whether a token sees only what stands before it."""
    return any(bool(getattr(module, "is_causal", False)) for module in model.modules())


def longest(model: Any, tokenizer: Any) -> int:
    """Most tokens a text may have: positions known, attention window, tokenizer's own limit."""
    limits = (
        getattr(model.config, "max_position_embeddings", None),
        getattr(model.config, "sliding_window", None),
        tokenizer.model_max_length,
    )
    return min(int(limit) for limit in limits if limit)


def _merged(model: nn.Module, adapter: Path) -> nn.Module:
    from peft import PeftModel

    merged: nn.Module = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return merged.eval()


def _refuse_invented_weights(folder: Path, report: dict[str, Any]) -> None:
    """transformers fills what a file lacks with random numbers; the unused pooler may lack."""
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ArtefactError(
            folder,
            f"{len(missing)} weights are missing, {missing[0]} among them",
            "all weights that config.json asks for: take the whole model folder again.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' load report and bar, and put its verbosity back."""
    from transformers.utils import logging

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
