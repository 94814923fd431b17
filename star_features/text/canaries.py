"""
Canaries: a few texts with known vectors, encoded again at load.

A wrong dtype, an adapter that silently was not applied, an architecture that does not take packed
texts: each gives vectors of the right shape and the wrong meaning, and each kills a canary.

Shapes: C canaries, D width.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from star_features.errors import ArtefactError
from star_features.files import read_json, write_json
from star_features.spaces import unit

TEXTS = (
    "Data engineer",
    "Registered nurse, seven years in intensive care, night shifts, Rotterdam.",
    "We look for a carpenter who builds stages for open-air theatre: reading drawings, cutting, "
    "welding, and taking everything down again in the rain before the last train leaves.",
    "Boekhouder · Buchhalterin · comptable · 会計士",
)
LEAST_COSINE = 0.999
VECTORS, NOTES = "canaries.safetensors", "canaries.json"


def agree(
    what: str, got_CD: NDArray[np.float32], wanted_CD: NDArray[np.float32], otherwise: str
) -> None:
    """Raise ArtefactError unless every canary is within LEAST_COSINE of what it should be."""
    if got_CD.shape != wanted_CD.shape:
        raise ArtefactError(what, f"canaries are {got_CD.shape}", f"{wanted_CD.shape}. {otherwise}")
    least = float((unit(got_CD) * unit(wanted_CD)).sum(axis=1).min())
    if not least >= LEAST_COSINE:
        raise ArtefactError(
            what, f"a canary's cosine is {least:.5f}", f"{LEAST_COSINE} or more. {otherwise}"
        )


def store(folder: Path, identity: str, vectors_CD: NDArray[np.float32]) -> None:
    """Write the canaries of an encoder, beside its weights or adapter."""
    save_file({"vectors": np.ascontiguousarray(vectors_CD)}, folder / VECTORS)
    write_json(folder / NOTES, {"identity": identity, "texts": TEXTS})


def stored(folder: Path, identity: str) -> NDArray[np.float32] | None:
    """What `store` wrote for this identity; None where there is nothing to compare with."""
    if not (folder / NOTES).is_file():
        return None
    notes = read_json(folder / NOTES)
    if notes["identity"] != identity or tuple(notes["texts"]) != TEXTS:
        return None
    vectors: NDArray[np.float32] = load_file(folder / VECTORS)["vectors"]
    return vectors
