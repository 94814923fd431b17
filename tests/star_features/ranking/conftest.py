"""A training set as Feast joins it, from a market whose rule is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

SPACES = {
    "member_text": "member_text_v1@a",
    "job_text": "job_text_v1@b",
    "member_star": "member_graph_v1@c",
    "job_star": "job_graph_v1@d",
}


def joined(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Rows of 60 members and 40 jobs; place, text and graph each carry a third of the odds."""
    rng = np.random.default_rng(seed)
    member, job = rng.integers(0, 60, rows), rng.integers(0, 40, rows)
    places = np.array(["Oslo", "Rome", "Bonn"])
    frame = pd.DataFrame({"member_id": member.astype(str), "job_id": job.astype(str)})
    frame["event_timestamp"] = pd.to_datetime(rng.integers(0, 10**6, rows), unit="s", utc=True)
    world = np.random.default_rng(7)
    member_place, job_place = places[world.integers(0, 3, 60)], places[world.integers(0, 3, 40)]
    frame["member_attributes__place"] = member_place[member]
    frame["job_attributes__place"] = job_place[job]
    frame["member_attributes__seniority"] = world.choice(["junior", "senior"], 60)[member]
    odds = 2.0 * (member_place[member] == job_place[job])
    for signal in ("text", "star"):
        member_MD = world.normal(size=(60, 4)).astype(np.float32)
        job_JD = world.normal(size=(40, 4)).astype(np.float32)
        for side, vectors, row in (("member", member_MD, member), ("job", job_JD, job)):
            frame[f"{side}_{signal}__vector"] = list(vectors[row])
            frame[f"{side}_{signal}__space"] = SPACES[f"{side}_{signal}"]
        odds += (member_MD[member] * job_JD[job]).sum(axis=1)
    frame["label"] = (rng.random(rows) < 1 / (1 + np.exp(1 - odds))).astype(np.int64)
    return frame


@pytest.fixture(scope="session")
def market() -> Callable[..., pd.DataFrame]:
    return joined
