"""One small home for all tests of whole runs: the README's CSV example, run once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.home import Home
from pipelines.receipts import Receipt
from pipelines.run import stages

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "examples" / "small_csv"
QUICK = "seed = 0\nhidden = 16\nheads = 2\nepochs = 2\nlabels_per_epoch = 200\nbatch_size = 32\n"

Run = Callable[[Home, Path], list[Receipt]]


def quick_repo(folder: Path) -> Path:
    """The feature repository with a network that trains in a second."""
    shutil.copytree(ROOT / "feature_repo", folder, ignore=shutil.ignore_patterns("__pycache__"))
    spaces = folder / "spaces.toml"
    text = spaces.read_text()
    assert "\nseed = 0\n" in text
    spaces.write_text(text.replace("\nseed = 0\n", f"\n{QUICK}"))
    return folder


def run_all(home: Home, source: Path) -> list[Receipt]:
    return [build().run(home) for build in stages(home, source)]


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Home]:
    def make(name: str) -> Home:
        folder = tmp_path_factory.mktemp(name)
        return Home(folder / "home", quick_repo(folder / "repo"))

    return make


@pytest.fixture(scope="session")
def run() -> Run:
    return run_all


@pytest.fixture(scope="session")
def small(make_home: Callable[[str], Home]) -> Home:
    """A home that has run the whole job on the small CSV example. Tests only read it."""
    home = make_home("small")
    run_all(home, SMALL)
    return home
