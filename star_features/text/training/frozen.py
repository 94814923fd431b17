"""
What training knows of the frozen model before the first step: token ids, vectors, baseline.

Vectors are encoded once, in chunks that are kept beside the checkpoint: a killed run reads them.

Shapes: N pairs, V validation pairs, M member texts, J job texts, U texts of one side, D width.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from star_features.errors import UsageError
from star_features.evaluation.metrics import auc
from star_features.progress import bar
from star_features.spaces import digest, unit
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings, Side, SideSettings
from star_features.text.training.pairs import Ints, Pairs
from star_features.text.training.settings import TrainSettings
from star_features.text.training.tower import principal_axes
from star_features.text.weights import Fingerprint

Floats = NDArray[np.float32]
CHUNK = 10_000  # texts that a kill can cost


@dataclass(frozen=True)
class Frozen:
    """The base model as it is.

    Attributes:
        encoder: its settings with every default filled in: what the tuned model keeps.
        ids: each side's token ids, one array a text.
        truncated: how many texts of each side were cut.
        members_MD, jobs_JD: unit vectors of the texts that training reads before its first step;
            zeros for the others.
        validation: the vectors of the validation pairs, V × D each: members, jobs.
        axes_DD: principal axes of its vectors of training texts.
    """

    encoder: EncoderSettings
    fingerprint: Fingerprint
    ids: Mapping[Side, list[Ints]]
    truncated: Mapping[Side, int]
    members_MD: Floats
    jobs_JD: Floats
    validation: tuple[Floats, Floats]
    axes_DD: Floats

    @classmethod
    def of(
        cls,
        encoder: TextEncoder,
        pairs: Pairs,
        validation: Pairs,
        settings: TrainSettings,
        read_first: Pairs | None = None,
        folder: Path | None = None,
    ) -> "Frozen":
        """Read all texts, and encode those that are needed before the first step.

        Args:
            read_first: the pairs whose vectors the head learns from.
            folder: where chunks of vectors are kept.
        """
        texts: dict[Side, tuple[str, ...]] = {"member": pairs.member_texts, "job": pairs.job_texts}
        read = {side: list(encoder.read(texts[side], side)) for side in texts}
        sample = _sample(pairs, settings)
        vectors = {}
        for side in texts:
            wanted = [part for part in (validation, read_first) if part is not None]
            rows_U = np.unique(np.concatenate([sample[side], *(_rows(p, side) for p in wanted)]))
            made_UD = _vectors(encoder, [texts[side][row] for row in rows_U], side, folder)
            vectors[side] = np.zeros((len(texts[side]), made_UD.shape[1]), dtype=np.float32)
            vectors[side][rows_U] = made_UD
        return cls(
            filled_in(encoder),
            encoder.fingerprint,
            {side: [ids for ids, _ in rows] for side, rows in read.items()},
            {side: sum(cut for _, cut in rows) for side, rows in read.items()},
            vectors["member"],
            vectors["job"],
            (vectors["member"][validation.member_N], vectors["job"][validation.job_N]),
            principal_axes(np.concatenate([vectors[side][sample[side]] for side in vectors])),
        )

    def auc(self, taken_V: NDArray[np.bool_]) -> float:
        """The baseline: the frozen cosine on the validation pairs."""
        return pair_auc(*self.validation, taken_V)


def filled_in(encoder: TextEncoder) -> EncoderSettings:
    """The encoder's settings with what the backbone decided; device and speed left as default."""
    settings = encoder.settings
    if encoder.fingerprint.adapter is not None:
        raise UsageError(
            f"{settings.model} with adapter {settings.adapter} is tuned already, and training "
            "makes an adapter of its own.\nGive the plain base model."
        )
    sides = {
        side: SideSettings(prompt=settings.side(side).prompt, max_tokens=encoder.max_tokens(side))
        for side in ("member", "job")
    }
    return EncoderSettings(
        model=settings.model,
        pooling=encoder.pooling,
        end_token=encoder.end_token,
        normalize=settings.normalize,
        member=sides["member"],
        job=sides["job"],
    )


def pair_auc(members_VD: Floats, jobs_VD: Floats, taken_V: NDArray[np.bool_]) -> float:
    """AUC of the pairs' cosines; NaN where a vector is not finite."""
    cosine_V = (unit(members_VD) * unit(jobs_VD)).sum(axis=1)
    return auc(taken_V, cosine_V) if np.isfinite(cosine_V).all() else float("nan")


def by_width(
    frozen: Frozen, members_VD: Floats, jobs_VD: Floats, taken_V: NDArray[np.bool_], width: int
) -> dict[str, float]:
    """AUC of the first `width` coordinates: frozen ones, frozen along the axes, tuned ones."""
    members, jobs = frozen.validation
    axes_DK = frozen.axes_DD[:width].T
    return {
        "width": width,
        "frozen_cut": pair_auc(members[:, :width], jobs[:, :width], taken_V),
        "frozen_axes": pair_auc(members @ axes_DK, jobs @ axes_DK, taken_V),
        "tuned": pair_auc(members_VD[:, :width], jobs_VD[:, :width], taken_V),
    }


def _rows(pairs: Pairs, side: Side) -> Ints:
    return pairs.member_N if side == "member" else pairs.job_N


def _vectors(encoder: TextEncoder, texts: list[str], side: Side, folder: Path | None) -> Floats:
    """Unit vectors, U × D, chunk by chunk."""
    who = encoder.digest()
    made = [np.zeros((0, encoder.width), dtype=np.float32)]
    with bar(f"frozen {side} vectors", total=len(texts), unit="text") as progress:
        for start in range(0, len(texts), CHUNK):
            piece = texts[start : start + CHUNK]
            file = (
                folder / f"frozen-{digest([who, side, piece], 16)}.safetensors" if folder else None
            )
            made.append(
                _kept(file) if file and file.exists() else _chunk(encoder, piece, side, file)
            )
            progress.update(len(piece))
    return np.concatenate(made)


def _chunk(encoder: TextEncoder, texts: list[str], side: Side, file: Path | None) -> Floats:
    vectors_UD = unit(encoder.encode(texts, side).vectors_ND)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}.tmp")
        save_file({"vectors": vectors_UD}, aside)
        os.replace(aside, file)
    return vectors_UD


def _kept(file: Path) -> Floats:
    vectors_UD: Floats = load_file(file)["vectors"]
    return vectors_UD


def _sample(pairs: Pairs, settings: TrainSettings) -> dict[Side, Ints]:
    """Rows of up to `head_texts` texts, half of each side."""
    generator = np.random.default_rng(settings.seed)
    sides: dict[Side, tuple[str, ...]] = {"member": pairs.member_texts, "job": pairs.job_texts}
    most = max(1, settings.head_texts // 2)
    return {side: generator.permutation(len(texts))[:most] for side, texts in sides.items()}
