"""
Publish: say of each view whose online rows changed that they are whole, as an event.

    {"view": "job_graph_v1", "space": "job_graph_v1@…", "rows": 4000, "computed_us": …}

On the outbox topic `star.published`, once a change. A view with rows that are still pending is
not published.
"""

import json

from sqlalchemy import func, select

from pipelines.home import Home
from pipelines.materialize import histories
from pipelines.receipts import Facts
from pipelines.recording import now_us, opened
from star_features.errors import StoreError
from star_features.ledger.ledger import Ledger
from star_features.ledger.outbox import Letter, put
from star_features.ledger.schema import Vector
from star_features.ledger.vectors import counts
from star_features.spaces import digest
from star_features.store.feast_store import fingerprint

TOPIC = "star.published"


def publish(home: Home) -> Facts:
    """Put out an event for each view that changed since the last one.

    Raises:
        StoreError: views are not whole online; the others are published.
    """
    place = fingerprint(home.path)
    waiting, new = {}, []
    with opened(home) as ledger:
        for history in histories(home):
            if pending := counts(ledger, history.view, place).pending:
                waiting[history.view] = pending
                continue
            letter = _letter(ledger, history.view, place)
            with ledger.begin() as db:
                if letter and put(db, TOPIC, [letter], now_us()):
                    new.append(history.view)
    if waiting:
        names = ", ".join(f"{n:,} rows of {view}" for view, n in waiting.items())
        raise StoreError(f"not published, for they are not online yet: {names}.\nstar materialize")
    return {"published": new}


def _letter(ledger: Ledger, view: str, place: str) -> Letter | None:
    """What is online of a view; None where it has no rows."""
    asked = select(
        func.count(),
        func.max(Vector.space),
        func.max(Vector.content_us),
        func.max(Vector.computed_us),
    )
    with ledger.read() as db:
        rows, space, content_us, computed_us = db.execute(asked.where(Vector.view == view)).one()
    if not rows:
        return None
    told = {
        "view": view,
        "space": space,
        "rows": rows,
        "content_us": content_us,
        "computed_us": computed_us,
    }
    return Letter(view, json.dumps(told), digest([told, place], 32))
