"""
Which stored row each label sees, found from keys and times alone.

    with bench(settings, spill) as db:
        lay_labels(db, labels, time="event_timestamp")
        picks = pick(db, lookup, as_served=False)

No feature is read here: a pick is the place of a row, its file and its number in it, so that the
width of a vector costs nothing. Keys become small integers, history rows of entities nobody asks
for are left out as they are scanned, and DuckDB's ASOF JOIN does the rest, on disk where the
memory limit asks for it.

The rule: among the rows of the label's entity whose event time is at or before the label's (and,
as served, whose creation is too), the newest event wins; among equal events the newest creation,
an unknown one last; among equal creations the row that lies last in its history. A row older than
the view's `ttl` then counts as missing.

Shapes: L labels, P picks (P <= L).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from star_features.errors import StoreError
from star_features.offline.plan import Lookup
from star_features.offline.sources import prune

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROW_BITS = 40
"""A place is one integer: the number of its file, then 40 bits of row number."""


@dataclass(frozen=True)
class Picks:
    """The place of the row that each label sees; labels that see none are left out.

    Attributes:
        label_P: numbers of the labels, ascending.
        place_P: file and row, in one integer each: see `file_and_row`.
        files: the files that were looked through.
    """

    label_P: NDArray[np.int64]
    place_P: NDArray[np.int64]
    files: tuple[Path, ...]


def file_and_row(
    place_P: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index into `Picks.files`, and row number within that file."""
    return place_P >> ROW_BITS, place_P & ((1 << ROW_BITS) - 1)


@contextmanager
def bench(
    memory_limit: str, threads: int | None, spill: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private DuckDB that works in UTC, within a limit, and spills into a folder.

    Raises:
        StoreError: what DuckDB could not do, with the setting that may help.
    """
    with duckdb.connect() as db:
        db.execute("SET TimeZone='UTC'")
        db.execute("SET enable_progress_bar=false")
        db.execute(f"SET memory_limit={literal(memory_limit)}")
        db.execute(f"SET temp_directory={literal(str(spill))}")
        if threads:
            db.execute(f"SET threads={int(threads)}")
        try:
            yield db
        except duckdb.OutOfMemoryException as error:
            raise StoreError(
                f"the join did not fit into memory_limit={memory_limit}: {error}\n"
                "Wanted a limit that holds its keys and times: raise `memory_limit` under"
                " `offline_store` in feature_store.yaml, or lower `threads`."
            ) from error
        except duckdb.Error as error:
            raise StoreError(f"the point-in-time join failed: {error}") from error


def lay_labels(db: duckdb.DuckDBPyConnection, labels: pa.Table | str, time: str) -> int:
    """Put the labels, a table or a SELECT, on the bench; returns how many there are."""
    if isinstance(labels, str):
        db.execute(f"CREATE TEMP TABLE labels AS {labels}")
    else:
        db.register("incoming", labels)
        db.execute("CREATE TEMP TABLE labels AS FROM incoming")
        db.unregister("incoming")
    db.execute(f"CREATE TEMP VIEW times AS SELECT {moment(time)} AS t FROM labels")
    return int(_one(db, "SELECT count(*) FROM labels"))


def pick(db: duckdb.DuckDBPyConnection, lookup: Lookup, *, time: str, as_served: bool) -> Picks:
    """The row of `lookup`'s history that each label sees."""
    first, last = _range(db, lookup)
    files = prune(lookup.files, first, last) if last else []
    if not files or last is None:
        return Picks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), files=())
    _encode_keys(db, lookup, time)
    stored = _stored_sql(lookup, files, first, last)
    seen = (SERVED if as_served and lookup.created else AS_IF).format(stored=stored)
    db.execute(ASOF.format(candidates=seen))
    found = db.execute(f"SELECT label, place FROM seen{_still_fresh(lookup)}").fetchnumpy()
    for table in ("codes", "asked", "seen"):
        db.execute(f"DROP TABLE {table}")
    return Picks(
        label_P=found["label"].astype(np.int64),
        place_P=found["place"].astype(np.int64),
        files=tuple(files),
    )


AS_IF = """
SELECT code, event AS since, event, place FROM ({stored})
QUALIFY row_number() OVER (
    PARTITION BY code, event ORDER BY created DESC NULLS LAST, place DESC) = 1
"""

# As served, a row is seen from the later of its two times on. Walking each entity's rows in that
# order, a row is worth keeping only while it beats all that were seen before it: a late backfill
# of an old event never does, so ASOF may take the last one kept.
SERVED = """
SELECT code, since, event, place FROM (
    SELECT *, max(rank) OVER (PARTITION BY code ORDER BY since) AS best FROM (
        SELECT *, greatest(event, created) AS since,
            row_number() OVER (PARTITION BY code ORDER BY event, created, place) AS rank
        FROM ({stored}) WHERE created IS NOT NULL
    )
) WHERE rank = best
"""

# A table of its own: the test for age must come after the join, and not move into it. What is
# joined is none: rows on their way from the files to the sort need no place in memory between.
ASOF = """
CREATE TEMP TABLE seen AS
SELECT label, place, event, t FROM asked ASOF JOIN ({candidates}) AS candidates
ON asked.code = candidates.code AND asked.t >= candidates.since
ORDER BY label
"""


def _range(
    db: duckdb.DuckDBPyConnection, lookup: Lookup
) -> tuple[datetime | None, datetime | None]:
    """Event times outside this range are seen by no label (None: no bound; no label at all)."""
    row = db.execute("SELECT min(epoch_us(t)), max(epoch_us(t)) FROM times").fetchone()
    if row is None or row[1] is None:
        return None, None
    first, last = (EPOCH + timedelta(microseconds=at) for at in row)
    try:
        return (first - lookup.ttl if lookup.ttl else None), last
    except OverflowError:  # a ttl of thousands of years
        return None, last


def _encode_keys(db: duckdb.DuckDBPyConnection, lookup: Lookup, time: str) -> None:
    """Tables `codes` (entity -> small integer) and `asked` (label number, code, time)."""
    keys = [quoted(key) for key in lookup.keys]
    if not keys:
        db.execute("CREATE TEMP TABLE codes AS SELECT 1 AS code")
        db.execute(
            f"CREATE TEMP TABLE asked AS SELECT rowid AS label, 1 AS code, {moment(time)} AS t"
            " FROM labels"
        )
        return
    named = ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys))
    known = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    same = " AND ".join(f"labels.{key} = codes.k{i}" for i, key in enumerate(keys))
    db.execute(
        "CREATE TEMP TABLE codes AS SELECT *, (row_number() OVER ())::INTEGER AS code"
        f" FROM (SELECT DISTINCT {named} FROM labels WHERE {known})"
    )
    db.execute(
        f"CREATE TEMP TABLE asked AS SELECT labels.rowid AS label, code, {moment('labels', time)}"
        f" AS t FROM labels JOIN codes ON {same}"
    )


def _stored_sql(lookup: Lookup, files: list[Path], first: datetime | None, last: datetime) -> str:
    """Code, both times and place of every row that a label could see."""
    event = moment(lookup.event)
    created = moment(lookup.created) if lookup.created else "NULL::TIMESTAMPTZ"
    same = " AND ".join(f"{quoted(column)} = k{i}" for i, column in enumerate(lookup.keys.values()))
    paths = ", ".join(literal(str(file)) for file in files)
    # On a column that is in UTC already the cast vanishes, and row groups are skipped unread.
    bounds = f"{event} <= {literal(last.isoformat())}::TIMESTAMPTZ"
    if first:
        bounds += f" AND {event} >= {literal(first.isoformat())}::TIMESTAMPTZ"
    return (
        f"SELECT code, {event} AS event, {created} AS created,"
        f" (file_index::BIGINT << {ROW_BITS}) | file_row_number AS place"
        f" FROM read_parquet([{paths}], hive_partitioning=false) JOIN codes ON {same or 'true'}"
        f" WHERE {bounds}"
    )


def _still_fresh(lookup: Lookup) -> str:
    if lookup.ttl is None:
        return ""
    microseconds = round(lookup.ttl.total_seconds() * 1_000_000)
    return f" WHERE event + to_microseconds({microseconds}) >= t"


def moment(*path: str) -> str:
    """A time column as an instant; a time without zone is UTC, as the connection is."""
    return f"{'.'.join(quoted(name) for name in path)}::TIMESTAMPTZ"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one(db: duckdb.DuckDBPyConnection, query: str) -> int:
    row = db.execute(query).fetchone()
    assert row is not None  # an aggregate always has a row
    return int(row[0])
