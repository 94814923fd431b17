"""
Putting events in, and looking at those that go out.

    sent = send(home, settings, lines)            # how many were new
    for update in watch(home, settings, stop): …

Lines go out as they are: what cannot be read is for the worker to set aside, with its reason.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from pipelines.events.settings import EventSettings
from pipelines.events.sources import letter_of
from pipelines.home import Home
from pipelines.recording import now_us
from star_features.ledger import outbox

AT_ONCE = 1_000
PAUSE = 0.2  # seconds between two looks at the outbox


def send(home: Home, settings: EventSettings, lines: Iterable[bytes]) -> tuple[int, int]:
    """Send every line that is not blank; returns how many there were, and how many are new.

    Into the outbox an event goes once: known by its own id, or else by its bytes.
    """
    letters = (letter_of(line.strip()) for line in lines if line.strip())
    if settings.source == "kafka":
        from pipelines.events import kafka

        every = list(letters)
        kafka.send(settings, every)
        return len(every), len(every)
    ledger = home.ledger()
    sent = new = 0
    while part := list(islice(letters, AT_ONCE)):
        with ledger.begin() as db:
            new += outbox.put(db, settings.incoming, part, now_us())
        sent += len(part)
    ledger.close()
    return sent, new


def watch(
    home: Home, settings: EventSettings, stop: Callable[[], bool], *, from_start: bool
) -> Iterator[dict[str, Any]]:
    """Updates as they go out, until stopped; from now on, or from the oldest that is kept.

    With `from_start` and a `stop` that is true at once: those that are there.
    """
    if settings.source == "kafka":
        from pipelines.events import kafka

        yield from kafka.watch(settings, stop, from_start=from_start)
        return
    ledger = home.ledger()
    with ledger.read() as db:
        last = 0 if from_start else outbox.last_place(db, settings.outgoing)
    while True:
        with ledger.read() as db:
            found = outbox.after(db, settings.outgoing, last)
        for held in found:
            yield json.loads(held.payload)
            last = held.id
        if not found:
            if stop():
                break
            time.sleep(PAUSE)
    ledger.close()
