"""What is run: worlds, versions, sizes. All of it is written beside the figures."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from star_features.errors import UsageError
from star_features.files import read_json, write_json

PROTOCOL = 1
"""Raised when a row means something else than it did: rows of another protocol are not mixed."""

WorldName = Literal["demo", "applications"]
OLD = "v1"


@dataclass(frozen=True)
class Version:
    """One of five, as real life has them; each changes what its name says and keeps the rest.

    Attributes:
        text: the text version its nodes carry.
        early: trained on the earlier part of the history only.
    """

    name: str
    what: str
    text: str
    early: bool
    seed: int
    width: int


VERSIONS = (
    Version("v1", "frozen text + graph", "frozen", True, 0, 200),
    Version("v2", "tuned text", "tuned", True, 0, 200),
    Version("v3", "more data, another seed", "tuned", False, 1, 200),
    Version("v4", "200 -> 256 wide", "tuned", False, 1, 256),
    Version("v5", "another text backbone", "other", False, 1, 256),
)


@dataclass(frozen=True)
class Plan:
    """Sizes of one run of the experiment.

    Attributes:
        members: of the simulated world; the real one is taken whole.
        tokens: of a text, at most.
        tuning: steps and pairs a step of the text tower's tuning.
        labels: that a ranker trains on, and that it is tested on, at most.
        network: settings of every graph tower beside width and seed.
        dial: weights of the trade-off curve.
        backbone: a model folder for v5's text; None is TF-IDF with SVD.
    """

    worlds: tuple[WorldName, ...] = ("demo", "applications")
    seeds: tuple[int, ...] = (0, 1, 2)
    versions: tuple[str, ...] = ("v2", "v3", "v4", "v5")
    members: int = 2_000
    tokens: int = 32
    tuning: tuple[int, int] = (8, 96)
    labels: tuple[int, int] = (4_000, 10_000)
    network: tuple[tuple[str, Any], ...] = (("labels_per_epoch", 12_000),)
    dial: tuple[float, ...] = (0.5, 2.0, 8.0, 32.0)
    dialled: str = "v3"
    backbone: str | None = None
    protocol: int = PROTOCOL

    def wanted(self) -> list[Version]:
        return [version for version in VERSIONS if version.name in self.versions]

    def cases(self) -> Iterator[tuple[WorldName, int]]:
        """Seed by seed, so that every world has a row early."""
        for seed in self.seeds:
            for world in self.worlds:
                yield world, seed


QUICK = Plan(
    worlds=("demo",),
    seeds=(0,),
    versions=("v2", "v3"),
    members=400,
    tokens=16,
    tuning=(1, 32),
    labels=(1_000, 2_000),
    network=(("epochs", 2), ("labels_per_epoch", 3_000)),
    dial=(8.0,),
)


def settle(folder: Path, plan: Plan) -> None:
    """Write the plan beside its figures; refuse a folder that holds those of another one."""
    path = folder / "plan.json"
    # Seeds and worlds may be added: they are rows of their own.
    fixed = {k: v for k, v in asdict(plan).items() if k not in ("worlds", "seeds", "dial")}
    write_json(folder / ".plan.json", fixed)  # through JSON, as what it is compared with
    asked = read_json(folder / ".plan.json")
    (folder / ".plan.json").unlink()
    if path.exists() and (held := read_json(path)) != asked:
        other = sorted(key for key in asked if asked[key] != held.get(key))
        raise UsageError(
            f"{folder} holds figures of another plan: {', '.join(other)} differ.\n"
            "Wanted one folder for one plan: --out ANOTHER_FOLDER"
        )
    write_json(path, asked)
