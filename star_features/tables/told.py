"""
What events told, laid over a source that does not have it yet.

    told = Told(entities, interactions)
    read_dataset(source, out, told=told)
    told.caught_up["job"]                    # {"j1": …}: of these the source says as much by now

A told row that is newer takes the place of the source's; one that is no newer is caught up with,
and its teller may forget it: the source speaks for it from now on, and may leave it out one day.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from star_features.tables.duckdb_source import quoted
from star_features.tables.mapping import STRINGS
from star_features.tables.spec import TableSpec
from star_features.tables.times import TIME
from star_features.tables.work import Work

EVENTS = "events"
"""What stands where a source's rows name their file."""


class ToldRow(NamedTuple):
    """A member or job as an event told it."""

    id: str
    at_us: int
    text: str | None
    company_id: str | None
    categories: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]


class ToldMeeting(NamedTuple):
    """An interaction as an event told it."""

    identity: str
    member_id: str
    job_id: str
    kind: str
    at_us: int
    weight: float
    label: int


@dataclass
class Told:
    """What events told, in pages.

    Attributes:
        entities: pages of members, or of jobs.
        interactions: pages of interactions.
        caught_up: by entity, ids that the source knows as well by now, and the time that was told.
        known: interactions that the source has, by identity.
    """

    entities: Callable[[str], Iterator[Sequence[ToldRow]]] = lambda entity: iter(())
    interactions: Callable[[], Iterator[Sequence[ToldMeeting]]] = lambda: iter(())
    caught_up: dict[str, dict[str, int]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Laid:
    """Rows that were added, and rows of the source whose place they took."""

    told: int = 0
    superseded: int = 0


def lay_entities(work: Work, spec: TableSpec, told: Told, lists: Sequence[str]) -> Laid:
    """Lay told members, or jobs, over those on the workbench."""
    entity, key = spec.name.removesuffix("s"), quoted(spec.id.name)
    columns = work.columns(spec.name)
    name = f"told {spec.name}"
    work.create(name, columns)
    for page in told.entities(entity):
        work.add(name, _entity_rows(page, spec, columns, lists))
    rows, over = quoted(spec.name), quoted(name)
    caught = f"SELECT t.{key}, epoch_us(t.updated_at) FROM {over} t JOIN {rows} r USING ({key})"
    found = work.con.execute(f"{caught} WHERE r.updated_at >= t.updated_at").fetchall()
    told.caught_up[entity] = {id: int(at_us) for id, at_us in found}
    newer = f"SELECT t.{key} FROM {over} t JOIN {rows} r USING ({key})"
    superseded = work.one(f"SELECT count(*) FROM ({newer} WHERE t.updated_at > r.updated_at)")
    work.con.execute(
        f"DELETE FROM {rows} WHERE {key} IN ({newer} WHERE t.updated_at > r.updated_at)"
    )
    return Laid(_insert_absent(work, spec.name, name, [spec.id.name]), superseded)


def lay_interactions(work: Work, spec: TableSpec, told: Told) -> Laid:
    """Add told interactions to those on the workbench; the same one is not added twice."""
    name = f"told {spec.name}"
    columns = work.columns(spec.name)
    work.create(name, columns.append(pa.field("identity", pa.string())))
    for page in told.interactions():
        work.add(name, _meeting_rows(page))
    same = ["member_id", "job_id", "kind", "at"]
    using = ", ".join(map(quoted, same))
    rows = work.con.execute(
        f"SELECT identity FROM {quoted(name)} SEMI JOIN {quoted(spec.name)} USING ({using})"
    )
    told.known.update(row[0] for row in rows.fetchall())
    work.con.execute(f"ALTER TABLE {quoted(name)} DROP COLUMN identity")
    return Laid(_insert_absent(work, spec.name, name, same))


def _insert_absent(work: Work, table: str, told: str, using: Sequence[str]) -> int:
    keys = ", ".join(map(quoted, using))
    absent = f"SELECT * FROM {quoted(told)} ANTI JOIN {quoted(table)} USING ({keys})"
    before = work.count(table)
    work.con.execute(f"INSERT INTO {quoted(table)} BY NAME {absent}")
    return work.count(table) - before


def _entity_rows(
    page: Sequence[ToldRow], spec: TableSpec, columns: pa.Schema, lists: Sequence[str]
) -> pa.Table:
    own = {
        spec.id.name: [row.id for row in page],
        "text": [row.text for row in page],
        "company_id": [row.company_id for row in page],
    }
    out = {}
    for name in columns.names:
        if name in own:
            out[name] = pa.array(own[name], pa.string())
        elif name == "updated_at":
            out[name] = pa.array([row.at_us for row in page], pa.int64()).cast(TIME)
        elif name in lists:
            out[name] = pa.array([list(row.lists.get(name, ())) for row in page], STRINGS)
        elif name not in ("_file", "_row"):
            out[name] = pa.array([row.categories.get(name) for row in page], pa.string())
    return _from_events(out, len(page))


def _meeting_rows(page: Sequence[ToldMeeting]) -> pa.Table:
    times = pa.array([row.at_us for row in page], pa.int64()).cast(TIME)
    columns = {
        "at": times,
        "weight": pa.array([row.weight for row in page], pa.float32()),
        "label": pa.array([row.label for row in page], pa.int8()),
    }
    for name in ("identity", "member_id", "job_id", "kind"):
        columns[name] = pa.array([getattr(row, name) for row in page], pa.string())
    return _from_events(columns, len(page))


def _from_events(columns: dict[str, pa.Array], rows: int) -> pa.Table:
    place = {"_file": pa.repeat(EVENTS, rows), "_row": pa.array(range(1, rows + 1), pa.int64())}
    return pa.table(columns | place)
