"""What every step of a release starts from: the home, the ledger, and who asks when and why."""

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.home import Home
from star_features.catalogue import Catalogue, Kind
from star_features.errors import UsageError
from star_features.ledger.ledger import Ledger
from star_features.ledger.releases import Step, states, steps
from star_features.online.columns import as_micros
from star_features.release.standing import Standing, standing
from star_features.store.feast_store import config_path, open_store

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Why:
    """Who wants a step, and for what reason.

    Attributes:
        forced: past what stands against it; then the reason may not be empty.
    """

    who: str
    reason: str = ""
    forced: bool = False

    def __post_init__(self) -> None:
        if self.forced and not self.reason.strip():
            raise UsageError('--force is recorded with its reason: add --reason "…"')


@dataclass(frozen=True)
class Desk:
    """The home as it is when a step begins.

    Attributes:
        recorded: what the ledger says, by kind and version.
        taken: every step so far, oldest first.
    """

    home: Home
    ledger: Ledger
    catalogue: Catalogue
    recorded: dict[tuple[str, str], str]
    taken: list[Step]
    now: datetime

    @property
    def now_us(self) -> int:
        return as_micros(self.now)

    @property
    def standing(self) -> dict[tuple[Kind, str], Standing]:
        return standing(self.catalogue, self.recorded)

    def state(self, kind: Kind, version: str) -> str:
        """Raises UsageError with the known versions where there is none of this name."""
        found = self.standing.get((kind, version))
        if found is None:
            self.catalogue.version(kind, version)
        return found.state if found else ""

    def steps_of(self, kind: Kind) -> list[Step]:
        return [step for step in self.taken if step.kind == kind]

    def step(
        self, action: str, kind: Kind, version: str, why: Why, numbers: Mapping[str, Any]
    ) -> Step:
        """A step of this version from the state it is in, to be taken or announced."""
        return Step(
            at_us=self.now_us,
            who=why.who,
            action=action,
            kind=kind,
            version=version,
            why=why.reason,
            forced=why.forced,
            numbers=numbers,
            from_state=self.state(kind, version),
        )

    def has_registry(self) -> bool:
        return config_path(self.home.path).exists()

    def store(self) -> "FeatureStore":
        return open_store(self.home.repo, self.home.path)


@contextmanager
def at_desk(home: Home, now: datetime | None = None) -> Iterator[Desk]:
    """Open the ledger and read where everything stands."""
    ledger = home.ledger()
    try:
        with ledger.read() as db:
            recorded, taken = states(db), steps(db)
        yield Desk(home, ledger, home.catalogue(), recorded, taken, now or datetime.now(UTC))
    finally:
        ledger.close()


def caller() -> str:
    """The name of the account that runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"
