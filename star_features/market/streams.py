"""
Random streams, one for each purpose and block: no draw depends on how much was drawn before.

    draw = stream(seed, MEMBERS, block)
"""

import numpy as np

POSTINGS, COMPANIES, JOBS, WORK_TASTES, MEMBERS, ROWS, MEMBER_TEXTS, JOB_TEXTS, TRANSITIONS = range(
    9
)


def stream(seed: int, purpose: int, block: int = 0) -> np.random.Generator:
    """The random stream of this world for this purpose and this block of entities."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, purpose, block])))
