"""
A tuned model's folder, as training writes it and the encoder reads it.

    adapter_config.json, adapter_model.safetensors   LoRA in peft's format
    2_Dense/model.safetensors                        the head of both sides, where there is one
    2_Router/member, 2_Router/job                    or one a side
    tokenizer*.json, modules.json, 1_Pooling/, ...   for SentenceTransformer(folder)
    canaries.safetensors, canaries.json              known vectors, checked at every load
    report.json                                      how it was trained
    tower.json                                       base model, encoder settings; written last

The base model's weights stay where they are: the folder names them, with their SHA-256.

Shapes: D width of the backbone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from star_features.errors import ArtefactError, UsageError
from star_features.files import read_json
from star_features.text.settings import EncoderSettings, Side
from star_features.text.weights import Fingerprint

MANIFEST, REPORT = "tower.json", "report.json"
POOLING, NORMALIZE = "1_Pooling", "3_Normalize"
HEADS: Mapping[str, Mapping[Side, str]] = {
    "none": {},
    "shared": {"member": "2_Dense", "job": "2_Dense"},
    "sides": {"member": "2_Router/member", "job": "2_Router/job"},
}
"""By the manifest's word: each side's folder."""
HEAD_FILE, HEAD_WEIGHT = "model.safetensors", "linear.weight"
LAYOUT = 2
FREE = frozenset({"model", "width", "dtype", "device", "token_budget"})
"""Settings that may be given beside a tuned folder; training fixed the others."""


@dataclass(frozen=True)
class Tuned:
    """A tuned folder that was asked for.

    Attributes:
        settings: base model, adapter and all that training fixed, with the caller's free choices.
    """

    folder: Path
    settings: EncoderSettings
    manifest: dict[str, Any]

    @classmethod
    def find(cls, asked: EncoderSettings) -> "Tuned | None":
        """The tuned folder behind these settings; None where their model is a plain one.

        Raises:
            UsageError: a setting that training fixed was given another value.
        """
        folder = Path(asked.model).expanduser()
        if not (folder / MANIFEST).is_file():
            return None
        manifest = read_json(folder / MANIFEST)
        if manifest.get("layout") != LAYOUT:
            raise ArtefactError(
                folder / MANIFEST, f"layout {manifest.get('layout')}", f"layout {LAYOUT}"
            )
        fixed = EncoderSettings(**manifest["encoder"])
        given = asked.model_fields_set
        for name in sorted(given - FREE):
            if getattr(asked, name) != getattr(fixed, name):
                raise UsageError(
                    f"{name} = {getattr(asked, name)!r}, but {folder} was trained with "
                    f"{getattr(fixed, name)!r}: leave {name} out, or train another version."
                )
        choices = {name: getattr(asked, name) for name in given & FREE - {"model"}}
        settings = fixed.model_copy(update={**choices, "adapter": str(folder)})
        return cls(folder, settings, manifest)

    @property
    def heads(self) -> dict[Side, Path]:
        """Each side's file; empty for a model without a head."""
        return head_files(self.folder, self.manifest["head"])

    def head_matrices(self) -> dict[Side, NDArray[np.float32]]:
        """Each side's matrix: vectors are `pooled_ND @ head_DD.T`."""
        return {side: load_file(file)[HEAD_WEIGHT] for side, file in self.heads.items()}

    def verify(self, got: Fingerprint) -> None:
        """Refuse a base model, an adapter or a head other than the ones of the training."""
        for part, wanted in self.manifest["sha256"].items():
            found = asdict(got)[part]
            if found != wanted:
                raise ArtefactError(
                    self.folder,
                    f"{part} of {self.settings.model} has SHA-256 {found}",
                    f"{wanted}: give it the base model that it was trained on, or train it anew.",
                )


def head_files(folder: Path, head: str) -> dict[Side, Path]:
    """Each side's file, as the folder lies on disk."""
    return {side: folder / place / HEAD_FILE for side, place in HEADS[head].items()}
