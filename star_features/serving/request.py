"""
What a ranker gets: arrays with their space, their presence and their age beside them.

Shapes: N entities asked for, D width of a signal's space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import SpaceMismatch
from star_features.online.columns import as_micros
from star_features.online.wire import NEVER


@dataclass(frozen=True)
class Signal:
    """The vectors of one stable name, such as `job_star`.

    Attributes:
        space: the space id all present vectors live in; None where not one is present.
        vectors_ND: float32, zeros where absent.
        present_N: which entities have a vector.
        event_us_N: when its content became true, in microseconds since 1970.
        view: the feature view behind the name; it tells native vectors from mapped ones.
    """

    space: str | None
    vectors_ND: NDArray[np.float32]
    present_N: NDArray[np.bool_]
    event_us_N: NDArray[np.int64]
    view: str = ""

    def age_seconds(self, now: datetime) -> NDArray[np.float64]:
        """Seconds since the content of each vector became true; NaN where absent."""
        ages_N = (as_micros(now) - self.event_us_N.astype(np.float64)) / 1e6
        return np.where(self.present_N & (self.event_us_N != NEVER), ages_N, np.nan)


@dataclass(frozen=True)
class Entities:
    """Everything one service holds about the entities that were asked for, in their order.

    Attributes:
        ids: N entity ids.
        signals: stable name -> vectors.
        features: `view__feature` -> N values of every feature that is no vector and no space;
            None where missing.
    """

    ids: Sequence[str]
    signals: Mapping[str, Signal]
    features: Mapping[str, Sequence[Any]]

    def __getitem__(self, name: str) -> Signal:
        return self.signals[name]

    @property
    def missing(self) -> dict[str, list[str]]:
        """Stable name -> the ids that have no vector there; names without a gap are left out."""
        gaps = {
            name: [self.ids[row] for row in np.flatnonzero(~signal.present_N).tolist()]
            for name, signal in self.signals.items()
        }
        return {name: ids for name, ids in gaps.items() if ids}


@dataclass(frozen=True)
class RankerRequest:
    """One member and the jobs to rank for them."""

    member: Entities
    jobs: Entities

    @property
    def missing(self) -> dict[str, list[str]]:
        """Stable name -> the ids without a vector, of both sides."""
        return self.member.missing | self.jobs.missing


def refuse_mixed_pairs(member: Mapping[str, Signal], jobs: Mapping[str, Signal]) -> None:
    """Raise SpaceMismatch where `member_X` and `job_X` come from two versions.

    The two spaces of a pair carry one kind and version (`member_graph_v1`, `job_graph_v1`). Their
    digests may differ, because a text model may be prompted differently for members and jobs.
    """
    of_job = {_unprefixed(name): signal.space for name, signal in jobs.items()}
    for name, signal in member.items():
        mine, theirs = signal.space, of_job.get(_unprefixed(name))
        if mine and theirs and _version(mine) != _version(theirs):
            raise SpaceMismatch(got=theirs, wanted=f"the pair of {mine}")


def _unprefixed(name: str) -> str:
    return name.partition("_")[2]


def _version(space: str) -> str:
    return _unprefixed(space.partition("@")[0])
