"""Worlds that several tests look at: generated once and small, and read as pandas tables."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from star_features.market import generate as generate_module
from star_features.market.generate import generate
from star_features.market.settings import MarketReceipt, MarketSettings


@dataclass(frozen=True)
class World:
    folder: Path
    settings: MarketSettings
    receipt: MarketReceipt

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")


@pytest.fixture(scope="session", autouse=True)
def texts_are_read_once():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_esco", "read_postings"):
            patch.setattr(generate_module, name, cache(getattr(generate_module, name)))
        yield


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory):
    def make(**settings) -> World:
        folder = tmp_path_factory.mktemp("world")
        wanted = MarketSettings(**settings)
        return World(folder, wanted, generate(folder, wanted))

    return make


@pytest.fixture(scope="session")
def world(make_world) -> World:
    return make_world(members=1000, seed=7)
