"""
From columns of stored bytes to arrays.

Shapes: N entities, D width of a signal's space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import SpaceMismatch, StoreError
from star_features.online.columns import Columns
from star_features.online.wire import STRING_TAG, decode_vectors, string_of, width_of
from star_features.serving.plan import SidePlan, ViewPlan
from star_features.serving.request import Entities, Signal


def decode(plan: SidePlan, ids: Sequence[str], columns: Sequence[Columns]) -> Entities:
    """Decode what was read of every view, all vectors into one preallocated block."""
    widths = [_width(view, read) for view, read in zip(plan.views, columns, strict=True)]
    block = np.empty(len(ids) * sum(widths), dtype=np.float32)
    signals: dict[str, Signal] = {}
    features: dict[str, Sequence[Any]] = {}
    start = 0
    for view, read, width in zip(plan.views, columns, widths, strict=True):
        if view.is_signal:
            end = start + len(ids) * width
            signals[view.name] = _signal(view, read, block[start:end].reshape(len(ids), width))
            start = end
        else:
            names = [f"{view.name}__{feature}" for feature in view.features]
            features |= dict(zip(names, map(_scalars, read.values), strict=True))
    return Entities(ids, signals, features)


def expect_spaces(signals: Mapping[str, Signal], expected: Mapping[str, str]) -> None:
    """Raise SpaceMismatch where a signal is served from another space than its ranker knows."""
    for name, signal in signals.items():
        wanted = expected.get(name)
        if wanted and signal.space and signal.space != wanted:
            raise SpaceMismatch(got=signal.space, wanted=wanted)


def _width(view: ViewPlan, read: Columns) -> int:
    if not view.is_signal:
        return 0
    if view.width is not None:
        return view.width
    return next((width_of(value) for value in read.values[0] if value), 0)


def _signal(view: ViewPlan, read: Columns, out_ND: NDArray[np.float32]) -> Signal:
    vectors, spaces = read.values[:2]
    decode_vectors(vectors, out_ND)
    present_N = np.fromiter(map(bool, vectors), dtype=np.bool_, count=len(vectors))
    space = _one_space(view, vectors, spaces)
    return Signal(space, out_ND, present_N, read.event_us_N, view.view.name)


def _one_space(
    view: ViewPlan, vectors: Sequence[bytes | None], spaces: Sequence[bytes | None]
) -> str | None:
    """The one space that all present vectors stand in."""
    named = {space for vector, space in zip(vectors, spaces, strict=True) if vector}
    if not named:
        return None
    if not all(named):
        raise StoreError(
            f"{view.name} ({view.table}) holds a vector without its space.\n"
            "Write this view again: star materialize --force"
        )
    ids = sorted(string_of(space) or "" for space in named if space)
    if len(ids) > 1:
        raise SpaceMismatch(got=ids[1], wanted=ids[0])
    return ids[0]


def _scalars(values: Sequence[bytes | None]) -> list[Any]:
    """Python values as Feast's `to_dict` gives them. Few distinct ones: each is decoded once."""
    distinct = {value: _scalar(value) for value in set(values) if value}
    return [distinct[value] if value else None for value in values]


def _scalar(value: bytes) -> Any:
    if value.startswith(STRING_TAG):
        return string_of(value)
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import feast_value_type_to_python_type

    return feast_value_type_to_python_type(Value.FromString(value))
