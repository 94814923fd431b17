"""
From a source's columns to canonical ones: still text, in the order of the rows.

`resolve` decides once per source which column goes where, and stops with a readable error when one
is missing; `Mapping.apply` then does it for every chunk. A blank value is a missing value.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from star_features.errors import DataError, UsageError
from star_features.tables.chunk import Shape
from star_features.tables.config import FILE, Constant
from star_features.tables.spec import Slot, TableSpec

STRINGS = pa.list_(pa.string())
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
CONTROL_SIGNS = re.compile(CONTROL)


@dataclass(frozen=True)
class Mapping:
    """Which source column becomes which canonical one.

    Attributes:
        slots: the canonical columns that this source has.
        scalars: further scalar columns, canonical name to source name.
        lists: further list columns, canonical name to source name and separator (None where the
            source has real lists).
        ignored: source columns left out, and why.
        verbatim: whether further scalar columns stay as they are.
    """

    slots: tuple[Slot, ...]
    scalars: dict[str, str]
    lists: dict[str, tuple[str, str | None]]
    ignored: dict[str, str]
    verbatim: bool = False

    @property
    def reads(self) -> list[str]:
        """The source columns to read, each once."""
        columns = [column for slot in self.slots for column in slot.reads]
        columns += [*self.scalars.values(), *(source for source, _ in self.lists.values())]
        return list(dict.fromkeys(columns))

    def apply(self, table: pa.Table) -> pa.Table:
        """The chunk in canonical columns: string, or list<string>."""
        out = {slot.name: _slot_values(slot, table) for slot in self.slots}
        for name, source in self.scalars.items():
            values = table.column(source)
            out[name] = values if self.verbatim else clean_values(values)
        for name, (source, separator) in self.lists.items():
            out[name] = _list_values(table.column(source), separator)
        return pa.table(out)


def resolve(spec: TableSpec, file: str, shapes: dict[str, Shape]) -> Mapping:
    """Find every canonical column of `spec` among the columns of one source."""
    for column in [name for name, _ in spec.lists] + list(spec.categorical or ()):
        if column not in shapes:
            raise _missing(spec, file, shapes, column, "listed under it")
    slots = tuple(slot for slot in spec.slots if _present(slot, spec, file, shapes))
    mapping = Mapping(slots, {}, {}, {}, spec.verbatim)
    if spec.further:
        _add_further(mapping, spec, shapes)
    return mapping


def blank_to_null(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where a text is empty or white space only."""
    blank = pc.equal(pc.utf8_trim_whitespace(values), "")
    return pc.if_else(blank, pa.scalar(None, pa.string()), values)


def clean_values(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories without surrounding white space and control characters."""
    return blank_to_null(pc.utf8_trim_whitespace(pc.replace_substring_regex(values, CONTROL, "")))


def clean_list(items: Iterable[str | None]) -> list[str]:
    """Without blanks, control characters and repeats, in the order of first appearance."""
    cleaned = (CONTROL_SIGNS.sub("", item).strip() for item in items if item)
    return list(dict.fromkeys(item for item in cleaned if item))


def canonical_name(column: str) -> str:
    """A feature's name as Feast accepts it: lower case, words joined by underscores."""
    return re.sub(r"\W+", "_", column).strip("_").lower() or "column"


def _present(slot: Slot, spec: TableSpec, file: str, shapes: dict[str, Shape]) -> bool:
    absent = [column for column in slot.reads if shapes.get(column) != "text"]
    if absent and not slot.optional:
        raise _missing(spec, file, shapes, absent[0], slot.key or slot.name)
    return not absent


def _missing(
    spec: TableSpec, file: str, shapes: dict[str, Shape], column: str, slot: str
) -> DataError:
    has = ", ".join(shapes) or "none"
    got = f"has no column {column}; it has: {has}"
    if column in shapes:
        got = f"the column {column} holds {shapes[column]} values, and text was wanted"
    like = (get_close_matches(column, shapes, n=1, cutoff=0.5) or ["YOUR_COLUMN"])[0]
    line = f'{slot} = "{like}"' if slot != "listed under it" else f'name one it has, as "{like}"'
    wanted = f"Say in {FILE} which column it is:\n{spec.section}\n{line}"
    if slot in ("at", "updated_at", "kind", "text", "relation", "src_type", "dst_type"):
        wanted += f'\nor give one value to all rows: {slot} = {{ value = "…" }}'
    if len(shapes) == 1 and any(mark in has for mark in ";\t|"):
        wanted += '\nIf the columns are separated by another sign:\n[csv]\ndelimiter = ";"'
    return DataError(file, got, wanted)


def _add_further(mapping: Mapping, spec: TableSpec, shapes: dict[str, Shape]) -> None:
    used = {column for slot in mapping.slots for column in slot.reads}
    named = {*(spec.categorical or ()), *(name for name, _ in spec.lists)}
    separators = dict(spec.lists)
    taken = {slot.name for slot in spec.slots}
    for column, shape in shapes.items():
        if column in used and column not in named:
            continue
        name = column if spec.verbatim else canonical_name(column)
        if why := _why_not(column, name, shape, spec, taken):
            mapping.ignored[column] = why
        elif shape == "list" or column in separators:
            mapping.lists[name] = (column, None if shape == "list" else separators[column])
        else:
            mapping.scalars[name] = column
        taken.add(name)


def _why_not(column: str, name: str, shape: Shape, spec: TableSpec, taken: set[str]) -> str:
    if column in spec.ignore:
        return "ignore"
    if shape == "nested":
        return "nested values"
    if name not in taken:
        return ""
    if column in (spec.categorical or ()) or column in dict(spec.lists):
        raise UsageError(
            f"{spec.section} {column!r} would be called {name}, and there is such a column "
            f"already.\nRename it in the source, or leave it out of {FILE}."
        )
    return f"the name {name} is taken"


def _slot_values(slot: Slot, table: pa.Table) -> pa.ChunkedArray:
    if isinstance(slot.source, Constant):
        return pa.chunked_array([pa.repeat(slot.source.value, table.num_rows)])
    columns = [blank_to_null(table.column(column)) for column in slot.reads]
    return reduce(_joined, columns)


def _joined(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    """Two texts on two lines, or the one there is.

    Not `null_handling="skip"`: in pyarrow 26 that drops rows where both are null.
    """
    return pc.coalesce(pc.binary_join_element_wise(left, right, "\n"), left, right)


def _list_values(values: pa.ChunkedArray, separator: str | None) -> pa.Array:
    if separator is not None:
        values = pc.split_pattern(values, separator)
    return pa.array([clean_list(items or ()) for items in values.to_pylist()], STRINGS)
