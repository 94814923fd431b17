"""
The text encoder: texts of one side in, vectors of one space out.

    encoder = TextEncoder.load(EncoderSettings(model="all-MiniLM-L6-v2"))
    result = encoder.encode(texts, "job")
    VectorTable(encoder.space("job_text_v1", "job").id, ids, result.vectors_ND)

The caller cuts a large table into chunks and keeps what is done; one call here is one chunk.

Shapes: N texts, U distinct texts, C canaries, T tokens of a batch, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from star_features.errors import UsageError
from star_features.progress import bar
from star_features.spaces import Space, digest, unit
from star_features.text import backbone, canaries, parallel, tokens, weights
from star_features.text.packing import POOLINGS, Packed, batches, pack
from star_features.text.prepack import can_prepack, prepack
from star_features.text.settings import EncoderSettings, Pooling, Side
from star_features.text.tuned import Tuned

# Raise when a change in this folder moves vectors: it is part of every space id.
CODE_VERSION = 1
# A batch below this keeps a core busy with overhead rather than with products.
LEAST_BUDGET = 256
# Both dtypes are one class: bfloat16 is refused unless it stays this near to float32.
DTYPE_CLASS = f"float32 within cosine {canaries.LEAST_COSINE}"


@dataclass(frozen=True)
class EncodeResult:
    """What one call of `encode` did.

    Attributes:
        vectors_ND: float32, in the order of the texts.
        truncated: how many of the N texts were longer than the limit and were cut.
        tokens: how many tokens went through the model; a repeated text counts once.
    """

    vectors_ND: NDArray[np.float32]
    truncated: int
    tokens: int


class TextEncoder:
    """One backbone, ready to encode both sides. Made by `load`."""

    def __init__(
        self,
        settings: EncoderSettings,
        model: nn.Module,
        tokenizer: Any,
        fingerprint: weights.Fingerprint,
        heads: Mapping[Side, NDArray[np.float32]] | None = None,
    ) -> None:
        self.settings = settings
        self.model = model
        self.fingerprint = fingerprint
        self.heads = {side: torch.from_numpy(head_DD) for side, head_DD in (heads or {}).items()}
        full = int(model.config.hidden_size)  # type: ignore[union-attr,arg-type]
        self.width = min(settings.width or full, full)
        self.pooling: Pooling = settings.pooling or (
            "last" if backbone.is_decoder(model) else "mean"
        )
        self.end_token = (
            self.pooling == "last" if settings.end_token is None else settings.end_token
        )
        self.limit = backbone.longest(model, tokenizer)
        self.notes: list[str] = []
        self._tokenizers: dict[Side, tokens.Tokenizer] = {
            side: tokens.for_side(
                tokenizer, settings.side(side).prompt, self.max_tokens(side), self.end_token
            )
            for side in ("member", "job")
        }

    @classmethod
    def load(cls, settings: EncoderSettings) -> "TextEncoder":
        """Load, verify by SHA-256, and let the canaries sing.

        Raises:
            UsageError: `model` is no model folder, or the device is not here.
            ArtefactError: weights are missing or not the pinned ones, or a canary's vector is off.
        """
        tuned = Tuned.find(settings)
        settings = tuned.settings if tuned else settings
        folder = weights.locate(settings.model)
        adapter = Path(settings.adapter) if settings.adapter else None
        fingerprint = weights.fingerprint(folder, adapter, tuned.heads if tuned else None)
        weights.verify(settings.model, fingerprint)
        if tuned:
            tuned.verify(fingerprint)
        encoder = cls(
            settings,
            backbone.load(folder, adapter),
            tokens.load_backend(folder),
            fingerprint,
            tuned.head_matrices() if tuned else None,
        )
        known_CD = canaries.stored(tuned.folder if tuned else adapter or folder, encoder.digest())
        encoder._settle(
            encoder._plain_canaries() if known_CD is None else known_CD[:, : encoder.width]
        )
        return encoder

    def encode(self, texts: Sequence[str], side: Side) -> EncodeResult:
        """Vectors of `texts`, each distinct text computed once, batches filled by tokens."""
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        read = list(self._tokenizers[side](list(row_of)))
        vectors_UD = self._vectors([ids for ids, _ in read], side)
        rows = np.fromiter((row_of[text] for text in texts), dtype=np.int64, count=len(texts))
        was_cut_U = np.array([cut for _, cut in read], dtype=bool)
        return EncodeResult(
            vectors_UD if len(row_of) == len(texts) else vectors_UD[rows],
            truncated=int(was_cut_U[rows].sum()),
            tokens=sum(len(ids) for ids, _ in read),
        )

    def read(self, texts: Sequence[str], side: Side) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Token ids of each text as the model sees them, and whether it was cut."""
        return self._tokenizers[side](texts)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def max_tokens(self, side: Side) -> int:
        """The side's limit, or the backbone's own where that is lower."""
        return min(self.settings.side(side).max_tokens, self.limit)

    def identity(self, side: Side) -> dict[str, Any]:
        """Everything that changes the meaning of a coordinate; no path, no machine."""
        return {
            "weights_sha256": self.fingerprint.weights,
            "config_sha256": self.fingerprint.config,
            "tokenizer_sha256": self.fingerprint.tokenizer,
            "adapter_sha256": self.fingerprint.adapter,
            **({"head_sha256": head} if (head := self.fingerprint.head(side)) else {}),
            "prompt": self.settings.side(side).prompt,
            "max_tokens": self.max_tokens(side),
            "end_token": self.end_token,
            "pooling": self.pooling,
            "normalize": self.settings.normalize,
            "dtype": DTYPE_CLASS,
            "code_version": CODE_VERSION,
        }

    def digest(self) -> str:
        """One digest over both sides: which encoder this is."""
        return digest([self.identity("member"), self.identity("job")])

    def space(self, name: str, side: Side) -> Space:
        """The space that this side's vectors live in, such as `job_text_v1`."""
        return Space(name, self.width, self.identity(side))

    def canaries(self) -> NDArray[np.float32]:
        """C × D: the canaries' vectors, member side and then job side."""
        return np.concatenate(
            [self.encode(canaries.TEXTS, side).vectors_ND for side in self._tokenizers]
        )

    def _vectors(self, read: list[NDArray[np.int64]], side: Side) -> NDArray[np.float32]:
        """U × D, one row for each text's token ids."""
        lengths = [len(ids) for ids in read]
        vectors_UD = np.empty((len(read), self.width), dtype=np.float32)

        def fill(rows: list[int]) -> int:
            vectors_UD[rows] = self._forward([read[row] for row in rows], side)
            return sum(lengths[row] for row in rows)

        with bar("encode", total=sum(lengths), unit="tok") as progress:
            for done in parallel.run(
                fill, list(batches(lengths, self._budget(lengths))), self._workers()
            ):
                progress.update(done)
        return unit(vectors_UD) if self.settings.normalize else vectors_UD

    def _budget(self, lengths: list[int]) -> int:
        """Tokens per batch: the setting, or less where some core would have nothing to do."""
        share = max(LEAST_BUDGET, -(-sum(lengths) // self._workers()))
        return min(self.settings.token_budget, share)

    @torch.inference_mode()
    def _forward(self, read: list[NDArray[np.int64]], side: Side) -> NDArray[np.float32]:
        packed = pack(read).to(self.device)
        vectors_ND = self._pooled(backbone.hidden(self.model, packed), packed, side)
        out: NDArray[np.float32] = vectors_ND.cpu().numpy()
        return out

    def _pooled(self, states_TD: Tensor, packed: Packed, side: Side) -> Tensor:
        """N × D from the last layer's states: pooling, then the side's head, then the cut."""
        pooled_ND = POOLINGS[self.pooling](states_TD, packed.spans)
        if side in self.heads:
            pooled_ND = pooled_ND @ self.heads[side].to(pooled_ND.device).T
        return pooled_ND[:, : self.width]

    def _workers(self) -> int:
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    def _plain_canaries(self) -> NDArray[np.float32]:
        """C × D by transformers' own attention, one text at a time, in float32."""
        rows = []
        with torch.inference_mode():
            for side, tokenizer in self._tokenizers.items():
                for ids, _ in tokenizer(canaries.TEXTS):
                    states_TD = backbone.plain_hidden(self.model, torch.from_numpy(ids))
                    rows.append(self._pooled(states_TD, pack([ids]), side).numpy())
        return np.concatenate(rows)

    def _settle(self, wanted_CD: NDArray[np.float32]) -> None:
        """Bring the model to its device, dtype and layout; the canaries must survive it."""
        device = _chosen_device(self.settings.device)
        dtype = torch.bfloat16 if self.settings.dtype == "bfloat16" else torch.float32
        if dtype == torch.bfloat16 and not multiplies_bfloat16(device):
            self.notes.append(f"bfloat16 was asked for; {device} has no units for it: float32.")
            dtype = torch.float32
        self.model.to(device=device, dtype=dtype)
        if can_prepack(self.model):
            prepack(self.model, self.settings.token_budget)
        canaries.agree(
            self.settings.adapter or self.settings.model,
            self.canaries(),
            wanted_CD,
            "Try dtype = float32; if that is refused too, the adapter was not applied, or the "
            "architecture does not take texts laid end to end (star_features/text/packing.py).",
        )


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is the fast type here.

    A CPU needs tile units (AMX): with AVX-512 alone bfloat16 was 0.6 times the speed of float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _chosen_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = cuda was asked for and none is here. Set device = cpu or auto.")
    return torch.device(wanted)
