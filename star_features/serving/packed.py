"""
A request's entities as bytes, for a wire between processes: safetensors, which any language reads.

    body = pack(member, jobs)
    member, jobs = unpack(body)

A signal of a side, `member` or `jobs`, is three tensors: `SIDE/NAME/vectors` (float32, N × D),
`SIDE/NAME/present` (bool, N) and `SIDE/NAME/event_us` (int64, N). The metadata entry `entities` is
JSON: for each side the ids, each signal's space and view, and the values of every other feature.

Shapes: N entities, D width of a signal's space.
"""

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from star_features.errors import StoreError, UsageError
from star_features.serving.request import Entities, Signal

MEDIA_TYPE = "application/vnd.star-features.entities+safetensors"
ENTITIES = "entities"
SIDES = ("member", "jobs")
PARTS = {"vectors": "vectors_ND", "present": "present_N", "event_us": "event_us_N"}


def pack(member: Entities, jobs: Entities) -> bytes:
    """Both sides of a request, as one safetensors file.

    Raises:
        UsageError: a feature holds values that JSON cannot carry, such as bytes or times.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    described: dict[str, Any] = {}
    for side, read in zip(SIDES, (member, jobs), strict=True):
        for name, signal in read.signals.items():
            for part, attribute in PARTS.items():
                tensors[f"{side}/{name}/{part}"] = getattr(signal, attribute)
        described[side] = {
            "ids": list(read.ids),
            "signals": {
                name: {"space": signal.space, "view": signal.view}
                for name, signal in read.signals.items()
            },
            "features": {name: list(values) for name, values in read.features.items()},
        }
    try:
        return bytes(save(tensors, {ENTITIES: json.dumps(described)}))
    except TypeError as error:
        raise UsageError(
            f"a feature cannot travel as JSON: {error}.\n"
            "Read this service in the ranker's own process: FeatureReader(store)"
        ) from error


def unpack(body: bytes) -> tuple[Entities, Entities]:
    """The member and the jobs that `pack` was given.

    Raises:
        StoreError: the bytes are something else, or cut short.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(body)
        head = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        described = json.loads(head["__metadata__"][ENTITIES])
        member, jobs = (_entities(tensors, side, described[side]) for side in SIDES)
    except (SafetensorError, ValueError, KeyError) as error:
        raise StoreError(
            f"{len(body)} bytes arrived that are no packed entities: {error}"
        ) from error
    return member, jobs


def _entities(tensors: Mapping[str, NDArray[Any]], side: str, said: Mapping[str, Any]) -> Entities:
    signals = {}
    for name, about in said["signals"].items():
        parts = {a: tensors[f"{side}/{name}/{part}"] for part, a in PARTS.items()}
        signals[name] = Signal(space=about["space"], view=about["view"], **parts)
    return Entities(said["ids"], signals, said["features"])
