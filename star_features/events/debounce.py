"""
When an event is worked on: after its entity has been quiet for a moment, but never too late.

    waiting = Debounce(Pace(quiet_ms=50, deadline_ms=150, batch=32))
    waiting.add(("job", "j1"), message, now=12.00)
    waiting.due(now=12.06)                   # [message]: 50 ms without another one of j1
    waiting.next_due()                       # when to look again, None where nothing waits

Ten edits of a profile within a moment are one encoding. The clock is the caller's, in seconds.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from pydantic import Field

from star_features.files import Settings

T = TypeVar("T")


class Pace(Settings):
    """How long events wait for more of their kind."""

    quiet_ms: int = Field(default=40, ge=0)
    """An entity is worked on when nothing of it came for so long."""
    deadline_ms: int = Field(default=120, ge=0)
    """And after so long, whatever still comes."""
    batch: int = Field(default=32, ge=1)
    """Entities worked on at a time, at most."""
    waiting: int = Field(default=10_000, ge=1)
    """Events in memory; past these nothing is read until some are done."""


@dataclass
class _Waiting(Generic[T]):
    first: float
    last: float
    items: list[T] = field(default_factory=list)


class Debounce(Generic[T]):
    """Items by key, each key released at its own time."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._of: dict[Hashable, _Waiting[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        return self._count >= self.pace.waiting

    def add(self, key: Hashable, item: T, now: float) -> None:
        """Take an item in; the quiet of its key begins anew, its deadline does not."""
        found = self._of.setdefault(key, _Waiting(now, now))
        found.last = now
        found.items.append(item)
        self._count += 1

    def due(self, now: float, *, everything: bool = False) -> list[T]:
        """Items of the keys whose time has come, the longest waiting first: one batch of keys.

        Args:
            everything: whether their time has come or not, as when the source is at its end.
        """
        come = (key for key, found in self._of.items() if everything or self._at(found) <= now)
        keys = list(islice(come, self.pace.batch))  # a dict goes by who came first
        chosen = [item for key in keys for item in self._of.pop(key).items]
        self._count -= len(chosen)
        return chosen

    def next_due(self) -> float | None:
        """When the first key's time comes."""
        return min(map(self._at, self._of.values()), default=None)

    def forget(self, which: Callable[[T], bool]) -> None:
        """Drop the items that another worker will bring."""
        for key, found in list(self._of.items()):
            found.items = [item for item in found.items if not which(item)]
            if not found.items:
                del self._of[key]
        self._count = sum(len(found.items) for found in self._of.values())

    def _at(self, found: _Waiting[T]) -> float:
        quiet = found.last + self.pace.quiet_ms / 1000
        return min(quiet, found.first + self.pace.deadline_ms / 1000)
