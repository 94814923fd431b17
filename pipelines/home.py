"""
The home folder: everything that is computed lies there, and nothing else does.

$STAR_HOME, or `.star` in the current folder. Removing it is starting over.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, make_url

from star_features.catalogue import Catalogue, SpacePair
from star_features.errors import UsageError
from star_features.ledger.ledger import Ledger
from star_features.ledger.releases import states
from star_features.ledger.slots import Claim, guarded
from star_features.release.standing import retired_versions


@dataclass(frozen=True)
class Home:
    """Where things lie.

    Attributes:
        path: the home folder itself.
        repo: the Feast repository folder, with `feature_store.yaml` and `spaces.toml`.
        claim: the slot that this process works on, if it does: it writes no longer than it holds.
        patience_s: how long to wait while another process works in this home.
    """

    path: Path
    repo: Path
    claim: Claim | None = None
    patience_s: float = 0

    @classmethod
    def find(cls, path: Path | None = None, repo: Path | None = None) -> "Home":
        """The home and repository to use: as given, else from the environment, else here."""
        given = path or Path(os.environ.get("STAR_HOME") or ".star")
        return cls(given.resolve(), (repo or _find_repo()).resolve())

    @property
    def market(self) -> Path:
        return self.path / "market"

    @property
    def truth(self) -> Path:
        """What the simulation knows and no model may read; evaluation compares with it."""
        return self.market / "truth"

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def history(self) -> Path:
        return self.path / "history"

    @property
    def maps(self) -> Path:
        """Maps between spaces: a folder each, named by its two ends and its content."""
        return self.path / "maps"

    @property
    def ledger_url(self) -> str:
        """$STAR_LEDGER (Postgres, in production), or a file in the home."""
        return os.environ.get("STAR_LEDGER") or f"sqlite:///{self.path / 'ledger.db'}"

    def ledger(self) -> Ledger:
        """The ledger, at the newest schema; the caller closes it."""
        self.path.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.open(self.ledger_url)
        return guarded(ledger, self.claim) if self.claim else ledger

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The ledger, to look something up."""
        ledger = self.ledger()
        try:
            with ledger.read() as db:
                yield db
        finally:
            ledger.close()

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file, where it is SQLite's."""
        url = make_url(self.ledger_url)
        return Path(url.database) if url.drivername == "sqlite" and url.database else None

    @property
    def receipts(self) -> Path:
        return self.path / "receipts"

    @property
    def training_set(self) -> Path:
        return self.path / "training_set"

    @property
    def ranker(self) -> Path:
        return self.path / "models" / "ranker"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def release(self, kind: str, version: str) -> Path:
        """What the gate found of one version: its table, its picture."""
        return self.path / "releases" / f"{kind}_{version}"

    def model(self, name: str) -> Path:
        """The folder of one model version, such as `graph_v1`."""
        return self.path / "models" / name

    @property
    def schedule(self) -> Path:
        """When jobs run; the defaults of the code where there is no such file."""
        return self.repo / "schedule.toml"

    def catalogue(self) -> Catalogue:
        return Catalogue.load(self.repo / "spaces.toml")

    def tower(self, pair: SpacePair) -> str:
        """The stage that makes the vectors of a pair, by a model or through maps."""
        if pair.filled_by:
            return f"map.{pair}"
        return f"encode.{pair.name}" if pair.kind == "text" else f"graph.{pair.name}"

    def fit(self, pair: SpacePair) -> str:
        """The stage that fits the maps of a mapped pair."""
        return f"fit.{pair}"

    def living(self) -> tuple[list[SpacePair], list[SpacePair]]:
        """Native and mapped pairs that are computed: none that has to do with a retired version."""
        known = self.catalogue()
        with self.reading() as db:
            gone = retired_versions(states(db))

        def lives(pair: SpacePair) -> bool:
            return not {(pair.kind, pair.version), (pair.kind, pair.source)} & gone

        native, mapped = known.native_pairs(), known.mapped_pairs()
        return [p for p in native if lives(p)], [p for p in mapped if lives(p)]

    def towers(self) -> list[str]:
        """Names of the stages that make vectors, and of those that fit the maps for it."""
        native_pairs, mapped = self.living()
        native = [self.tower(pair) for pair in native_pairs]
        return native + [stage for pair in mapped for stage in (self.fit(pair), self.tower(pair))]

    def stages(self) -> list[str]:
        """Names of all stages, in order; the first is there for simulated data only."""
        return [
            *("market", "ingest", *self.towers()),
            *("apply", "materialize", "training-set", "rank"),
        ]


def _find_repo() -> Path:
    """`feature_repo` here, else the one this installation came with."""
    here = Path("feature_repo")
    if (here / "spaces.toml").exists():
        return here
    spec = importlib.util.find_spec("feature_repo")
    for folder in spec.submodule_search_locations or [] if spec else []:
        if (Path(folder) / "spaces.toml").exists():
            return Path(folder)
    raise UsageError(
        "no feature repository here: wanted a folder feature_repo/ with spaces.toml and "
        "feature_store.yaml, or --repo FOLDER."
    )
