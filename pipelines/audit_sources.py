"""
What each view should hold, for an audit: its space, its width, and what it is made from.

    for asked in views(home, ledger, bench): ...

Texts and categories are as the tables have them, with what events told since laid over: of each
entity the latest state counts.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.home import Home
from pipelines.materialize import histories
from pipelines.receipts import find_receipt, read_receipt
from star_features.audit.bench import Bench
from star_features.audit.judge import Asked
from star_features.audit.reading import journal_rows, newest_keys
from star_features.catalogue import Entity, SpacePair
from star_features.ledger.changes import Kept, all_changes, changes_of
from star_features.ledger.ledger import Ledger
from star_features.store.history import History, hash_categories, hash_inputs
from star_features.store.mapped import mapped_hash
from star_features.tables.canonical import Tables

TOLD = 1
"""The rank of what an event told: of two states of one time, it was told after the tables were."""


@dataclass(frozen=True)
class Views:
    """The views of a home that can be audited.

    Attributes:
        skipped: by view, why it cannot: what it is made by has not run, or had nothing to learn.
    """

    asked: list[Asked]
    skipped: dict[str, str]


def views(home: Home, ledger: Ledger, bench: Bench, only: Collection[str] = ()) -> Views:
    """Every view, or only some, with what it is made from; those not served by a release too."""
    tables, found = Tables(home.tables), Views([], {})
    served = {history.view: history for history in histories(home)}
    others = [name for name in home.catalogue().views() if name not in served]
    every = served | {name: History.of_vectors(home.history, name) for name in others}
    for name, history in every.items():
        if only and name not in only:
            continue
        made = _made(home, tables, ledger, bench, history)
        if isinstance(made, str):
            found.skipped[name] = made
        else:
            found.asked.append(replace(made, online=name in served))
    return found


def _made(
    home: Home, tables: Tables, ledger: Ledger, bench: Bench, history: History
) -> Asked | str:
    """What a view should hold; or why nobody knows."""
    entity: Entity = "member" if history.key == "member_id" else "job"
    if history.view == f"{entity}_attributes":
        source = partial(_categories, tables, ledger, entity, tuple(history.features.names))
        return Asked(history, None, None, source)
    pair = home.catalogue().pair_of_view(history.view)
    receipt = find_receipt(home, home.tower(pair))
    if receipt is None:
        return f"{home.tower(pair)} has not run"
    if reason := receipt.facts.get("not_trained"):
        return str(reason).splitlines()[0]
    space, width = (
        receipt.facts[history.view]["space"],
        home.catalogue().of_view(history.view).width,
    )
    if pair.filled_by:
        source = partial(_rows_that_fill_it, home, ledger, bench, pair, entity)
        return Asked(history, space, width, source)
    if pair.kind == "text":
        return Asked(history, space, width, partial(_texts, tables, ledger, entity))
    dated = tables.has_times  # without times everybody's vector is of one moment
    return Asked(history, space, width, partial(_presence, tables, ledger, entity), dated)


def _texts(
    tables: Tables, ledger: Ledger, entity: Entity, ids: Collection[str] | None
) -> Iterator[pa.RecordBatch]:
    for batch in _rows(tables, entity, ["text"], ids):
        texts = batch.column("text").to_pylist()
        yield _batch(batch, [None if text is None else hash_inputs([text])[0] for text in texts])
    for rows in _told(ledger, entity, ids):
        texts = [row.content.get("text") for row in rows]
        yield _told_batch(rows, [None if t is None else hash_inputs([t])[0] for t in texts])


def _categories(
    tables: Tables,
    ledger: Ledger,
    entity: Entity,
    columns: tuple[str, ...],
    ids: Collection[str] | None,
) -> Iterator[pa.RecordBatch]:
    for batch in _rows(tables, entity, columns, ids):
        values = zip(*(batch.column(column).to_pylist() for column in columns), strict=True)
        yield _batch(batch, [hash_categories(columns, row) for row in values])
    for rows in _told(ledger, entity, ids):
        told = [row.content.get("categories") or {} for row in rows]
        hashes = [hash_categories(columns, [row.get(c) for c in columns]) for row in told]
        yield _told_batch(rows, hashes)


def _presence(
    tables: Tables, ledger: Ledger, entity: Entity, ids: Collection[str] | None
) -> Iterator[pa.RecordBatch]:
    """Whoever is there has a graph vector: what it says depends on everybody else too."""
    for batch in _rows(tables, entity, [], ids):
        yield _batch(batch, [None] * batch.num_rows, everybody=True)
    for rows in _told(ledger, entity, ids):
        yield _told_batch(rows, [None] * len(rows), everybody=True)


def _rows_that_fill_it(
    home: Home,
    ledger: Ledger,
    bench: Bench,
    pair: SpacePair,
    entity: Entity,
    ids: Collection[str] | None,
) -> Iterator[pa.RecordBatch]:
    """The newest rows of the version that a mapped view is filled from, as the map names them."""
    filling = SpacePair(pair.kind, str(pair.filled_by)).view(entity)
    history = History.of_vectors(home.history, filling)
    name = read_receipt(home, home.fit(pair)).facts[entity]["map"].rpartition("@")[2]
    files = [path for path in history.parts() if path.stat().st_size > 0]
    width = home.catalogue().of_view(filling).width
    filed = newest_keys(bench, history, files, ids)
    waiting = journal_rows(ledger, filling, width, ids)
    for rank, batches in enumerate((filed, waiting)):
        for batch in batches:
            hashes = [mapped_hash(name, hashed) for hashed in batch.column("input").to_pylist()]
            yield _source(batch.column("id"), hashes, batch.column("content_us"), rank)


def _rows(
    tables: Tables, entity: Entity, columns: Collection[str], ids: Collection[str] | None
) -> Iterator[pa.RecordBatch]:
    key = f"{entity}_id"
    wanted = None if ids is None else pa.array(list(ids), pa.string())
    for batch in tables.batches(f"{entity}s", [key, *columns, "updated_at"]):
        if wanted is not None:
            batch = batch.filter(pc.is_in(batch.column(key), value_set=wanted))
        yield batch


def _told(ledger: Ledger, entity: Entity, ids: Collection[str] | None) -> Iterator[list[Kept]]:
    """What events told that the tables do not say yet."""
    if ids is None:
        pages = all_changes(ledger, entity)
    else:
        with ledger.read() as db:
            pages = iter([list(changes_of(db, entity, list(ids)).values())])
    for page in pages:
        if rows := [row for row in page if row.content]:
            yield rows


def _batch(
    batch: pa.RecordBatch, inputs: Sequence[str | None], *, everybody: bool = False
) -> pa.RecordBatch:
    times = batch.column("updated_at").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return _source(batch.column(0), inputs, times, 0, everybody)


def _told_batch(
    rows: list[Kept], inputs: Sequence[str | None], *, everybody: bool = False
) -> pa.RecordBatch:
    ids = pa.array([row.entity_id for row in rows], pa.string())
    times = pa.array([row.content_us for row in rows], pa.int64())
    return _source(ids, inputs, times, TOLD, everybody)


def _source(
    ids: pa.Array, inputs: Sequence[str | None], times: pa.Array, rank: int, everybody: bool = False
) -> pa.RecordBatch:
    absent = [not everybody and hashed is None for hashed in inputs]
    return pa.record_batch(
        {
            "id": ids.cast(pa.string()),
            "input": pa.array(list(inputs), pa.string()),
            "at_us": times,
            "absent": pa.array(absent, pa.bool_()),
            "rank": pa.array([rank] * len(inputs), pa.int8()),
        }
    )
