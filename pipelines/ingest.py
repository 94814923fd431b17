"""
Ingest: anyone's tables become the canonical ones, and their categorical columns become features.

    star ingest --data DIR [--config dataset.toml]

Bad rows go to `tables/quarantine.parquet` with their reason; the rest goes on. What events told and
the source does not say yet is laid over it (told.py).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipelines import told
from pipelines.events.history import flush
from pipelines.gone import come_back, leave
from pipelines.home import Home
from pipelines.receipts import Facts, Stage, find_receipt
from pipelines.recording import now_us, opened
from star_features.catalogue import ENTITIES
from star_features.errors import DataError, UsageError
from star_features.files import sha256
from star_features.ledger.ledger import Ledger
from star_features.ledger.tombstones import Graves, graves
from star_features.store.history import History, hash_categories
from star_features.store.recording import follow
from star_features.tables.barred import Barred
from star_features.tables.canonical import Tables
from star_features.tables.read import read_dataset


def stage(home: Home, source: Path, config: Path | None = None, *, all_gone: bool = False) -> Stage:
    """
    The stage that fills `tables/` and the history of the categorical features.

    Args:
        all_gone: remove entities that are gone from the tables, however many they are.
    """
    _refuse_other_source(home, source)
    return Stage(
        name="ingest",
        settings={
            "source": str(source.resolve()),
            "config": str(config.resolve()) if config else None,
            "files": fingerprint(source, config),
            **_told(home),
        },
        after=[],
        outputs=[home.tables / "schema.json"],
        work=lambda: _work(home, source, config, all_gone),
    )


def _told(home: Home) -> Facts:
    """How far events have come; nothing where there never was one."""
    with opened(home) as ledger:
        version = told.version(ledger)
    return {"told": version} if any(version) else {}


def fingerprint(source: Path, config: Path | None) -> dict[str, str]:
    """SHA-256 of every file that the tables are read from."""
    if not source.exists():
        raise DataError(source, "there is no such file or folder", "Wanted --data FOLDER.")
    if source.is_file():
        beside = (source.with_name(f"{source.name}.wal"), source.with_name("dataset.toml"))
        files = [source, *(path for path in beside if path.exists())]
    else:
        files = sorted(path for path in source.rglob("*") if path.is_file())
    read = {str(path.relative_to(source.parent)): sha256(path) for path in files}
    return read | ({"--config": sha256(config)} if config else {})


def _refuse_other_source(home: Home, source: Path) -> None:
    last = find_receipt(home, "ingest")
    if last and last.settings["source"] != str(source.resolve()):
        raise UsageError(
            f"{home.path} holds the data set of {last.settings['source']}, and {source} arrived.\n"
            "One home holds one data set. Use another one: STAR_HOME=.star-other star run …"
        )


def _work(home: Home, source: Path, config: Path | None, all_gone: bool) -> Facts:
    with opened(home) as ledger:
        flush(home, ledger, now_us())
        with ledger.begin() as db:
            gone: dict[str, Graves] = {entity: graves(db, entity) for entity in ENTITIES}
        over = told.told_of(ledger)
        receipt = read_dataset(source, home.tables, config, _barred(gone), over)
        told.absorb(ledger, over)
        tables = Tables(home.tables)
        for entity in ENTITIES:
            come_back(home, ledger, entity, _back(tables, gone[entity]))
        left = {entity: leave(home, ledger, tables, entity, all_gone) for entity in ENTITIES}
        rows = {f"{e}_attributes": write_attributes(home, ledger, tables, e) for e in ENTITIES}
    counts = receipt.model_dump(mode="json")["tables"]
    return {"tables": counts, "attributes": rows, "gone": left}


def _barred(gone: Mapping[str, Graves]) -> Barred:
    """Who has a tombstone, as the readers of tables ask."""
    return Barred(
        erased=lambda entity, ids: gone[entity].erased_among(ids),
        deleted=lambda entity, times_us: gone[entity].deleted_among(times_us),
        someone_erased=any(graves.erased for graves in gone.values()),
    )


def _back(tables: Tables, gone: Graves) -> dict[str, int]:
    """Deleted entities that the tables hold: what the source says of them is newer."""
    if not gone.deleted_us:
        return {}
    rows = tables.table(f"{gone.entity}s", [f"{gone.entity}_id", "updated_at"])
    times = zip(rows[0].to_pylist(), rows[1].cast(pa.int64()).to_pylist(), strict=True)
    return {id: at_us for id, at_us in times if id in gone.deleted_us}


def write_attributes(home: Home, ledger: Ledger, tables: Tables, entity: str) -> int:
    """Append the categorical features of entities whose values are new; returns how many."""
    key = f"{entity}_id"
    columns = tables.categorical(f"{entity}s")
    if not columns:
        return 0
    history = History.of_attributes(home.history, entity, columns)
    rows = tables.table(f"{entity}s", [key, *columns, "updated_at"])
    values = zip(*(rows[column].to_pylist() for column in columns), strict=True)
    hashes = [hash_categories(columns, row) for row in values]
    newest = history.newest_hash()
    changed = [newest.get(i) != h for i, h in zip(rows[key].to_pylist(), hashes, strict=True)]
    now = pa.array([datetime.now(UTC)] * rows.num_rows, history.schema.field("created").type)
    rows = (
        rows.rename_columns([*rows.column_names[:-1], "event_timestamp"])
        .append_column("input_hash", pa.array(hashes, pa.string()))
        .append_column("created", now)
    )
    new = history.append(rows.filter(pa.array(changed, pa.bool_())))
    follow(ledger, history, now_us())
    return new
