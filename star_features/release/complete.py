"""
Is a feature view whole? Every entity that should have a vector has it, online as in the ledger.

    found = check_view(store, ledger, history, now_us)
    found.problems()            # [] or what is wrong, each with the command that mends it

What should be there is what the ledger knows, after it has taken in what is new in the history.
Every vector's checksum is compared with that of the bytes in the online store, a page at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import newest
from star_features.online.stored import stored
from star_features.store.history import History
from star_features.store.recording import follow

if TYPE_CHECKING:
    from feast import FeatureStore

EXAMPLES = 3


@dataclass(frozen=True)
class ViewState:
    """One view, compared.

    Attributes:
        rows: entities that should have a vector, as the ledger knows.
        history: entities that ever had one in the history, those that are gone too.
        missing: those without one online.
        different: those with another vector, or another space, online.
        examples: some ids that are missing or different.
        unmapped: rows of the source version that the view does not tell yet; 0 of a native view.
        lost: entities that readers find today and would not find any more.
    """

    view: str
    rows: int
    history: int
    missing: int
    different: int
    examples: tuple[str, ...]
    unmapped: int = 0
    lost: int = 0

    def problems(self) -> list[str]:
        """What stands against reading this view, each with the command that mends it."""
        named = f", such as {', '.join(self.examples)}" if self.examples else ""
        found = []
        if not self.rows:
            found.append(f"{self.view} holds not one vector: star run --data DIR")
        if self.rows > self.history:
            found.append(
                f"{self.view}: the ledger knows {self.rows:,} entities, the history "
                f"{self.history:,}: star audit --repair"
            )
        if self.unmapped:
            _, kind, old, _, new = self.view.split("_")
            found.append(
                f"{self.view}: {self.unmapped:,} rows are not mapped: "
                f"star compat apply {kind} {old} --from {new}"
            )
        for count, what in ((self.missing, "not online"), (self.different, "another online")):
            if count:
                found.append(
                    f"{self.view}: {count:,} of {self.rows:,} vectors are {what}{named}: "
                    "star materialize --force"
                )
        if self.lost:
            found.append(
                f"{self.view} has no vector for {self.lost:,} entities that readers find today: "
                "star run --data DIR"
            )
        return found


def check_view(
    store: "FeatureStore",
    ledger: Ledger,
    history: History,
    now_us: int,
    *,
    unmapped: int = 0,
    lost: int = 0,
    progress: Callable[[int], object] = lambda rows: None,
) -> ViewState:
    """Compare every vector that the ledger knows of a view with what the online store holds."""
    history.ensure()
    follow(ledger, history, now_us)
    rows = missing = different = 0
    examples: list[str] = []
    for page in newest(ledger, history.view):
        there = stored(store, history.view, [row.entity_id for row in page])
        for wanted, found in zip(page, there, strict=True):
            as_good = found.checksum == wanted.checksum or found.event_us > wanted.content_us
            if found.checksum is not None and as_good:
                continue
            missing += found.checksum is None
            different += found.checksum is not None
            examples += [wanted.entity_id] * (len(examples) < EXAMPLES)
        rows += len(page)
        progress(len(page))
    known = history.count_entities()
    return ViewState(history.view, rows, known, missing, different, tuple(examples), unmapped, lost)
