"""
How large and how cold the simulated market is, and what `generate` says about it afterwards.

    MarketSettings(members=100_000)  # 20,000 jobs, about 3 million interactions
"""

from dataclasses import dataclass
from math import log10
from pathlib import Path

from pydantic import Field

from star_features.files import Settings


class MarketSettings(Settings):
    """What decides a simulated world; equal settings give equal worlds."""

    members: int = Field(default=3000, ge=1, le=5_000_000)
    """How many members; everything else follows from it."""

    jobs: int | None = Field(default=None, ge=1, le=5_000_000)
    """How many jobs; None takes `jobs_for(members)`."""

    interactions_per_member: float = Field(default=30.0, gt=0, le=1000)
    """Mean rows per member, shown-and-not-taken rows included."""

    seed: int = Field(default=0, ge=0)
    """Another seed is another world: other postings, other members, other tastes."""

    days: int = Field(default=180, ge=30, le=3650)
    """Length of the window, which ends on 2026-01-11 00:00 UTC."""

    taken_share: float = Field(default=0.36, gt=0.01, lt=0.99)
    """Share of first showings that are taken (label 1); second ones lift the whole by some 0.03."""

    shown_again: float = Field(default=0.3, ge=0, lt=1)
    """Share of the taken rows after which the same job is shown to the same member once more."""

    cold_members: float = Field(default=0.10, ge=0, le=0.9)
    """Share of members that join in the last weeks."""

    cold_jobs: float = Field(default=0.15, ge=0, le=0.9)
    """Share of jobs, the latest to open, that count as cold."""

    @property
    def job_count(self) -> int:
        return jobs_for(self.members) if self.jobs is None else self.jobs


def jobs_for(members: int) -> int:
    """Jobs for a market of this size: a half of its members up to 10,000, a fifth from 100,000.

    Between the two the share falls with the logarithm of the size, so the count never falls.
    """
    share = 0.5 - 0.3 * log10(max(1.0, min(members, 100_000) / 10_000))
    return max(1, int(round(members * share, 6)))


@dataclass(frozen=True)
class MarketReceipt:
    """What was written. `simulated` is always true: no member and no interaction is real."""

    out: Path
    seed: int
    members: int
    jobs: int
    interactions: int
    taken: int
    postings: int
    occupations: int
    cold_members: int
    cold_jobs: int
    simulated: bool = True
