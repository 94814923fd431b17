"""
The members of a world, drawn a block at a time so that a million of them never stand in memory.

    for block in range(block_count(settings)):
        members = draw_members(settings, landscape, jobs, block)

A block is always the same members, whatever else was drawn before it.

Shapes: M members of a block, K width of the latent space, S skills of a member, T width of taste,
Q points in time at which a taste is known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.market import reading
from star_features.market.jobs import PLACE_VALUES, TASTE_WIDTH, Jobs, pick_skills
from star_features.market.landscape import Landscape
from star_features.market.settings import MarketSettings
from star_features.market.streams import MEMBERS, WORK_TASTES, stream
from star_features.market.window import DAY, END, start_of
from star_features.spaces import unit

BLOCK = 4096
SKILLS_PER_MEMBER = 12
NEIGHBOURS = 6
COLD_DAYS = 21
TASTE_STEP = 15 * DAY
TASTE_KEPT = 0.98  # of a taste after one step: some 0.78 of it is left after 180 days
OWN_TASTE, WORK_TASTE = 0.85, 0.55
ACTIVITY_EXPONENT = 1.6
BUSIEST = 60.0  # times the least active
COLD_ACTIVITY = 0.4


@dataclass(frozen=True)
class Members:
    """One block of members.

    Attributes:
        first: number of the block's first member in the world.
        aim_M: the seniority a member wants, at times one above the one he has.
        remote_M: wants remote work. Like `aim_M` and `city_M`, only the text may tell.
        taste_MQT: taste at the points in time TASTE_STEP apart, from the window's start on.
        joined_M: microseconds since 1970; no interaction is earlier.
        rows_M: how many jobs are shown to each.
    """

    first: int
    occupation_M: NDArray[np.int32]
    vectors_MK: NDArray[np.float32]
    skills_MS: NDArray[np.int32]
    seniority_M: NDArray[np.int8]
    aim_M: NDArray[np.int8]
    city_M: NDArray[np.int8]
    place_M: NDArray[np.int8]
    remote_M: NDArray[np.bool_]
    field_M: NDArray[np.int8]
    taste_MQT: NDArray[np.float32]
    joined_M: NDArray[np.int64]
    cold_M: NDArray[np.bool_]
    rows_M: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.occupation_M)


def block_count(settings: MarketSettings) -> int:
    return -(-settings.members // BLOCK)


def draw_members(settings: MarketSettings, landscape: Landscape, jobs: Jobs, block: int) -> Members:
    """Draw one block. A member's work is that of some job of the market, or near it."""
    draw = stream(settings.seed, MEMBERS, block)
    first = block * BLOCK
    size = min(BLOCK, settings.members - first)
    model_M = draw.integers(len(jobs), size=size)  # the job whose worker this member could be
    occupation_M = near_occupations(landscape, jobs.occupation_J[model_M], draw)
    seniority_M = np.where(
        draw.random(size) < 0.5,
        jobs.seniority_J[model_M],
        jobs.seniority_J[draw.integers(len(jobs), size=size)],
    )
    city_M = draw_cities(jobs, size, draw)
    field_M = np.where(
        draw.random(size) < 0.8,
        jobs.category_J[model_M],
        jobs.category_J[draw.integers(len(jobs), size=size)],
    )
    cold_M = draw.random(size) < settings.cold_members
    return Members(
        first=first,
        occupation_M=occupation_M,
        vectors_MK=own_vectors(landscape.vectors_OK[occupation_M], draw),
        skills_MS=pick_skills(landscape.pool_OS[occupation_M], SKILLS_PER_MEMBER, draw),
        seniority_M=seniority_M,
        aim_M=np.minimum(seniority_M + (draw.random(size) < 0.3), 5).astype(np.int8),
        city_M=city_M,
        place_M=CITY_PLACE[city_M],
        remote_M=draw.random(size) < 0.3,
        field_M=field_M,
        taste_MQT=draw_tastes(settings, work_tastes(settings, landscape)[occupation_M], draw),
        joined_M=draw_joined(settings, cold_M, draw),
        cold_M=cold_M,
        rows_M=draw_activity(settings, cold_M, draw),
    )


CITY_PLACE = np.array([PLACE_VALUES.index(place) for _, place in reading.CITIES], dtype=np.int8)


def near_occupations(
    landscape: Landscape, occupation_M: NDArray[np.int32], draw: np.random.Generator
) -> NDArray[np.int32]:
    """Seven in ten keep the occupation; the others take one of its nearest neighbours."""
    order_OO = np.argsort(-landscape.likeness_OO, axis=1, kind="stable")[:, :NEIGHBOURS]
    pick_M = draw.integers(order_OO.shape[1], size=len(occupation_M))
    moved_M = order_OO[occupation_M, pick_M].astype(np.int32)
    return np.where(draw.random(len(occupation_M)) < 0.7, occupation_M, moved_M)


def own_vectors(vectors_MK: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    """A person is not quite his occupation: 0.3 of noise, which no text shows."""
    noise_MK = draw.standard_normal(vectors_MK.shape).astype(np.float32)
    return unit(vectors_MK + 0.3 * unit(noise_MK))


def draw_cities(jobs: Jobs, size: int, draw: np.random.Generator) -> NDArray[np.int8]:
    """Cities as often as jobs name them, every city at least as if once."""
    named = jobs.city_JC[jobs.city_JC >= 0]
    weight = np.bincount(named, minlength=len(reading.CITIES)) + 1.0
    return draw.choice(len(weight), size=size, p=weight / weight.sum()).astype(np.int8)


def work_tastes(settings: MarketSettings, landscape: Landscape) -> NDArray[np.float64]:
    """What people of one occupation have in common in taste, O × T: a text can give it away.

    Together with a company's name in a job's text this is learnable, yet no likeness shows it.
    """
    draw = stream(settings.seed, WORK_TASTES)
    turned_OT = landscape.vectors_OK @ draw.standard_normal(
        (landscape.vectors_OK.shape[1], TASTE_WIDTH)
    )
    return np.asarray((turned_OT - turned_OT.mean(0)) / np.maximum(turned_OT.std(0), 1e-6))


def draw_tastes(
    settings: MarketSettings, work_MT: NDArray[np.float64], draw: np.random.Generator
) -> NDArray[np.float32]:
    """A member's own taste, around that of his work: a random walk that forgets, and never widens.

    The own part stands in no text and in no column: only what he takes tells of it.
    """
    points = -(-settings.days * DAY // TASTE_STEP) + 1
    steps_MQT = draw.standard_normal((len(work_MT), points, TASTE_WIDTH))
    walk_MQT = steps_MQT.copy()
    for point in range(1, points):
        walk_MQT[:, point] = (
            TASTE_KEPT * walk_MQT[:, point - 1] + (1 - TASTE_KEPT**2) ** 0.5 * steps_MQT[:, point]
        )
    return (OWN_TASTE * walk_MQT + WORK_TASTE * work_MT[:, None]).astype(np.float32)


def draw_joined(
    settings: MarketSettings, cold_M: NDArray[np.bool_], draw: np.random.Generator
) -> NDArray[np.int64]:
    """Cold members join in the last weeks, six in ten of the others before the window starts."""
    start, size = start_of(settings), len(cold_M)
    early_M = start - draw.random(size) * 60 * DAY
    later_M = start + draw.random(size) * 0.75 * (END - start)
    cold_times_M = END - draw.uniform(0.5, COLD_DAYS, size) * DAY
    warm_M = np.where(draw.random(size) < 0.6, early_M, later_M)
    return np.where(cold_M, cold_times_M, warm_M).astype(np.int64)


def draw_activity(
    settings: MarketSettings, cold_M: NDArray[np.bool_], draw: np.random.Generator
) -> NDArray[np.int64]:
    """First showings per member: a power law cut off at BUSIEST times its least, cold ones less.

    Their mean leaves room for second showings, so that all rows together meet the setting.
    """
    share = 1 - settings.cold_members * (1 - COLD_ACTIVITY)
    share *= 1 + settings.shown_again * settings.taken_share
    exponent, cut = ACTIVITY_EXPONENT, BUSIEST
    pareto_M = (1 - draw.random(len(cold_M)) * (1 - cut**-exponent)) ** (-1 / exponent)
    mean = exponent / (exponent - 1) * (1 - cut ** (1 - exponent)) / (1 - cut**-exponent)
    wanted_M = pareto_M / mean / share * settings.interactions_per_member
    wanted_M *= np.where(cold_M, COLD_ACTIVITY, 1.0)
    return np.asarray(np.floor(wanted_M + draw.random(len(cold_M)))).astype(np.int64)
