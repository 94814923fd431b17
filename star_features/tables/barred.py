"""
Who must not come in, although the source still has them: the erased, and the deleted until the
source says something newer.

    read_dataset(source, out, barred=Barred(erased=…, deleted=…, someone_erased=True))

Their rows count as quarantined, `erased` or `deleted`, and no value of an erased one is shown:
not in the quarantine either. Who they are is the caller's to know, from the ledger's tombstones.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from star_features.tables.spec import TableSpec

Why = tuple[str, str, str | None]
"""Column, reason and shown value of a row that is set aside."""


@dataclass(frozen=True)
class Barred:
    """Who stays out.

    Attributes:
        erased: of these ids of an entity, the erased ones.
        deleted: of these ids, with content of these times, those that were deleted since.
        someone_erased: whether anybody was: then nothing is shown of rows that may be anybody's.
    """

    erased: Callable[[str, Sequence[str]], Collection[str]] = lambda entity, ids: ()
    deleted: Callable[[str, Mapping[str, int]], Collection[str]] = lambda entity, times_us: ()
    someone_erased: bool = False


NOBODY = Barred()


def erased_rows(spec: TableSpec, mapped: pa.Table, barred: Barred) -> dict[int, Why]:
    """By place in the chunk, the rows that are about someone erased."""
    if not barred.someone_erased:
        return {}
    shown = {slot.name: slot.shown for slot in spec.slots}
    found: dict[int, Why] = {}
    for column, about in spec.about.items():
        for entity in ("member", "job"):
            ids = mapped.column(column)
            if about in shown:  # a column says what it is about, row by row
                ids = pc.if_else(pc.equal(mapped.column(about), entity), ids, None)
            elif about != entity:
                continue
            gone = barred.erased(entity, pc.unique(ids).drop_null().to_pylist())
            found |= {row: (shown[column], "erased", None) for row in _places(ids, gone)}
    return found


def deleted_rows(spec: TableSpec, typed: pa.Table, barred: Barred) -> dict[int, Why]:
    """By place, the members or jobs that were deleted after what this row says became true."""
    if "updated_at" not in typed.column_names or spec.id.name not in spec.about:
        return {}
    ids, entity = typed.column(spec.id.name), spec.about[spec.id.name]
    times_us = np.asarray(typed.column("updated_at").cast(pa.int64())).tolist()
    gone = barred.deleted(entity, dict(zip(ids.to_pylist(), times_us, strict=True)))
    rows = _places(ids, gone)
    return {row: (spec.id.shown, "deleted", ids[row].as_py()) for row in rows}


def withheld(spec: TableSpec, mapped: pa.Table, row: int, why: Why) -> Why:
    """A fault without its value, if the row has no id that says whose it is."""
    nameless = any(mapped.column(column)[row].as_py() is None for column in spec.about)
    own_id = why[0] in {slot.shown for slot in spec.slots if slot.name in spec.about}
    return (why[0], why[1], None) if nameless or own_id else why


def _places(ids: pa.ChunkedArray, chosen: Collection[str]) -> list[int]:
    if not chosen:
        return []
    mine = pc.is_in(ids, value_set=pa.array(list(chosen), pa.string()))
    return np.flatnonzero(np.asarray(mine)).tolist()
