"""
What could reach a frozen consumer when the model behind its vectors changes, and what it scores.

    scores = score_ways(consumer, today, new, {"star": lines})
    scores["mapped"]            # one score a row; also "today", "swap", "shuffled"

- today: the vectors that it reads now
- swap: the new version's vectors as they are, cut or filled to the width that it knows; the guard
  of spaces is told that they are the old ones
- shuffled: a map that was fitted on pairs of different entities
- mapped: the map that would serve

Shapes: N rows, D width of the new space, E width of the old one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from star_features.catalogue import ENTITIES, Entity
from star_features.compat.maps import Map
from star_features.release.scorer import Scorer

TODAY, SWAP, SHUFFLED, MAPPED, RETRAINED = "today", "swap", "shuffled", "mapped", "retrained"
WAYS = (TODAY, SWAP, SHUFFLED, MAPPED, RETRAINED)
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Maps:
    """Both sides' maps into one old pair: the one that would serve, and the null."""

    served: Mapping[Entity, Map]
    shuffled: Mapping[Entity, Map]


def score_ways(
    scorer: Scorer, today: pd.DataFrame, new: pd.DataFrame, names: Mapping[str, Maps]
) -> dict[str, Scores]:
    """
    Scores of one consumer by each way, `retrained` left out.

    Args:
        today: the rows as its service has them now.
        new: the same rows with the new version's own vectors behind the names.
        names: by stable name that moves, the maps into the language it keeps.
    """
    frames = {TODAY: today}
    for way in (SWAP, SHUFFLED, MAPPED):
        frames[way] = today.assign(**_columns(way, new, names))
    return {way: scorer.score(frame) for way, frame in frames.items()}


def _columns(way: str, new: pd.DataFrame, names: Mapping[str, Maps]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, maps in names.items():
        for entity in ENTITIES:
            map = maps.served[entity]
            vectors_ND, present_N = as_matrix(new[f"{entity}_{name}__vector"], len(map.weight_DE))
            if way == SWAP:
                vectors = fitted_to(len(map.bias_E), vectors_ND)
            else:
                taken = map if way == MAPPED else maps.shuffled[entity]
                vectors = taken(vectors_ND, space=map.source)
            columns |= as_columns(f"{entity}_{name}", vectors, present_N, map.target)
    return columns


def as_columns(
    alias: str, vectors_NE: NDArray[np.float32], present_N: NDArray[np.bool_], space: str
) -> dict[str, list[Any]]:
    """The two columns of one alias; None where there is no vector."""
    rows = [row if there else None for row, there in zip(vectors_NE, present_N, strict=True)]
    spaces = [space if there else None for there in present_N]
    return {f"{alias}__vector": rows, f"{alias}__space": spaces}


def as_matrix(
    column: Sequence[Any] | pd.Series, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A column of vectors as a matrix, zeros where there is none; and where there is one."""
    present_N = np.array([value is not None and value is not np.nan for value in column])
    present_N &= np.array([np.ndim(value) == 1 for value in column], dtype=np.bool_)
    vectors_ND = np.zeros((len(column), width), dtype=np.float32)
    if present_N.any():
        there = [value for value, has in zip(column, present_N, strict=True) if has]
        vectors_ND[present_N] = np.asarray(there, dtype=np.float32)
    return vectors_ND, present_N


def fitted_to(width: int, vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut or filled with zeros: the least that a reader of another width has to do."""
    short = max(0, width - vectors_ND.shape[1])
    return np.pad(vectors_ND[:, :width], ((0, 0), (0, short)))
