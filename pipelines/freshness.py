"""
Freshness: how far each view is behind its content, for every entity that should have a vector.

    for line in freshness(home, schedule, now): print(line.view, line.behind, line.holes)

Counted from when the content changed, not from when a job ran. An entity is *behind* while what is
online was made from older content, and a *hole* while nothing of it is online; both age from its
last change. A newer time alone changes nothing: of texts and categories the hashes are compared.
A graph vector is behind once its member or job changed, or had an interaction, after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.home import Home
from pipelines.jobs.settings import Schedule, seconds
from pipelines.materialize import histories
from pipelines.recording import as_us, opened
from star_features.catalogue import Entity
from star_features.ledger.changes import all_changes
from star_features.ledger.ledger import Ledger
from star_features.ledger.vectors import Newest, online
from star_features.store.feast_store import fingerprint
from star_features.store.history import hash_categories, hash_inputs
from star_features.tables.canonical import Tables

QUANTILES = (0.5, 0.95, 1.0)
SECOND = 1e6  # microseconds


@dataclass(frozen=True)
class Freshness:
    """One view.

    Attributes:
        entities: who should have a row.
        behind: whose row was made from older content.
        holes: who has no row.
        late_s: age of the behind and the holes at QUANTILES, in seconds; 0 where there is none.
        content_s: age of the content that is served, at QUANTILES.
        share: of entities that are current, or changed less than `within_s` ago.
        wanted: of how many that is promised.
    """

    view: str
    entities: int
    behind: int
    holes: int
    late_s: tuple[float, ...]
    content_s: tuple[float, ...]
    share: float
    wanted: float
    within_s: float

    @property
    def met(self) -> bool:
        return self.share >= self.wanted


def freshness(home: Home, schedule: Schedule, now: datetime) -> Iterator[Freshness]:
    """Every view that this home serves."""
    tables, place, now_us = Tables(home.tables), fingerprint(home.path), as_us(now)
    with opened(home) as ledger:
        for view in (history.view for history in histories(home)):
            entity: Entity = "member" if view.startswith("member_") else "job"
            kind = view.split("_")[1]
            changed = _changed(tables, ledger, entity, kind)
            rows = [row for page in online(ledger, view, place) for row in page]
            suspects = _older(changed, rows)
            same = _same_content(tables, ledger, entity, kind, suspects)
            objective = schedule.objective(kind)
            within_s = seconds(objective.within)
            yield _line(view, changed, rows, same, now_us, within_s, objective.share)


def _line(
    view: str,
    changed: pa.Table,
    rows: Sequence[Newest],
    same: set[str],
    now_us: int,
    within_s: float,
    wanted: float,
) -> Freshness:
    ids, changed_N = changed["id"].to_pylist(), changed["changed_us"].to_numpy()
    content = {row.entity_id: row.content_us for row in rows}
    never = np.iinfo(np.int64).min
    content_N = np.fromiter((content.get(id, never) for id in ids), np.int64, len(ids))
    hole_N = content_N == never
    same_N = np.fromiter((id in same for id in ids), np.bool_, len(ids))
    behind_N = ~hole_N & (content_N < changed_N) & ~same_N
    late_N = (now_us - changed_N[hole_N | behind_N]) / SECOND
    served_N = (now_us - content_N[~hole_N]) / SECOND
    in_time = len(ids) - int((late_N > within_s).sum())
    return Freshness(
        view,
        entities=len(ids),
        behind=int(behind_N.sum()),
        holes=int(hole_N.sum()),
        late_s=_quantiles(late_N),
        content_s=_quantiles(served_N),
        share=in_time / len(ids) if ids else 1.0,
        wanted=wanted,
        within_s=within_s,
    )


def _quantiles(ages_N: NDArray[np.float64]) -> tuple[float, ...]:
    if not len(ages_N):
        return (0.0,) * len(QUANTILES)
    return tuple(np.quantile(np.maximum(ages_N, 0.0), QUANTILES).tolist())


def _changed(tables: Tables, ledger: Ledger, entity: Entity, kind: str) -> pa.Table:
    """Id and time of the last change of everyone who should have a row of this kind."""
    key = f"{entity}_id"
    columns = [key, "updated_at", *(["text"] if kind == "text" else [])]
    rows = tables.table(f"{entity}s", columns)
    if kind == "text":
        rows = rows.filter(pc.is_valid(rows["text"]))
    said = [
        pa.table({"id": rows[key], "changed_us": rows["updated_at"].cast(pa.int64())}),
        _told(ledger, entity, kind),
    ]
    if kind == "graph":
        met = tables.interactions([key, "at"])
        said.append(pa.table({"id": met[key], "changed_us": met["at"].cast(pa.int64())}))
    with duckdb.connect() as db:
        db.register("said", pa.concat_tables(said))
        db.register("there", pa.concat_tables([one.select(["id"]) for one in said[:2]]))
        return db.execute(
            "SELECT id, max(changed_us) AS changed_us FROM said SEMI JOIN there USING (id) "
            "GROUP BY id ORDER BY id"
        ).to_arrow_table()


def _told(ledger: Ledger, entity: Entity, kind: str) -> pa.Table:
    """What events told, and the tables do not say yet."""
    found = [row for page in all_changes(ledger, entity) for row in page]
    if kind == "text":
        found = [row for row in found if row.content.get("text")]
    return pa.table(
        {
            "id": pa.array([row.entity_id for row in found], pa.string()),
            "changed_us": pa.array([row.content_us for row in found], pa.int64()),
        }
    )


def _older(changed: pa.Table, rows: Iterable[Newest]) -> dict[str, str]:
    """Of rows that are older than their entity's last change the hash of what they were made of."""
    at_us = dict(zip(changed["id"].to_pylist(), changed["changed_us"].to_pylist(), strict=True))
    older = (row for row in rows if row.content_us < at_us.get(row.entity_id, row.content_us))
    return {row.entity_id: row.input_hash.rpartition(" of ")[2] for row in older}


def _same_content(
    tables: Tables, ledger: Ledger, entity: Entity, kind: str, suspects: dict[str, str]
) -> set[str]:
    """Those of them whose content is what it was: only its time is newer."""
    if kind == "graph" or not suspects:
        return set()
    now = _hashes(tables, entity, kind, suspects)
    for page in all_changes(ledger, entity):  # what events told is newer than the tables
        now.update(
            {
                row.entity_id: hash_inputs([row.content["text"]])[0]
                for row in page
                if kind == "text" and row.entity_id in suspects and row.content.get("text")
            }
        )
    return {id for id, made_of in suspects.items() if now.get(id) == made_of}


def _hashes(tables: Tables, entity: Entity, kind: str, ids: Iterable[str]) -> dict[str, str]:
    key = f"{entity}_id"
    columns = ["text"] if kind == "text" else list(tables.categorical(f"{entity}s"))
    rows = tables.table(f"{entity}s", [key, *columns])
    rows = rows.filter(pc.is_in(rows[key], pa.array(list(ids), pa.string())))
    values = list(zip(*(rows[column].to_pylist() for column in columns), strict=True))
    if kind == "text":
        hashes = hash_inputs([text or "" for (text,) in values])
    else:
        hashes = [hash_categories(columns, row) for row in values]
    return dict(zip(rows[key].to_pylist(), hashes, strict=True))
