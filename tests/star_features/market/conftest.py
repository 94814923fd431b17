"""Worlds that several tests look at: generated once, small, and read as pandas tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from star_features.market.generate import generate
from star_features.market.settings import MarketReceipt, MarketSettings


@dataclass(frozen=True)
class World:
    folder: Path
    settings: MarketSettings
    receipt: MarketReceipt

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")


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
