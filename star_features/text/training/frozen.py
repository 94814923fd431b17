"""
What training knows of the frozen model before the first step: token ids, vectors, baseline.

Shapes: N pairs, V validation pairs, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.errors import UsageError
from star_features.evaluation.metrics import auc
from star_features.spaces import unit
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings, Side, SideSettings
from star_features.text.training.pairs import Ints, Pairs
from star_features.text.training.settings import TrainSettings
from star_features.text.training.tower import principal_axes
from star_features.text.weights import Fingerprint

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Frozen:
    """The base model as it is.

    Attributes:
        encoder: its settings with every default filled in: what the tuned model keeps.
        ids: each side's token ids, one array a text.
        truncated: how many texts of each side were cut.
        validation: its vectors of the validation pairs, V × D each: members, jobs.
        axes_DD: principal axes of its vectors of training texts.
    """

    encoder: EncoderSettings
    fingerprint: Fingerprint
    ids: Mapping[Side, list[Ints]]
    truncated: Mapping[Side, int]
    validation: tuple[Floats, Floats]
    axes_DD: Floats

    @classmethod
    def of(
        cls, encoder: TextEncoder, pairs: Pairs, validation: Pairs, settings: TrainSettings
    ) -> "Frozen":
        """Read all texts, and encode those that are needed before training."""
        texts: dict[Side, tuple[str, ...]] = {"member": pairs.member_texts, "job": pairs.job_texts}
        read = {side: list(encoder.read(texts[side], side)) for side in texts}
        sample = _sample(pairs, settings)
        return cls(
            filled_in(encoder),
            encoder.fingerprint,
            {side: [ids for ids, _ in rows] for side, rows in read.items()},
            {side: sum(cut for _, cut in rows) for side, rows in read.items()},
            (
                _vectors(encoder, [pairs.member_texts[n] for n in validation.member_N], "member"),
                _vectors(encoder, [pairs.job_texts[n] for n in validation.job_N], "job"),
            ),
            principal_axes(
                np.concatenate([_vectors(encoder, sample[side], side) for side in sample])
            ),
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


def _vectors(encoder: TextEncoder, texts: list[str], side: Side) -> Floats:
    return unit(encoder.encode(texts, side).vectors_ND)


def _sample(pairs: Pairs, settings: TrainSettings) -> dict[Side, list[str]]:
    """Up to `head_texts` texts, half of each side."""
    generator = np.random.default_rng(settings.seed)
    sides: dict[Side, tuple[str, ...]] = {"member": pairs.member_texts, "job": pairs.job_texts}
    drawn = {}
    for side, texts in sides.items():
        rows = generator.permutation(len(texts))[: max(1, settings.head_texts // 2)]
        drawn[side] = [texts[row] for row in rows]
    return drawn
