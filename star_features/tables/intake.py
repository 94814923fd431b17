"""
One table from its sources onto the workbench: read, join, map, check, type; chunk by chunk.

Every row that a source yields ends in exactly one of two places: the table or the quarantine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from star_features.progress import bar
from star_features.tables.barred import NOBODY, Barred, Why, deleted_rows, erased_rows, withheld
from star_features.tables.chunk import Chunk, Fault, Source
from star_features.tables.config import DatasetConfig
from star_features.tables.joins import Joined
from star_features.tables.mapping import STRINGS, Mapping, resolve
from star_features.tables.rules import find_faults, list_faults, row_schema, to_label, to_weight
from star_features.tables.spec import Role, TableSpec
from star_features.tables.times import TIME, Times
from star_features.tables.work import Work

TYPES: dict[Role, pa.DataType] = {
    "id": pa.string(),
    "word": pa.string(),
    "text": pa.string(),
    "time": TIME,
    "weight": pa.float32(),
    "label": pa.int8(),
}
ORIGIN = pa.schema([("_file", pa.string()), ("_row", pa.int64())])


@dataclass(frozen=True)
class Intake:
    """What was read of one table.

    Attributes:
        scalars: further scalar columns, canonical name to source name.
        lists: canonical names of the list columns.
        ignored: source columns left out, and why.
    """

    files: tuple[str, ...]
    rows_in: int
    scalars: dict[str, str]
    lists: tuple[str, ...]
    ignored: dict[str, str]


def take_in(
    work: Work,
    spec: TableSpec,
    sources: Sequence[Source],
    config: DatasetConfig,
    joined: Sequence[Joined] = (),
    barred: Barred = NOBODY,
) -> Intake:
    """Read every source of a table onto the workbench and into the quarantine."""
    added = {name: shape for join in reversed(joined) for name, shape in join.shapes.items()}
    mappings = [resolve(spec, source.name, added | source.shapes) for source in sources]
    scalars = {name: source for mapping in mappings for name, source in mapping.scalars.items()}
    lists = tuple(dict.fromkeys(name for mapping in mappings for name in mapping.lists))
    work.create(spec.name, _schema(spec, scalars, lists))
    rows_in = 0
    with bar(f"read {spec.name}", unit="row") as progress:
        for source, mapping in zip(sources, mappings, strict=True):
            check = RowCheck(spec, mapping, config, work, barred)
            for chunk in _chunks(source, mapping, config, joined):
                good, faults = check(chunk)
                work.add(spec.name, good)
                work.quarantine(spec.name, faults)
                rows_in += chunk.rows_in
                progress.update(chunk.rows_in)
    ignored = {name: why for mapping in mappings for name, why in mapping.ignored.items()}
    return Intake(tuple(source.name for source in sources), rows_in, scalars, lists, ignored)


class RowCheck:
    """Maps and checks chunks of one source: good rows, typed, and faults."""

    def __init__(
        self,
        spec: TableSpec,
        mapping: Mapping,
        config: DatasetConfig,
        work: Work,
        barred: Barred = NOBODY,
    ) -> None:
        self.spec, self.mapping, self.barred = spec, mapping, barred
        self.times = Times(work.con, config.timezone, spec.time_format)
        self.limits = config.limits
        self.schema = row_schema(mapping.slots, self.limits, self.times)

    def __call__(self, chunk: Chunk) -> tuple[pa.Table, list[Fault]]:
        mapped = self.mapping.apply(chunk.table)
        found = self._faults(mapped)
        good = [row for row in range(mapped.num_rows) if row not in found]
        typed = self._typed(mapped.take(pa.array(good, pa.int64())))
        if gone := deleted_rows(self.spec, typed, self.barred):
            found |= {good[place]: why for place, why in gone.items()}
            kept = [place for place in range(len(good)) if place not in gone]
            good, typed = [good[place] for place in kept], typed.take(kept)
        typed = typed.append_column("_file", pa.repeat(chunk.file, typed.num_rows))
        typed = typed.append_column("_row", pa.array(chunk.rows_N[good]))
        faults = [Fault(chunk.file, int(chunk.rows_N[at]), *why) for at, why in found.items()]
        return typed, self._unreadable(chunk) + faults

    def _faults(self, mapped: pa.Table) -> dict[int, Why]:
        """By place in the chunk, why a row is set aside; of the erased no more than that."""
        found = find_faults(mapped, self.schema, self.mapping.slots)
        found = list_faults(mapped, tuple(self.mapping.lists), self.limits) | found
        if self.barred.someone_erased:
            found = {row: withheld(self.spec, mapped, row, why) for row, why in found.items()}
        return found | erased_rows(self.spec, mapped, self.barred)

    def _unreadable(self, chunk: Chunk) -> list[Fault]:
        if not self.barred.someone_erased:
            return chunk.faults
        return [replace(fault, value=None) for fault in chunk.faults]

    def _typed(self, rows: pa.Table) -> pa.Table:
        for slot in self.mapping.slots:
            place = rows.schema.get_field_index(slot.name)
            rows = rows.set_column(place, slot.name, self._values(slot.role, rows.column(place)))
        for name, values in self._defaults(rows).items():
            place = rows.schema.get_field_index(name)
            rows = rows if place < 0 else rows.remove_column(place)
            rows = rows.append_column(name, values)
        return rows

    def _values(self, role: Role, values: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        if role == "time":
            return self.times.parse(values)
        if role == "weight":
            return pa.array(to_weight(values.to_pandas()), from_pandas=True).cast(TYPES[role])
        if role == "label":
            return pa.array(to_label(values.to_pandas()), TYPES[role], from_pandas=True)
        return values

    def _defaults(self, rows: pa.Table) -> dict[str, pa.Array | pa.ChunkedArray]:
        """A label of 1 and the weight of its kind, where the input says nothing."""
        out: dict[str, pa.Array | pa.ChunkedArray] = {}
        roles = {slot.role for slot in self.spec.slots}
        if "label" in roles and "label" not in rows.column_names:
            out["label"] = pa.repeat(pa.scalar(1, pa.int8()), rows.num_rows)
        if "weight" in roles:
            by_kind = dict(self.spec.kind_weights)
            kinds = rows.column("kind").to_pylist() if by_kind else []
            weights = [by_kind.get(kind, 1.0) for kind in kinds] or [1.0] * rows.num_rows
            usual = pa.array(weights, pa.float32())
            given = "weight" in rows.column_names
            out["weight"] = pc.coalesce(rows.column("weight"), usual) if given else usual
        return out


def _schema(spec: TableSpec, scalars: dict[str, str], lists: tuple[str, ...]) -> pa.Schema:
    fields = [(slot.name, TYPES[slot.role]) for slot in spec.slots]
    fields += [(name, pa.string()) for name in scalars]
    fields += [(name, STRINGS) for name in lists]
    return pa.schema([*fields, *ORIGIN])


def _chunks(
    source: Source, mapping: Mapping, config: DatasetConfig, joined: Sequence[Joined]
) -> Iterator[Chunk]:
    """The rows of a source, with the columns of what is joined to it."""
    limits = config.limits
    keys = [join.key for join in joined]
    own = [name for name in dict.fromkeys([*mapping.reads, *keys]) if name in source.shapes]
    for chunk in source.chunks(own, limits.chunk_rows, limits.cut):
        table = chunk.table
        for join in joined:
            table = join.add_to(table)
        yield Chunk(chunk.file, chunk.rows_N, table, chunk.faults)
