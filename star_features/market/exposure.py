"""
Which job is shown to whom, and when: near the member's work, popular, or just open.

    shelf = Shelf.of(settings, jobs)
    seen = shown(settings, landscape, jobs, members, shelf, draw)

Shapes: R rows (a job shown to a member), M members of a block, J jobs, D days of the window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.market.jobs import Jobs
from star_features.market.landscape import Landscape
from star_features.market.members import Members
from star_features.market.settings import MarketSettings
from star_features.market.window import DAY, END, start_of

NEAR, POPULAR = 0.45, 0.25  # the rest is random
LOOKED_AT = 12  # open jobs that the market looks through for a near one


@dataclass(frozen=True)
class Showing:
    """Jobs shown to members: `member_R` counts in the block, `job_R` in the world."""

    at_R: NDArray[np.int64]
    member_R: NDArray[np.int64]
    job_R: NDArray[np.int32]


@dataclass(frozen=True)
class Shelf:
    """The jobs that are open all day, for each day: a flat list and where each day begins.

    Attributes:
        jobs_L: the lists of all days, one after another.
        begin_D: where a day's list begins; one entry more than days.
        popular_L: day + cumulative popularity within the day, so that it rises through all days.
    """

    jobs_L: NDArray[np.int32]
    begin_D: NDArray[np.int64]
    popular_L: NDArray[np.float64]

    @classmethod
    def of(cls, settings: MarketSettings, jobs: Jobs) -> "Shelf":
        lists, popular, start = [], [], start_of(settings)
        for day in range(settings.days):
            begin = start + day * DAY
            open_J = np.flatnonzero((jobs.opened_J <= begin) & (jobs.closed_J >= begin + DAY))
            share = np.cumsum(jobs.popularity_J[open_J])
            lists.append(open_J.astype(np.int32))
            popular.append(day + share / share[-1] if len(open_J) else share)
        begin_D = np.concatenate([[0], np.cumsum([len(jobs_of_day) for jobs_of_day in lists])])
        return cls(np.concatenate(lists), begin_D, np.concatenate(popular))

    def any_open(self, day_R: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int32]:
        """One random open job for each day."""
        size_R = self.begin_D[day_R + 1] - self.begin_D[day_R]
        place_R = self.begin_D[day_R] + (draw.random(len(day_R)) * size_R).astype(np.int64)
        return np.asarray(self.jobs_L[place_R])

    def popular_open(
        self, day_R: NDArray[np.int64], draw: np.random.Generator
    ) -> NDArray[np.int32]:
        """One open job for each day, as often as it is popular."""
        place_R = np.searchsorted(self.popular_L, day_R + draw.random(len(day_R)), side="right")
        last_R = self.begin_D[day_R + 1] - 1
        return np.asarray(self.jobs_L[np.clip(place_R, self.begin_D[day_R], last_R)])

    def is_stocked(self, day_R: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Is any job open on these days?"""
        return self.begin_D[day_R + 1] > self.begin_D[day_R]


def shown(
    settings: MarketSettings,
    landscape: Landscape,
    jobs: Jobs,
    members: Members,
    shelf: Shelf,
    draw: np.random.Generator,
) -> Showing:
    """Every member's showings, by his activity; those on days without an open job fall away."""
    member_R = np.repeat(np.arange(len(members)), members.rows_M)
    begin = start_of(settings)
    from_R = np.maximum(members.joined_M[member_R] + 1, begin)
    at_R = np.minimum(from_R + draw.random(len(member_R)) * (END - from_R), END - 1).astype(
        np.int64
    )
    stocked_R = shelf.is_stocked((at_R - begin) // DAY)
    at_R, member_R = at_R[stocked_R], member_R[stocked_R]
    day_R = (at_R - begin) // DAY

    job_R = shelf.any_open(day_R, draw)
    way_R = draw.random(len(day_R))
    popular_R = np.flatnonzero((way_R >= NEAR) & (way_R < NEAR + POPULAR))
    job_R[popular_R] = shelf.popular_open(day_R[popular_R], draw)
    near_R = np.flatnonzero(way_R < NEAR)
    best_R = np.full(len(near_R), -np.inf, dtype=np.float32)
    for _ in range(LOOKED_AT):
        try_R = shelf.any_open(day_R[near_R], draw)
        likeness_R = landscape.likeness_OO[
            members.occupation_M[member_R[near_R]], jobs.occupation_J[try_R]
        ]
        better_R = likeness_R > best_R
        best_R = np.where(better_R, likeness_R, best_R)
        job_R[near_R] = np.where(better_R, try_R, job_R[near_R])
    return Showing(at_R, member_R, job_R)
