"""
How well a job suits a member at a time, and how likely he therefore takes it when it is shown.

    scale = calibrate(settings, parts(...))         # once per world, on its first block
    probability_R = scale.probability(parts(...))

Each part is brought to zero mean and unit spread over what the market shows, so that WEIGHTS say
how much of the decision each part carries, whatever the size or the seed of a world.

Shapes: R rows (a job shown to a member), C parts of the affinity, K width of the latent space,
T width of taste, Q points in time at which a taste is known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.market.exposure import Showing
from star_features.market.jobs import Jobs
from star_features.market.members import TASTE_STEP, Members
from star_features.market.reading import CONTINENTS, PLACES
from star_features.market.settings import MarketSettings
from star_features.market.streams import TRANSITIONS, stream
from star_features.market.window import start_of

WEIGHTS = {  # spread of each part in the log-odds; squares say how the variance is shared
    "occupation": 0.95,
    "skills": 0.70,
    "transition": 0.50,
    "seniority": 0.65,
    "place": 0.65,
    "taste": 1.85,
}
TRANSITION_WIDTH = 12
CONTINENT_OF = np.array([sorted(set(CONTINENTS.values())).index(CONTINENTS[p]) for p in PLACES])


@dataclass(frozen=True)
class Scale:
    """Brings parts to log-odds: (parts - mean) / spread · weight, summed, plus the bias."""

    mean_C: NDArray[np.float64]
    spread_C: NDArray[np.float64]
    bias: float

    def probability(self, parts_RC: NDArray[np.float64]) -> NDArray[np.float64]:
        return sigmoid(log_odds(parts_RC, self.mean_C, self.spread_C) + self.bias)


def parts(
    settings: MarketSettings, members: Members, jobs: Jobs, seen: Showing
) -> NDArray[np.float64]:
    """The parts of the affinity for each row, R × C, in the order of WEIGHTS."""
    member_R, job_R = seen.member_R, seen.job_R
    member_RK, job_RK = members.vectors_MK[member_R], jobs.vectors_JK[job_R]
    taste_RT = taste_at(settings, members, seen)
    columns = {
        "occupation": (member_RK * job_RK).sum(1),
        "skills": shared_skills(members.skills_MS[member_R], jobs.skills_JS[job_R]),
        "transition": ((member_RK @ transition(settings, member_RK.shape[1])) * job_RK).sum(1),
        "seniority": -np.abs(members.aim_M[member_R].astype(float) - jobs.seniority_J[job_R]),
        "place": place_match(members, jobs, member_R, job_R),
        "taste": (taste_RT * jobs.taste_JT[job_R]).sum(1),
    }
    return np.stack([columns[name] for name in WEIGHTS], axis=1).astype(np.float64)


def shared_skills(member_RS: NDArray[np.int32], job_RS: NDArray[np.int32]) -> NDArray[np.float64]:
    """Square root of how many of a job's skills the member has."""
    both_R = (member_RS[:, :, None] == job_RS[:, None, :]).sum((1, 2))
    return np.asarray(np.sqrt(both_R.astype(np.float64)))


def transition(settings: MarketSettings, width: int) -> NDArray[np.float32]:
    """Which work people move on to: a relation between occupations that no likeness shows."""
    turn_KK = np.zeros((width, width), dtype=np.float32)
    used = min(TRANSITION_WIDTH, width)
    draw = stream(settings.seed, TRANSITIONS)
    turn_KK[:used, :used] = np.linalg.qr(draw.standard_normal((used, used)))[0]
    return turn_KK


def place_match(
    members: Members, jobs: Jobs, member_R: NDArray[np.int64], job_R: NDArray[np.int32]
) -> NDArray[np.float64]:
    """1 in the member's own city, less in his place and on his continent; remote suits some."""
    place_R, job_place_R = members.place_M[member_R], jobs.place_J[job_R]
    named_R = job_place_R < len(PLACES)
    continent_R = CONTINENT_OF[np.minimum(job_place_R, len(PLACES) - 1)] == CONTINENT_OF[place_R]
    city_R = (jobs.city_JC[job_R] == members.city_M[member_R][:, None]).any(1)
    near_R = np.where(city_R, 1.0, np.where(place_R == job_place_R, 0.7, 0.25 * continent_R))
    wishes_R, remote_R = members.remote_M[member_R], jobs.remote_J[job_R]
    at_home_R = np.where(remote_R, np.where(wishes_R, 1.0, 0.6), np.where(named_R, near_R, 0.35))
    return np.where(wishes_R & ~remote_R, 0.5 * at_home_R, np.maximum(at_home_R, near_R * named_R))


def taste_at(settings: MarketSettings, members: Members, seen: Showing) -> NDArray[np.float64]:
    """A member's taste at a time, on the straight line between the two points around it."""
    step_R = (seen.at_R - start_of(settings)) / TASTE_STEP
    before_R = np.minimum(step_R.astype(np.int64), members.taste_MQT.shape[1] - 2)
    part_R1 = (step_R - before_R)[:, None]
    early_RT = members.taste_MQT[seen.member_R, before_R]
    late_RT = members.taste_MQT[seen.member_R, before_R + 1]
    return np.asarray((1 - part_R1) * early_RT + part_R1 * late_RT)


def calibrate(settings: MarketSettings, parts_RC: NDArray[np.float64]) -> Scale:
    """The scale at which these rows are taken as often as the settings say, on average."""
    if not len(parts_RC):
        return Scale(np.zeros(len(WEIGHTS)), np.ones(len(WEIGHTS)), 0.0)
    mean_C, spread_C = parts_RC.mean(0), np.maximum(parts_RC.std(0), 1e-6)
    odds_R = log_odds(parts_RC, mean_C, spread_C)
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        too_low = sigmoid(odds_R + middle).mean() < settings.taken_share
        low, high = (middle, high) if too_low else (low, middle)
    return Scale(mean_C, spread_C, (low + high) / 2)


def log_odds(
    parts_RC: NDArray[np.float64], mean_C: NDArray[np.float64], spread_C: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted sum of the standardised parts, without the bias."""
    weights_C = np.array(list(WEIGHTS.values()))
    return np.asarray(((parts_RC - mean_C) / spread_C) @ weights_C)


def sigmoid(odds_R: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-odds_R)))
