"""
A small world for the graph's tests: 12 members, 9 jobs, 3 companies, skills, 8-wide text.

Members and jobs of one third share skills, text direction and taste, so there is something to
learn; times are whole days, so ties happen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from star_features.graph.build import build_graph
from star_features.graph.job_graph import JobGraph
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings
from star_features.graph.vocabulary import vocabulary_of
from star_features.spaces import VectorTable, unit

DAY_ONE = np.datetime64("2026-01-01", "us")


@dataclass(frozen=True)
class SmallWorld:
    members: pa.Table
    jobs: pa.Table
    text: dict[str, VectorTable]
    interactions: pa.Table
    edges: pa.Table | None = None

    def graph(self, **changed: Any) -> JobGraph:
        world = replace(self, **changed)
        tables = {"member": world.members, "job": world.jobs}

        def held(column: str) -> dict[str, list[str]]:
            return {entity: [column] for entity, t in tables.items() if column in t.column_names}

        return build_graph(
            world.members,
            world.jobs,
            world.text,
            interactions=world.interactions,
            edges=world.edges,
            categorical=held("place"),
            lists=held("skills"),
        )


def days(numbers: Any) -> pa.Array:
    """Timestamps that many days after the first of January 2026."""
    at = DAY_ONE + np.asarray(numbers, dtype=np.int64) * np.timedelta64(86_400_000_000, "us")
    return pa.array(at, pa.timestamp("us", "UTC"))


def small_world(seed: int = 0, *, members: int = 12, jobs: int = 9, rows: int = 150) -> SmallWorld:
    rng = np.random.default_rng(seed)
    member_ids, job_ids = [f"m{i}" for i in range(members)], [f"j{i}" for i in range(jobs)]
    eye = np.eye(8, dtype=np.float32)
    member_ND = eye[np.arange(members) % 3] + rng.normal(0, 0.3, (members, 8)).astype(np.float32)
    job_ND = eye[np.arange(jobs) % 3] + rng.normal(0, 0.3, (jobs, 8)).astype(np.float32)
    member, job = rng.integers(0, members, rows), rng.integers(0, jobs, rows)
    taken = (member % 3 == job % 3) | (rng.random(rows) < 0.1)
    return SmallWorld(
        members=pa.table(
            {
                "member_id": member_ids,
                "place": pa.array([None, "Oslo", "Rome", "Bern"]).take(
                    pa.array(rng.integers(0, 4, members))
                ),
                "skills": [[f"s{i % 3}", "all"] if i else [] for i in range(members)],
            }
        ),
        jobs=pa.table(
            {
                "job_id": job_ids,
                "company_id": [f"c{i % 3}" if i else None for i in range(jobs)],
                "skills": [[f"s{i % 3}"] for i in range(jobs)],
            }
        ),
        text={
            "member": VectorTable("member_text_v1@t", np.array(member_ids), unit(member_ND)),
            "job": VectorTable("job_text_v1@t", np.array(job_ids), unit(job_ND)),
        },
        interactions=pa.table(
            {
                "member_id": [f"m{i}" for i in member],
                "job_id": [f"j{i}" for i in job],
                "kind": np.where(rng.random(rows) < 0.3, "apply", "view"),
                "at": days(rng.integers(0, 30, rows)),
                "weight": pa.array(np.ones(rows), pa.float32()),
                "label": pa.array(taken.astype(np.int8)),
            }
        ),
    )


def untrained(graph: JobGraph, settings: GraphSettings) -> GraphModel:
    """A model with random weights, all of them: attention starts near uniform otherwise."""
    torch.manual_seed(settings.seed)
    model = GraphModel(vocabulary_of(graph, settings), settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.eval()


@pytest.fixture(scope="session")
def world() -> Callable[..., SmallWorld]:
    return small_world


@pytest.fixture(scope="session")
def model_of() -> Callable[[JobGraph, GraphSettings], GraphModel]:
    return untrained


@pytest.fixture(scope="session")
def on_days() -> Callable[[Any], pa.Array]:
    return days


@pytest.fixture(scope="session")
def tiny() -> GraphSettings:
    """Settings of a network that trains in a second."""
    return GraphSettings(
        hidden=16,
        heads=2,
        output=12,
        fan_outs=(4, 3),
        batch_size=16,
        epochs=3,
        threads=1,
        minimum_taken=5,
        patience=3,
        learning_rate=0.01,
    )
