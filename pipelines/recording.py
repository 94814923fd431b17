"""
The home's ledger, kept in step with its history: opened, followed, closed.

    with recorder(home) as recorded:
        recorded(history)                    # after each chunk
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pipelines.home import Home
from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import forget_view
from star_features.store.history import History
from star_features.store.recording import follow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Microseconds since 1970, as the ledger counts time."""
    return as_us(datetime.now(UTC))


def as_us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@contextmanager
def opened(home: Home) -> Iterator[Ledger]:
    """The home's ledger, closed at the end."""
    ledger = home.ledger()
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def recorder(home: Home) -> Iterator[Callable[[History], int]]:
    """Call it with a history that has grown: the ledger takes in what is new there."""
    with opened(home) as ledger:
        yield lambda history: follow(ledger, history, now_us())


def forget_views(home: Home, views: Iterable[str]) -> None:
    """These views begin anew: nothing is known of them."""
    with opened(home) as ledger, ledger.begin() as db:
        for view in views:
            forget_view(db, view)
