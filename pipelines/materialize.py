"""
Materialize: the newest row of every entity, of every view, into the online store.

    star materialize

Safe to run again: the same rows are written over themselves.
"""

from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from star_features.catalogue import ENTITIES
from star_features.online.writer import write_batches
from star_features.progress import bar
from star_features.store.feast_store import online_files, open_store
from star_features.store.history import History
from star_features.tables.canonical import Tables


def stage(home: Home, after: list[str]) -> Stage:
    """The stage that fills the online store; `after` names the stages that made the vectors."""
    return Stage(
        name="materialize",
        settings={"views": [history.view for history in histories(home)]},
        after=["apply", *after],
        outputs=online_files(home.path),
        work=lambda: _work(home),
    )


def histories(home: Home) -> list[History]:
    """The history behind every feature view this home serves."""
    spaces = [History.of_vectors(home.history, name) for name in home.catalogue().views()]
    tables = Tables(home.tables)
    attributes = [
        History.of_attributes(home.history, entity, tables.categorical(f"{entity}s"))
        for entity in ENTITIES
        if tables.categorical(f"{entity}s")
    ]
    return spaces + attributes


def _work(home: Home) -> Facts:
    store = open_store(home.repo, home.path)
    rows = {}
    for history in histories(home):
        history.ensure()
        with bar(f"write {history.view}", unit="row") as progress:
            rows[history.view] = write_batches(
                store, history.view, history.latest_batches(), progress=progress.update
            )
    return {"rows": rows}
