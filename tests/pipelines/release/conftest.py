"""
A home with two graph versions, ready to be released: vectors are drawn, everything else is real.

The tables are those of the small CSV example; text v1, graph v1 and graph v2 have random vectors
(v2 is v1, turned), so that no tower has to be trained. Feast's registry, the online store, the maps
and the ledger are what `star` makes of them.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import apply, compat, encode, graph, ingest, materialize
from pipelines.home import Home
from pipelines.receipts import Receipt, Stage
from pipelines.release import lifecycle
from pipelines.release.desk import Why
from pipelines.roles import ids
from star_features.catalogue import ENTITIES, SpacePair
from star_features.files import write_json
from star_features.spaces import unit
from star_features.store.history import TIME, History, as_lists
from star_features.tables.canonical import Tables

ROOT = Path(__file__).parents[3]
SMALL = ROOT / "examples" / "small_csv"
WIDTHS = {"text_v1": 6, "graph_v1": 4, "graph_v2": 4, "graph_v3": 4}
MAPPED = SpacePair("graph", "v1", "v2")
WEEK = timedelta(days=7)
SPACES = """\
[text.v1]
width = 6
[graph.v1]
width = 4
text = "v1"
[graph.v2]
width = 4
text = "v1"
[mapped.graph.v1]
from = "v2"

[stable] # what rankers read
text = "text.v1"
star = "graph.v1" # the old one
"""


def drawn(name: str, entity: str, keys: list[str]) -> np.ndarray:
    """Vectors of one space; those of graph v2 are graph v1's, turned."""
    base, turn = ("graph_v1", 1) if name in ("graph_v2", "graph_v3") else (name, 0)
    rng = np.random.default_rng([len(entity), len(base)])
    vectors_ND = rng.standard_normal((len(keys), WIDTHS[base])) + 0.5
    square = np.random.default_rng(int(name[-1])).standard_normal((WIDTHS[base],) * 2)
    rotation = np.linalg.qr(square)[0] if turn else np.eye(WIDTHS[base])
    return unit((vectors_ND @ rotation).astype(np.float32))


def fill(home: Home, name: str, entity: str, at: datetime, created: datetime) -> None:
    """One row for everybody, of one moment."""
    keys = ids(Tables(home.tables), entity)
    history = History.of_vectors(home.history, f"{entity}_{name}")
    rows = {
        history.key: keys,
        "vector": as_lists(drawn(name, entity, keys)),
        "space": [f"{history.view}@{'0' * 11}{name[-1]}"] * len(keys),
        "input_hash": [f"{name} {at:%F}"] * len(keys),
        "event_timestamp": pa.array([at] * len(keys), TIME),
        "created": pa.array([created] * len(keys), TIME),
    }
    history.append(pa.table(rows))


def leave_receipt(home: Home, stage: Stage) -> None:
    """What a tower would have left."""
    finished = datetime.now(UTC).isoformat(timespec="milliseconds")
    key, settings = stage.key(home), dict(stage.settings)
    receipt = Receipt(stage.name, key, {}, settings, 0.0, finished)
    write_json(home.receipts / f"{stage.name}.json", asdict(receipt))


def copy_of(home: Home, folder: Path) -> Home:
    copied = Home(folder / "home", folder / "repo")
    shutil.copytree(home.path, copied.path)
    shutil.copytree(home.repo, copied.repo)
    config = copied.path / "feature_store.yaml"
    config.write_text(config.read_text().replace(str(home.path), str(copied.path)))
    return copied


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """v1 is served, v2 and v1 from v2 are computed. Tests copy it."""
    folder = tmp_path_factory.mktemp("two_versions")
    home = Home(folder / "home", folder / "repo")
    shutil.copytree(ROOT / "feature_repo", home.repo, ignore=shutil.ignore_patterns("__pycache__"))
    (home.repo / "spaces.toml").write_text(SPACES)
    ingest.stage(home, SMALL).run(home)
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    for name in ("text_v1", "graph_v1", "graph_v2"):
        for entity in ENTITIES:
            for week in range(2):
                fill(home, name, entity, long_ago + week * WEEK, long_ago + week * WEEK)
    leave_receipt(home, encode.stage(home, "v1"))
    for version in ("v1", "v2"):
        leave_receipt(home, graph.stage(home, version))
    compat.fit_stage(home, MAPPED).run(home)
    compat.map_stage(home, MAPPED).run(home)
    apply.stage(home).run(home)
    materialize.stage(home, home.towers()).run(home)
    return home


@pytest.fixture(scope="session")
def in_shadow(two_versions: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same, with v2 in shadow. Tests copy it."""
    home = copy_of(two_versions, tmp_path_factory.mktemp("in_shadow"))
    for build in lifecycle.shadow(home, "graph", "v2", Why("mia", "to see it")):
        build().run(home)
    return home


@pytest.fixture
def life(two_versions: Home, tmp_path: Path) -> Home:
    """A home of one's own, with v2 computed and a candidate."""
    return copy_of(two_versions, tmp_path)


@pytest.fixture
def shadowed(in_shadow: Home, tmp_path: Path) -> Home:
    """A home of one's own, with v2 in shadow."""
    return copy_of(in_shadow, tmp_path)


@pytest.fixture
def add_week() -> Callable[[Home, str], None]:
    """A third week of one version: what a nightly run would have computed."""

    def add(home: Home, name: str) -> None:
        week = datetime(2024, 1, 15, tzinfo=UTC)
        for entity in ENTITIES:
            fill(home, name, entity, week, week)

    return add


STUB = """
import numpy as np
from star_features.errors import SpaceMismatch


class Dot:
    '''Scores a pair by the dot product of its star vectors, in one space only.'''

    def __init__(self, space):
        self.space = space

    @classmethod
    def load(cls, folder):
        return cls((folder / "space").read_text())

    def score(self, features):
        spaces = set(features["job_star__space"].dropna())
        if spaces != {self.space}:
            raise SpaceMismatch(got=str(sorted(spaces)), wanted=self.space)
        member, job = (np.stack(features[f"{side}_star__vector"]) for side in ("member", "job"))
        return np.einsum("nd,nd->n", member, job)

    def retrained(self, frame):
        return Dot(frame["job_star__space"].dropna().iloc[0])
"""


@pytest.fixture
def dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The scorer of a consumer that was trained on graph v1; `…2` beside it, on v2."""
    (tmp_path / "stub_consumer.py").write_text(STUB)
    monkeypatch.syspath_prepend(str(tmp_path))
    for version in (1, 2):
        folder = tmp_path / f"dot{version}"
        folder.mkdir()
        (folder / "space").write_text(f"job_graph_v{version}@{'0' * 11}{version}")
    return f"stub_consumer:Dot={tmp_path / 'dot1'}"
