"""
The interactions of a block: what was shown, what was taken, how far it went, and what was true.

    rows = interact(market, members, block, scale)

A taken job is sometimes shown to the same member again: two rows for one pair, at two times.

Shapes: R rows (a job shown to a member).
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from star_features.market.affinity import Scale, calibrate, parts
from star_features.market.exposure import Shelf, Showing, shown
from star_features.market.jobs import Jobs
from star_features.market.landscape import Landscape
from star_features.market.members import Members
from star_features.market.settings import MarketSettings
from star_features.market.streams import ROWS, stream
from star_features.market.window import DAY, END
from star_features.market.writing import TIME, job_id, member_id

NOT_TAKEN = "impression"
FUNNEL = ("view", "save", "apply", "inmail_accept", "hire")  # deeper to the right
DEEPER = np.array([0.70, 0.75, 0.40, 0.35])  # chance of the next step at probability 1
SHOWN_AGAIN_DAYS = 4.0


@dataclass(frozen=True)
class Market:
    """All of a world that is shared by its members."""

    settings: MarketSettings
    landscape: Landscape
    jobs: Jobs
    shelf: Shelf


@dataclass(frozen=True)
class Rows:
    """Rows of one block; `depth_R` is -1 where not taken, else an index into FUNNEL."""

    at_R: NDArray[np.int64]
    member_R: NDArray[np.int64]
    job_R: NDArray[np.int32]
    probability_R: NDArray[np.float32]
    depth_R: NDArray[np.int64]

    def table(self, first: int) -> pa.Table:
        """As Arrow, sorted by nothing; `first` is the number of the block's first member."""
        kinds = np.array([*FUNNEL, NOT_TAKEN])[self.depth_R]
        return pa.table(
            {
                "member_id": [member_id(first + row) for row in self.member_R],
                "job_id": [job_id(row) for row in self.job_R],
                "kind": kinds,
                "at": pa.array(self.at_R, TIME),
                "label": pa.array(self.depth_R >= 0).cast(pa.int8()),
                "probability": self.probability_R,
            }
        )


def pilot(market: Market, members: Members, block: int) -> Scale:
    """The world's scale, from what one block is shown."""
    draw = stream(market.settings.seed, ROWS, block)
    seen = shown(market.settings, market.landscape, market.jobs, members, market.shelf, draw)
    return calibrate(market.settings, parts(market.settings, members, market.jobs, seen))


def interact(market: Market, members: Members, block: int, scale: Scale) -> Rows:
    """All rows of a block: first showings, and second ones of some of what was taken."""
    draw = stream(market.settings.seed, ROWS, block)
    seen = shown(market.settings, market.landscape, market.jobs, members, market.shelf, draw)
    first = decide(market, members, scale, seen, draw)
    again_R = np.flatnonzero(
        (first.depth_R >= 0) & (draw.random(len(first.at_R)) < market.settings.shown_again)
    )
    at_R = (
        first.at_R[again_R] + (draw.random(len(again_R)) * SHOWN_AGAIN_DAYS * DAY).astype(int) + 1
    )
    still_R = (at_R < END) & (at_R < market.jobs.closed_J[first.job_R[again_R]])
    again_R, at_R = again_R[still_R], at_R[still_R]
    later = decide(
        market, members, scale, Showing(at_R, first.member_R[again_R], first.job_R[again_R]), draw
    )
    return joined(first, deeper_than(later, first.depth_R[again_R]))


def decide(
    market: Market, members: Members, scale: Scale, seen: Showing, draw: np.random.Generator
) -> Rows:
    """Take or leave each shown job, and go down the funnel the further the better it suits."""
    probability_R = scale.probability(parts(market.settings, members, market.jobs, seen))
    taken_R = draw.random(len(probability_R)) < probability_R
    goes_on_RF = draw.random((len(probability_R), len(DEEPER))) < DEEPER * probability_R[:, None]
    depth_R = np.where(taken_R, np.cumprod(goes_on_RF, axis=1).sum(1), -1)
    return Rows(seen.at_R, seen.member_R, seen.job_R, probability_R.astype(np.float32), depth_R)


def deeper_than(later: Rows, depth_R: NDArray[np.int64]) -> Rows:
    """A second look goes at least one step further than the first, unless the job is left."""
    reached_R = np.minimum(np.maximum(later.depth_R, depth_R + 1), len(FUNNEL) - 1)
    return replace(later, depth_R=np.where(later.depth_R >= 0, reached_R, -1))


def joined(left: Rows, right: Rows) -> Rows:
    return Rows(
        **{
            each.name: np.concatenate([getattr(left, each.name), getattr(right, each.name)])
            for each in fields(Rows)
        }
    )
