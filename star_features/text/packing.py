"""
No padding at all: the texts of a batch lie end to end, and attention runs text by text.

Every linear layer sees T real tokens and nothing else; texts of one length share one attention
call. So a text's neighbours cannot change its vector, and left against right padding is no
question. Pure functions of tensors: no model is loaded here.

Shapes: T tokens of a batch, N texts of a batch, D width, H heads, E width of a head.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from star_features.text.settings import Pooling


class Span(NamedTuple):
    """Neighbouring texts of one length: rows start:stop of T, `length` tokens each."""

    start: int
    stop: int
    length: int


@dataclass(frozen=True)
class Packed:
    """A batch of texts end to end."""

    ids_T: Tensor
    positions_T: Tensor
    spans: tuple[Span, ...]

    def to(self, device: torch.device) -> "Packed":
        return Packed(self.ids_T.to(device), self.positions_T.to(device), self.spans)


def pack(tokens: Sequence[NDArray[np.int64]]) -> Packed:
    """Lay texts end to end, in the order given."""
    spans, start = [], 0
    for length, group in groupby(map(len, tokens)):
        stop = start + length * sum(1 for _ in group)
        spans.append(Span(start, stop, length))
        start = stop
    positions = [np.tile(np.arange(s.length), (s.stop - s.start) // s.length) for s in spans]
    return Packed(
        torch.from_numpy(np.concatenate(tokens)),
        torch.from_numpy(np.concatenate(positions)),
        tuple(spans),
    )


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Row numbers by falling length, cut so that a batch has at most `budget` tokens.

    A text longer than the budget is a batch of its own. The longest come first: memory that
    does not suffice is found out at once.
    """
    batch: list[int] = []
    size = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and size + lengths[row] > budget:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += lengths[row]
    if batch:
        yield batch


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    spans: Sequence[Span],
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each text; transformers calls this in place of its own.

    Args:
        query, key, value: 1 × H × T × E; keys and values may have fewer heads.
        spans: where the texts lie; handed through the model's forward call.
    """
    q_THE, k_THE, v_THE = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    causal = bool(getattr(module, "is_causal", False))
    parts = [
        scaled_dot_product_attention(
            _by_text(q_THE, span),
            _by_text(k_THE, span),
            _by_text(v_THE, span),
            dropout_p=dropout,
            is_causal=causal,
            scale=scaling,
            enable_gqa=q_THE.shape[1] != k_THE.shape[1],
        )
        .transpose(1, 2)
        .flatten(0, 1)
        for span in spans
    ]
    return _joined(parts)[None], None


def _by_text(tensor_THE: Tensor, span: Span) -> Tensor:
    """The texts of one span as n × H × L × E, without a copy."""
    return _rows(tensor_THE, span).transpose(1, 2)


def _rows(tensor_TX: Tensor, span: Span) -> Tensor:
    """The texts of one span as n × L × whatever a token has, without a copy."""
    return tensor_TX[span.start : span.stop].reshape(-1, span.length, *tensor_TX.shape[1:])


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def mean_of_tokens(hidden_TD: Tensor, spans: Sequence[Span]) -> Tensor:
    """N × D: the mean of each text's tokens, in float32."""
    return _joined([_rows(hidden_TD, span).float().mean(1) for span in spans])


def last_token(hidden_TD: Tensor, spans: Sequence[Span]) -> Tensor:
    """N × D: each text's last token, in float32."""
    return _joined([hidden_TD[s.start + s.length - 1 : s.stop : s.length].float() for s in spans])


POOLINGS: dict[Pooling, Callable[[Tensor, Sequence[Span]], Tensor]] = {
    "mean": mean_of_tokens,
    "last": last_token,
}
