"""
A map: vectors of a new space, told in an old one, so that a frozen ranker can go on reading.

    old_NE = job_graph_map(vectors_ND, space="job_graph_v2@3f9a1c20b7d4")
    Maps(all_maps).between("job_graph_v3@…", "job_graph_v1@…")

A map is direct. Two in a row are never offered: each link loses a little (measured elsewhere:
two links about 1 %, three about 9 %), and a direct fit costs a second.

Shapes: N rows, D width of the source space, E width of the target space.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from star_features.compat.moments import Vectors
from star_features.compat.pairs import fit_command, name_of, square_norms
from star_features.compat.score import Calibration
from star_features.errors import DataError, MissingStage, SpaceMismatch, UsageError
from star_features.files import Settings


class Candidate(Settings):
    """One way of fitting that was tried, and how it did on the pairs kept for choosing."""

    method: str
    """`procrustes`, `ridge`, or `joint`: a ridge about the map that the tower was trained with."""
    strength: float
    """The penalty over the mean variance of a source coordinate; 0 for Procrustes."""
    cosine: float
    """Mean cosine to the native vectors, on the pairs kept for choosing."""


class Receipt(Settings):
    """What a map was fitted on and how it did on pairs that neither fit nor choice has seen."""

    pairs: int
    """Pairs that the coefficients were fitted on."""
    held: int
    """Pairs kept back: one half to choose the method by, the other for the figures below."""
    seed: int
    """Seed of the draw of the pairs kept back."""
    candidates: tuple[Candidate, ...]
    """Every method and strength that was tried."""
    cosine: float
    """Held-out mean cosine between mapped and native vectors."""
    cosine_error: float
    """Standard error of that mean."""
    r2: float
    """Held-out share of the native vectors' variance that the mapped ones explain."""


@dataclass(frozen=True)
class Map:
    """
    A direct linear map between two spaces.

    Attributes:
        source, target: space ids.
        weight_DE, bias_E: float32; a vector x becomes unit(x @ weight + bias).
        method, strength, scale: how the weight was found.
        receipt: what it was fitted on, and its held-out figures.
        calibrations: by consumer, what its scores on mapped vectors mean (see score.py).
    """

    source: str
    target: str
    weight_DE: NDArray[np.float32]
    bias_E: NDArray[np.float32]
    method: str
    strength: float
    scale: float
    receipt: Receipt
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def __call__(self, vectors_ND: Vectors, *, space: str) -> NDArray[np.float32]:
        """Return the vectors in the target space, unit length; zero rows stay zero."""
        if space != self.source:
            raise SpaceMismatch(got=space, wanted=self.source)
        source = np.asarray(vectors_ND, dtype=np.float32)
        if source.ndim != 2 or source.shape[1] != len(self.weight_DE):
            self._refuse(f"vectors of shape {source.shape}", f"rows of {len(self.weight_DE)}")
        with np.errstate(invalid="ignore", over="ignore"):  # refused below, with a count
            mapped_NE = source @ self.weight_DE
            mapped_NE += self.bias_E
            norms = np.sqrt(square_norms(mapped_NE))
        if not np.isfinite(norms).all():
            broken = int((~np.isfinite(norms)).sum())
            self._refuse(f"{broken} of {len(source)} vectors are not finite", "finite vectors")
        inverse = np.zeros_like(norms)
        np.divide(1, norms, out=inverse, where=(norms > 0) & (square_norms(source) > 0))
        mapped_NE *= inverse[:, None]
        return mapped_NE

    def then(self, other: "Map") -> NoReturn:
        """Refuse: maps are direct."""
        raise UsageError(
            f"{self.source} -> {self.target} and then {other.source} -> {other.target} would be a"
            " chain, and every link loses a little more than a direct fit."
            f"\nFit the direct map: {fit_command(self.source, other.target)}"
        )

    def _refuse(self, got: str, wanted: str) -> NoReturn:
        raise DataError(
            f"{self.source} -> {self.target}",
            got,
            f"Wanted {wanted}, as {name_of(self.source)} has them. If that space was made anew,"
            f" fit its map anew: {fit_command(self.source, self.target)}",
        )


class Maps:
    """The maps at hand, asked for by the two spaces."""

    def __init__(self, maps: Iterable[Map]) -> None:
        self._by_ends = {(map.source, map.target): map for map in maps}

    def between(self, source: str, target: str) -> Map:
        """The direct map, or MissingStage with the command that fits it."""
        found = self._by_ends.get((source, target))
        if found is not None:
            return found
        missing = f"the map {source} -> {target}"
        chain = self._chain(source, target)
        if chain:
            missing += (
                f" (there is {' -> '.join(chain)}, but maps are never chained: every link loses a"
                " little more than a direct fit)"
            )
        raise MissingStage(missing, fit_command(source, target))

    def _chain(self, source: str, target: str) -> list[str]:
        """The shortest way over several maps, to say in the error that it is not taken."""
        ways = [[source]]
        seen = {source}
        for way in ways:
            for start, end in self._by_ends:
                if start == way[-1] and end not in seen:
                    if end == target:
                        return [*way, end]
                    seen.add(end)
                    ways.append([*way, end])
        return []
