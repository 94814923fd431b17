"""
The jobs of a world: real postings with latent needs drawn around them.

    jobs = draw_jobs(settings, postings, landscape, chosen)

`chosen` says which posting each job is (`choose_postings`). More jobs than postings means
re-postings: the same text at another time, asking for other skills.

Shapes: J jobs, K width of the latent space, S skills of a job, T width of taste, C cities of a job.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.market import reading
from star_features.market.landscape import Landscape
from star_features.market.settings import MarketSettings
from star_features.market.sources import Posting
from star_features.market.streams import COMPANIES, JOBS, POSTINGS, stream
from star_features.market.window import DAY, END, start_of
from star_features.spaces import unit

SKILLS_PER_JOB = 8
CITIES_PER_JOB = 3
TASTE_WIDTH = 2  # some 25 rows must tell a member's taste: few directions, or none is found
COMPANY_TASTE, OWN_TASTE = 0.9, 0.4
TITLE_PART = 0.45
LEAD_DAYS = 42
SHORTEST_DAYS, LONGEST_DAYS = 21, 84


@dataclass(frozen=True)
class Jobs:
    """Every job of a world, held in memory: some 300 bytes each.

    Attributes:
        companies: names, in the order that `company_J` counts in.
        opened_J, closed_J: microseconds since 1970; a job is shown only between them.
        city_JC: indices into reading.CITIES, -1 where the location names fewer.
        place_J: indices into the values of the place column.
        popularity_J: how often shown to those that the market shows popular jobs to; sums to 1.
    """

    posting_J: NDArray[np.int32]
    occupation_J: NDArray[np.int32]
    vectors_JK: NDArray[np.float32]
    skills_JS: NDArray[np.int32]
    seniority_J: NDArray[np.int8]
    place_J: NDArray[np.int8]
    city_JC: NDArray[np.int8]
    remote_J: NDArray[np.bool_]
    company_J: NDArray[np.int32]
    category_J: NDArray[np.int8]
    taste_JT: NDArray[np.float32]
    opened_J: NDArray[np.int64]
    closed_J: NDArray[np.int64]
    popularity_J: NDArray[np.float64]
    cold_J: NDArray[np.bool_]
    companies: tuple[str, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.posting_J)


PLACE_VALUES = (*reading.PLACES, reading.REMOTE, reading.UNSPECIFIED)


def choose_postings(settings: MarketSettings, known: int) -> NDArray[np.int32]:
    """Which of `known` postings each job is: every posting once, then again in another order."""
    draw = stream(settings.seed, POSTINGS)
    rounds = -(-settings.job_count // known)
    orders = [draw.permutation(known) for _ in range(rounds)]
    return np.concatenate(orders)[: settings.job_count].astype(np.int32)


def draw_jobs(
    settings: MarketSettings,
    postings: tuple[Posting, ...],
    landscape: Landscape,
    chosen_J: NDArray[np.int32],
) -> Jobs:
    """Draw everything about the jobs; `chosen_J` counts in the distinct `postings`."""
    draw = stream(settings.seed, JOBS)
    size = len(chosen_J)
    occupation_J = landscape.occupation_P[chosen_J]
    companies = tuple(sorted({post.company for post in postings}))
    categories = tuple(sorted({post.category for post in postings}))
    company_J = column(postings, chosen_J, lambda post: companies.index(post.company))
    opened_J = opening_times(settings, postings, chosen_J, draw)
    lasting_J = draw.uniform(SHORTEST_DAYS, LONGEST_DAYS, size) * DAY
    return Jobs(
        posting_J=chosen_J,
        occupation_J=occupation_J,
        vectors_JK=unit(
            (1 - TITLE_PART) * landscape.vectors_OK[occupation_J]
            + TITLE_PART * landscape.titles_PK[chosen_J]
        ),
        skills_JS=pick_skills(landscape.pool_OS[occupation_J], SKILLS_PER_JOB, draw),
        seniority_J=column(postings, chosen_J, lambda post: reading.seniority(post.title), "i1"),
        place_J=column(
            postings,
            chosen_J,
            lambda post: PLACE_VALUES.index(reading.place_column(post.location)),
            "i1",
        ),
        city_JC=np.array([first_cities(post.location) for post in postings], np.int8)[chosen_J],
        remote_J=column(postings, chosen_J, lambda post: reading.is_remote(post.location), "?"),
        company_J=company_J,
        category_J=column(postings, chosen_J, lambda post: categories.index(post.category), "i1"),
        taste_JT=(
            COMPANY_TASTE * company_tastes(settings, len(companies))[company_J]
            + OWN_TASTE * draw.standard_normal((size, TASTE_WIDTH))
        ).astype(np.float32),
        opened_J=opened_J,
        closed_J=(opened_J + lasting_J).astype(np.int64),
        popularity_J=zipf(size, draw),
        cold_J=latest(opened_J, settings.cold_jobs),
        companies=companies,
        categories=categories,
    )


def column(
    postings: tuple[Posting, ...],
    chosen_J: NDArray[np.int32],
    read: Callable[[Posting], object],
    kind: str = "i4",
) -> NDArray[Any]:
    """Read one value per distinct posting and spread it over the jobs."""
    return np.array([read(post) for post in postings], dtype=kind)[chosen_J]


def company_tastes(settings: MarketSettings, companies: int) -> NDArray[np.float64]:
    """What it is like to work there: in no text and no column, only in who takes their jobs."""
    return stream(settings.seed, COMPANIES).standard_normal((companies, TASTE_WIDTH))


def first_cities(location: str) -> list[int]:
    named = list(reading.cities(location))[:CITIES_PER_JOB]
    return named + [-1] * (CITIES_PER_JOB - len(named))


def opening_times(
    settings: MarketSettings,
    postings: tuple[Posting, ...],
    chosen_J: NDArray[np.int32],
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Simulated opening times: the real order of first-seen days, stretched over the window.

    Three quarters of the postings were first seen on one day, company after company, so within a
    day the order is shuffled. A re-posting (a second job of one posting) opens at any time. Some
    open in the weeks before the window, so that its first day has jobs to show.
    """
    size = len(chosen_J)
    days = np.array([post.first_seen[:10] for post in postings])[chosen_J]
    quantile_J = np.empty(size)
    quantile_J[np.lexsort((draw.random(size), days))] = (np.arange(size) + 0.5) / size
    first_J = np.zeros(size, dtype=bool)
    first_J[np.unique(chosen_J, return_index=True)[1]] = True
    quantile_J = np.where(first_J, quantile_J, draw.random(size))
    begin = start_of(settings) - LEAD_DAYS * DAY
    return (begin + quantile_J * (END - begin)).astype(np.int64)


def pick_skills(
    pool_NS: NDArray[np.int32], count: int, draw: np.random.Generator
) -> NDArray[np.int32]:
    """`count` different skills out of each row's pool, the nearest ones more often."""
    liking = draw.gumbel(size=pool_NS.shape) - 0.08 * np.arange(pool_NS.shape[1])
    order = np.argpartition(-liking, count - 1, axis=1)[:, :count]
    return np.take_along_axis(pool_NS, order, axis=1)


def zipf(size: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Popularity that falls with rank to the power 0.8, over a random order of the jobs."""
    weight = (draw.permutation(size) + 1.0) ** -0.8
    return np.asarray(weight / weight.sum())


def latest(opened_J: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """The `share` of jobs that open last."""
    order = np.argsort(opened_J, kind="stable")
    flags = np.zeros(len(opened_J), dtype=bool)
    flags[order[len(order) - round(share * len(order)) :]] = True
    return flags
