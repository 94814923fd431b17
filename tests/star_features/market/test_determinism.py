"""The same seed is the same world, whatever block is drawn first; another seed is another world."""

import shutil

import numpy as np
import pandas as pd
import pytest

from star_features.market import members as members_module
from star_features.market.generate import build, generate
from star_features.market.members import draw_members
from star_features.market.settings import MarketSettings

TABLES = ("members", "jobs", "interactions", "truth/affinity", "truth/members", "truth/jobs")
SMALL = {"members": 60, "jobs": 40, "interactions_per_member": 10}


@pytest.fixture(scope="module")
def small(make_world):
    return make_world(**SMALL, seed=1)


@pytest.fixture(scope="module")
def other(make_world):
    return make_world(**SMALL, seed=2)


def test_another_seed_gives_another_world(small, other):
    for name in ("members", "jobs"):
        assert (small.table(name)["text"] == other.table(name)["text"]).mean() < 0.1
    assert not set(small.table("interactions")["at"]) & set(other.table("interactions")["at"])


def test_the_same_seed_gives_the_same_world_also_in_the_place_of_another(small, other, tmp_path):
    folder = tmp_path / "world"
    shutil.copytree(small.folder, folder)
    generate(folder, MarketSettings(**SMALL, seed=2))
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert found == sorted(
        [*(f"{name}.parquet" for name in TABLES), "dataset.toml", "truth/settings.json"]
    )
    assert "seed-2" in (folder / "dataset.toml").read_text()
    for name in TABLES:
        assert pd.read_parquet(folder / f"{name}.parquet").equals(other.table(name)), name


def test_a_block_is_the_same_members_whether_or_not_others_were_drawn_before(monkeypatch):
    monkeypatch.setattr(members_module, "BLOCK", 16)
    settings = MarketSettings(**SMALL, seed=3)
    market, _ = build(settings)
    blocks = [draw_members(settings, market.landscape, market.jobs, block) for block in range(4)]
    alone = draw_members(settings, market.landscape, market.jobs, 2)
    assert [len(block) for block in blocks] == [16, 16, 16, 12]
    assert np.array_equal(alone.taste_MQT, blocks[2].taste_MQT)
    assert not np.array_equal(blocks[1].taste_MQT, blocks[2].taste_MQT)


def test_many_blocks_give_one_table_with_every_member_once(monkeypatch, make_world):
    monkeypatch.setattr(members_module, "BLOCK", 16)
    world = make_world(**SMALL, seed=3)
    assert world.table("members")["member_id"].tolist() == [f"m{n:07d}" for n in range(60)]
    assert world.table("interactions")["at"].is_monotonic_increasing


def test_a_world_with_one_job_and_one_member_is_a_world(make_world):
    world = make_world(members=1, jobs=1, seed=0)
    assert len(world.table("jobs")) == len(world.table("members")) == 1
    assert set(world.table("interactions")["job_id"]) <= {"j0000000"}
