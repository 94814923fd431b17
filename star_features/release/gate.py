"""
May a version meet its readers? Every figure beside its bound, and one verdict.

    verdict = judge(maps, consumers, settings)
    verdict.green, verdict.failed

A consumer loses when its AUC falls by more than the bound *and* by more than two standard errors;
what lies within the noise of the rows at hand is said, not judged. Slices of few rows are shown
only.

Shapes: N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.compat.score import Calibration, ks_distance
from star_features.evaluation.metrics import auc, auc_gap
from star_features.release.settings import Calibrating, GateSettings
from star_features.release.ways import MAPPED, RETRAINED, SWAP, TODAY, WAYS, Scores

ALL = "all"
NOISE = 2.0  # standard errors
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class MapFigures:
    """What one side's map keeps.

    Attributes:
        held: cosine on entities kept back from the fit.
        shuffled: that of a map fitted on pairs of different entities: chance.
        later: cosine on moments after `cutoff`, of a map fitted on earlier ones; None without
            times. `later_held` is that map's own on entities kept back before the cut-off.
        gain: what a non-linear map gains over the linear one.
        slices: cosine by slice, and rows; of the later moments where there are any.
    """

    name: str
    held: float
    held_error: float
    r2: float
    neighbours: float | None
    shuffled: float
    linear: float
    nonlinear: float
    gain: float
    gain_error: float
    later: float | None = None
    later_held: float | None = None
    slices: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def over_chance(self) -> float:
        """Where the map stands between chance (0) and the native vectors themselves (1)."""
        return (self.held - self.shuffled) / (1 - self.shuffled)


@dataclass(frozen=True)
class ConsumerFigures:
    """What one frozen consumer scores by each way.

    Attributes:
        auc: by way, then by slice.
        lost: by slice, AUC today less AUC on mapped vectors, and its standard error.
        rows: of each slice.
        ks: how far its scores move; `ks_calibrated` after a calibration that asks for one.
        refused: what it said instead of scoring.
    """

    name: str
    scores: Calibrating = "none"
    auc: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    lost: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    ks: float | None = None
    ks_calibrated: float | None = None
    refused: str | None = None

    @property
    def recovered(self) -> float | None:
        """Of what a raw swap loses, the share that the map saves; None where it loses nothing."""
        row = {way: slices[ALL] for way, slices in self.auc.items()}
        if not row:
            return None
        best = max(row[TODAY], row.get(RETRAINED, row[TODAY]))
        lost = best - row[SWAP]
        return (row[MAPPED] - row[SWAP]) / lost if lost > 0 else None

    @property
    def staying(self) -> float | None:
        """AUC that it would gain by being trained anew on the new version."""
        if RETRAINED not in self.auc:
            return None
        return self.auc[RETRAINED][ALL] - self.auc[MAPPED][ALL]


@dataclass(frozen=True)
class Bound:
    """One figure beside its bound.

    Attributes:
        of: a map or a consumer.
        excused: it is beyond the bound, and no further than the noise of the rows at hand.
    """

    of: str
    what: str
    value: float | None
    bound: float
    at_most: bool
    note: str = ""
    excused: bool = False

    @property
    def met(self) -> bool:
        """A figure that could not be taken, or is NaN, is not met."""
        if self.value is None:
            return False
        kept = self.value <= self.bound if self.at_most else self.value >= self.bound
        return kept or self.excused


@dataclass(frozen=True)
class Verdict:
    """Everything that was measured, and what came of it."""

    maps: Sequence[MapFigures]
    consumers: Sequence[ConsumerFigures]
    bounds: Sequence[Bound]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> list[Bound]:
        return [bound for bound in self.bounds if not bound.met]

    @property
    def green(self) -> bool:
        return not self.failed


def judge(
    maps: Sequence[MapFigures],
    consumers: Sequence[ConsumerFigures],
    settings: GateSettings,
    notes: Sequence[str] = (),
) -> Verdict:
    """Set every figure beside its bound."""
    bounds = [bound for figures in maps for bound in _of_map(figures, settings)]
    bounds += [bound for figures in consumers for bound in _of_consumer(figures, settings)]
    return Verdict(maps, consumers, bounds, notes)


def measure(
    name: str,
    labels_N: NDArray[Any],
    scores: Mapping[str, Scores],
    masks: Masks,
    kind: Calibrating = "none",
) -> ConsumerFigures:
    """
    A consumer's figures from its scores by each way.

    Args:
        masks: by slice, which rows; `all` among them.
    """
    return ConsumerFigures(
        name=name,
        scores=kind,
        auc={
            way: {part: auc(labels_N[mask], scores[way][mask]) for part, mask in masks.items()}
            for way in WAYS
            if way in scores
        },
        lost={
            part: auc_gap(labels_N[mask], scores[TODAY][mask], scores[MAPPED][mask])
            for part, mask in masks.items()
        },
        rows={part: int(mask.sum()) for part, mask in masks.items()},
        ks=ks_distance(scores[TODAY], scores[MAPPED]),
    )


def calibrated(
    figures: ConsumerFigures,
    calibration: Calibration,
    scores: Mapping[str, Scores],
    unseen_N: NDArray[np.bool_],
) -> ConsumerFigures:
    """The figures, with how far the scores move once a calibration has moved them back.

    Args:
        unseen_N: rows that the calibration was not fitted on.
    """
    moved_back = calibration(scores[MAPPED][unseen_N])
    return replace(figures, ks_calibrated=ks_distance(scores[TODAY][unseen_N], moved_back))


def _of_map(figures: MapFigures, settings: GateSettings) -> list[Bound]:
    name = figures.name
    gain, error = figures.gain, figures.gain_error
    found = [
        Bound(name, "cosine over chance", figures.over_chance, settings.over_chance, False),
        Bound(
            name,
            "gain of a non-linear map",
            gain,
            settings.nonlinear_gain,
            True,
            f"± {error:.4f}",
            gain <= NOISE * error,
        ),
    ]
    if figures.neighbours is not None:
        kept = figures.neighbours
        found.append(Bound(name, "10 nearest kept", kept, settings.neighbours, False))
    if figures.later is not None and figures.later_held is not None:
        drop = figures.later_held - figures.later
        found.append(Bound(name, "cosine lost on later moments", drop, settings.later_drop, True))
    return found


def _of_consumer(figures: ConsumerFigures, settings: GateSettings) -> list[Bound]:
    if figures.refused:
        return [Bound(figures.name, "can be scored", None, 1, False, figures.refused)]
    found = []
    for part, (gap, error) in figures.lost.items():
        judged = part == ALL or figures.rows[part] >= settings.slice_rows
        if not judged or np.isnan(gap):
            continue
        most = settings.loss if part == ALL else settings.slice_loss
        what, noise = f"AUC lost, {part}", gap <= NOISE * error
        found.append(Bound(figures.name, what, gap, most, True, f"± {error:.4f}", noise))
    if figures.scores != "order":
        moved = figures.ks if figures.ks_calibrated is None else figures.ks_calibrated
        what = "scores moved (KS)" if figures.ks_calibrated is None else "scores moved, calibrated"
        found.append(Bound(figures.name, what, moved, settings.ks, True))
    return found
