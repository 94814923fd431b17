"""
Pairs kept back from a fit: a bounded, even sample of a stream of unknown length.

Of each block a share is kept back at random. When that would be more than `most` in all, those
with the largest tickets go back into the fit, so early and late blocks are kept alike.

Shapes: B pairs of a block, H pairs kept back, D and E widths of the two spaces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.compat.moments import Vectors

LEAST_HELD = 4  # two to choose by, two to report on


@dataclass(frozen=True)
class Held:
    """Two halves of the pairs kept back: to choose a method by, and to report figures on."""

    choice_HD: Vectors
    choice_HE: Vectors
    report_HD: Vectors
    report_HE: Vectors

    def __len__(self) -> int:
        return len(self.choice_HD) + len(self.report_HD)


class HoldBack:
    """Splits blocks into pairs to fit on and pairs kept back."""

    def __init__(self, share: float, most: int, seed: int) -> None:
        self._share, self._most = share, most
        self._rng = np.random.default_rng(seed)
        self._tickets_H: NDArray[np.float64] = np.empty(0)
        self._kept: tuple[Vectors, Vectors] | None = None

    def split(self, source_BD: Vectors, target_BE: Vectors) -> tuple[Vectors, Vectors]:
        """Keep a share of the block back and return the rest, with any that had to make room."""
        rows = len(source_BD)
        tickets_B = self._rng.random(rows)
        wanted = round(rows * self._share)
        if self._kept is None:
            wanted = min(max(wanted, LEAST_HELD), rows)
        out_B = np.zeros(rows, dtype=bool)
        out_B[np.argsort(tickets_B, kind="stable")[:wanted]] = True
        back = self._keep(source_BD[out_B], target_BE[out_B], tickets_B[out_B])
        if back is None:
            return source_BD[~out_B], target_BE[~out_B]
        return _in_place_of(source_BD, out_B, back[0]), _in_place_of(target_BE, out_B, back[1])

    def held(self) -> Held | None:
        """The pairs kept back so far; None before the first block."""
        if self._kept is None:
            return None
        source, target = self._kept
        return Held(source[::2], target[::2], source[1::2], target[1::2])

    def _keep(
        self, source_HD: Vectors, target_HE: Vectors, tickets_H: NDArray[np.float64]
    ) -> tuple[Vectors, Vectors] | None:
        """Add to the pairs kept back; return those that no longer have a place."""
        if self._kept is not None:
            source_HD = np.concatenate([self._kept[0], source_HD])
            target_HE = np.concatenate([self._kept[1], target_HE])
            tickets_H = np.concatenate([self._tickets_H, tickets_H])
        stays_H = np.ones(len(tickets_H), dtype=bool)
        stays_H[np.argsort(tickets_H, kind="stable")[self._most :]] = False
        self._kept = source_HD[stays_H], target_HE[stays_H]
        self._tickets_H = tickets_H[stays_H]
        return None if stays_H.all() else (source_HD[~stays_H], target_HE[~stays_H])


def _in_place_of(block_BD: Vectors, out_B: NDArray[np.bool_], back_ND: Vectors) -> Vectors:
    """The block without the rows that go out, with those that come back; usually as many."""
    if len(back_ND) < np.count_nonzero(out_B):
        return np.concatenate([block_BD[~out_B], back_ND])
    swapped = block_BD.copy()
    swapped[out_B] = back_ND
    return swapped
