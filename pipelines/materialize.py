"""
Materialize: what is newest, of every view, into the online store.

    star materialize

Only rows that the store does not hold yet, as the ledger says: a chunk is written, read back in
part, and ticked off. Another store, or one that lost its rows, holds nothing: everything is
written. `--force` writes everything whatever the ledger says.
"""

from pipelines.events.history import flush
from pipelines.home import Home
from pipelines.receipts import Facts, Stage, only_one
from pipelines.recording import now_us, opened
from star_features.catalogue import ENTITIES
from star_features.errors import StoreError
from star_features.ledger.ledger import Ledger
from star_features.ledger.releases import states
from star_features.ledger.vectors import counts, mark_pending
from star_features.progress import bar
from star_features.release.standing import served_pairs
from star_features.store.feast_store import config_path, fingerprint, online_files, open_store
from star_features.store.history import History
from star_features.store.materialize import Written, recheck, write_pending
from star_features.store.recording import follow
from star_features.tables.canonical import Tables


def stage(home: Home, after: list[str], *, look: bool = False, everything: bool = False) -> Stage:
    """
    The stage that fills the online store; `after` names the stages that made the vectors.

    Args:
        look: ask the store itself whether it still holds what the ledger says.
        everything: write every row, whatever the ledger says.
    """
    place = fingerprint(home.path) if config_path(home.path).exists() else None
    return Stage(
        name="materialize",
        settings={"views": [history.view for history in histories(home)], "store": place},
        after=["apply", *after],
        outputs=online_files(home.path),
        work=lambda: run(home, everything=everything),
        whole=lambda: is_whole(home, look=look),
    )


def histories(home: Home) -> list[History]:
    """The history behind every feature view this home serves.

    A version that is only a candidate, or retired, is not written online: see `star release`.
    """
    with home.reading() as db:
        pairs = served_pairs(home.catalogue(), states(db))
    views = sorted(pair.view(entity) for pair in pairs for entity in ENTITIES)
    spaces = [History.of_vectors(home.history, name) for name in views]
    tables = Tables(home.tables)
    attributes = [
        History.of_attributes(home.history, entity, tables.categorical(f"{entity}s"))
        for entity in ENTITIES
        if tables.categorical(f"{entity}s")
    ]
    return spaces + attributes


def run(home: Home, *, everything: bool = False) -> Facts:
    """Write what is pending of every view.

    Args:
        everything: as if the store were empty.

    Raises:
        StoreError: the store cannot be reached or did not keep a row, or rows that the ledger
            knows are in no part of the history.
    """
    store, place = open_store(home.repo, home.path), fingerprint(home.path)
    rows, written, lost = {}, {}, {}
    with opened(home) as ledger:
        flush(home, ledger, now_us())  # rows that events made: an emptied store needs them too
        for history in histories(home):
            found = _write(ledger, store, history, place, everything)
            rows[history.view] = counts(ledger, history.view, place).rows
            written[history.view], lost[history.view] = found.rows, found.lost
    if any(lost.values()):
        names = ", ".join(f"{n:,} of {view}" for view, n in lost.items() if n)
        raise StoreError(
            f"the ledger knows rows that are in no part of the history: {names}.\n"
            "All others were written. Mend the history: star audit --repair"
        )
    return {"rows": rows, "written": written, "store": place}


def verify(home: Home, *, every_row: bool) -> Facts:
    """Read back what should be online, and write again what is not as it should be.

    Args:
        every_row: all of them, not only those that were written first and last.

    Raises:
        StoreError: the store does not keep what is written to it.
    """
    store, place = open_store(home.repo, home.path), fingerprint(home.path)
    mended = {}
    with only_one(home), opened(home) as ledger:
        for history in histories(home):
            recheck(ledger, store, history.view, place, every_row=every_row)
            found = write_pending(ledger, store, history, place, now_us=now_us)
            mended[history.view] = found.rows
    return {"mended": mended}


def is_whole(home: Home, *, look: bool) -> bool:
    """Whether nothing is pending: as the ledger says, and as a look at the store says."""
    place = fingerprint(home.path)
    store = open_store(home.repo, home.path) if look else None
    with opened(home) as ledger:
        for history in histories(home):
            follow(ledger, history, now_us())
            if store is not None:
                recheck(ledger, store, history.view, place)
            if counts(ledger, history.view, place).pending:
                return False
    return True


def _write(
    ledger: Ledger, store: object, history: History, place: str, everything: bool
) -> Written:
    history.ensure()
    follow(ledger, history, now_us())
    if everything:
        with ledger.begin() as db:
            mark_pending(db, history.view)
    else:
        recheck(ledger, store, history.view, place)
    pending = counts(ledger, history.view, place).pending
    with bar(f"write {history.view}", pending, "row") as progress:
        return write_pending(ledger, store, history, place, now_us=now_us, progress=progress.update)
