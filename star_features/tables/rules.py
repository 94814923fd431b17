"""
What a single row must fulfil, as a pandera schema; each check is named after the reason that the
quarantine shows.

    faults = find_faults(mapped, row_schema(spec, slots, limits, times), …)

Rules across rows (a repeated id, an unknown member) stand in `across.py`.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from star_features.tables.config import Limits
from star_features.tables.mapping import CONTROL
from star_features.tables.spec import Slot
from star_features.tables.times import Times
from star_features.tables.work import SHOWN

Holds = Callable[[pd.Series], pd.Series]
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
MISSING = {"id": "null_id", "text": "empty_text", "time": "null_time", "label": "bad_label"}
LONG = {"id": "id_too_long", "text": "text_too_long"}
HEAVIEST = float(np.finfo(np.float32).max)
SEPARATOR = "; "  # between the reasons of one row


def row_schema(slots: tuple[Slot, ...], limits: Limits, times: Times) -> pandera.DataFrameSchema:
    """The rules of every column; null passes all but the rule that wants a value."""
    columns = {
        slot.name: pandera.Column(checks=list(_checks(slot, limits, times)), nullable=True)
        for slot in slots
    }
    return pandera.DataFrameSchema(columns, strict=False)


def find_faults(
    mapped: pa.Table, schema: pandera.DataFrameSchema, slots: tuple[Slot, ...]
) -> dict[int, tuple[str, str, str | None]]:
    """Of every bad row its columns, its reasons and the first bad value, by place in the chunk."""
    frame = mapped.select([slot.name for slot in slots]).to_pandas(types_mapper=pd.ArrowDtype)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        return _by_row(error.failure_cases, {slot.name: slot.shown for slot in slots}, mapped)
    return {}


def list_faults(
    mapped: pa.Table, lists: tuple[str, ...], limits: Limits
) -> dict[int, tuple[str, str, str | None]]:
    """Rows with a list that is too long, or that holds a value that is; by place in the chunk.

    One value of half a megabyte costs the graph four gigabytes: its ids have one width.
    """
    found: dict[int, tuple[str, str, str | None]] = {}
    for name in lists:
        values = mapped.column(name).combine_chunks()
        long = np.flatnonzero(
            np.asarray(pc.utf8_length(pc.list_flatten(values))) > limits.max_list_value
        )
        owners = np.asarray(pc.list_parent_indices(values))[long].tolist()
        for row, value in zip(
            owners, pc.list_flatten(values).take(pa.array(long)).to_pylist(), strict=True
        ):
            found.setdefault(row, (name, "list_value_too_long", value[:SHOWN]))
        counts = np.asarray(pc.fill_null(pc.list_value_length(values), 0))
        for row in np.flatnonzero(counts > limits.max_list).tolist():
            found.setdefault(row, (name, "list_too_long", f"{counts[row]:,} values"))
    return found


def to_weight(values: pd.Series) -> pd.Series:
    """Numbers; null where it is none."""
    return pd.to_numeric(values.astype(object), errors="coerce")


def to_label(values: pd.Series) -> pd.Series:
    """0 or 1; null where it is neither."""
    return values.astype(object).str.strip().str.lower().map(LABELS)


def _checks(slot: Slot, limits: Limits, times: Times) -> Iterator[pandera.Check]:
    if not slot.nullable:
        yield _check(MISSING.get(slot.role, "null_value"), pd.Series.notna)
    if slot.role in ("id", "word", "text"):
        longest = limits.max_text if slot.role == "text" else limits.max_id
        long = LONG.get(slot.role, "value_too_long")
        yield _check(long, _or_null(lambda values: values.str.len() <= longest))
        clean = _or_null(lambda values: ~values.str.contains(CONTROL))
        yield _check("control_characters", clean)
    if slot.role == "time":
        yield _check("unparsable_time", _or_null(lambda values: _years(values, times).notna()))
        yield _check("time_out_of_bounds", _within(limits, times))
    if slot.role == "weight":
        yield _check("bad_weight", _or_null(_is_weight))
    if slot.role == "label":
        yield _check("bad_label", _or_null(lambda values: to_label(values).notna()))


def _check(reason: str, holds: Holds) -> pandera.Check:
    return pandera.Check(holds, name=reason, ignore_na=False)


def _or_null(holds: Holds) -> Holds:
    return lambda values: values.isna() | holds(values).fillna(False).astype(bool)


def _years(values: pd.Series, times: Times) -> pd.Series:
    """The year of each time; null where it cannot be parsed."""
    parsed = times.parse(pa.chunked_array([pa.array(values, pa.string())]))
    return pd.Series(pc.year(parsed).to_pandas(), index=values.index)


def _within(limits: Limits, times: Times) -> Holds:
    def holds(values: pd.Series) -> pd.Series:
        years = _years(values, times)
        return years.isna() | years.between(limits.first_year, limits.last_year)

    return holds


def _is_weight(values: pd.Series) -> pd.Series:
    weights = to_weight(values)
    return (weights >= 0) & (weights <= HEAVIEST)


def _by_row(
    cases: pd.DataFrame, shown: dict[str, str], mapped: pa.Table
) -> dict[int, tuple[str, str, str | None]]:
    """Several faults of one row become one entry: a row is quarantined once."""
    of_row: dict[int, list[tuple[str, str]]] = {}
    for row, column, reason in zip(cases["index"], cases["column"], cases["check"], strict=True):
        of_row.setdefault(int(row), []).append((column, reason))
    out: dict[int, tuple[str, str, str | None]] = {}
    for row, faults in sorted(of_row.items()):
        columns = SEPARATOR.join(dict.fromkeys(shown[column] for column, _ in faults))
        reasons = SEPARATOR.join(dict.fromkeys(reason for _, reason in faults))
        value = mapped.column(faults[0][0])[row].as_py()
        out[row] = (columns, reasons, None if value is None else value[:SHOWN])
    return out
