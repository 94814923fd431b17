"""
The picked rows, read once, in the order they lie in.

    shelf = fetch(picks, lookup, labels=n, shared=spill_folder)
    columns = shelf.columns(start, stop)          # Arrow, one value a label
    table = rows_at(files, places, fields)        # without labels: rows as they are

Only row groups that hold a picked row are opened, and they pass by in small batches. A column of
equally long number lists, which every embedding is, lands in one matrix without touching single
numbers; anything else stays in Arrow.

Two ways to shelve. *Shared*: each picked row once, vectors in a memory-mapped file, so that a
stream of labels needs little memory however often they share rows. *Own* (`shared=None`): one
place a label, in the labels' order, so that the result needs no second copy.

Shapes: L labels, P picks, S slots on the shelf, D width of a vector.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from star_features.offline.pages import Levels, read_rows, width_of
from star_features.offline.picks import Picks, file_and_row
from star_features.offline.plan import Lookup
from star_features.offline.sources import HISTORY_PART

BATCH_ROWS = 1_024
READ_AHEAD = 4 << 20
"""Bytes of a column chunk in memory at a time: a row group may be larger than memory."""


class Ragged(Exception):
    """A list column turned out to hold nulls or lists of several lengths."""

    def __init__(self, column: str) -> None:
        self.column = column


@dataclass(frozen=True)
class Shelf:
    """The features of one view for every label.

    Attributes:
        slot_L: where each label's row stands on the shelf; -1 where it sees none.
        fields: result column -> its field in the files.
        matrices: file column -> S × D numbers.
        others: every other file column, S rows.
    """

    slot_L: NDArray[np.int64]
    fields: dict[str, pa.Field]
    matrices: dict[str, NDArray[Any]]
    others: pa.Table

    def columns(self, start: int, stop: int) -> dict[str, pa.Array]:
        """The features of labels `start` … `stop`, null where a label sees no row."""
        slot_N = self.slot_L[start:stop]
        return {name: self._column(field, slot_N) for name, field in self.fields.items()}

    def _column(self, field: pa.Field, slot_N: NDArray[np.int64]) -> pa.Array:
        seen_N = slot_N >= 0
        if field.name in self.matrices:
            rows_PD = _rows(self.matrices[field.name], slot_N[seen_N])
            return list_array(rows_PD, seen_N, field.type)
        if field.name not in self.others.column_names:
            return pa.nulls(len(slot_N), field.type)
        taken = self.others[field.name].take(pa.array(slot_N, mask=~seen_N))
        return _whole(taken)


def fetch(
    picks: Picks, lookup: Lookup, *, labels: int, shared: Path | None, threads: int = 1
) -> Shelf:
    """Read the features of all picks.

    Args:
        labels: L, how many labels there are.
        shared: a folder for vectors that are read once and used by many labels; None gives each
            label its own place in memory.
    """
    place_S, slot_P = picks.place_P, np.arange(len(picks.place_P))
    if shared is not None:
        place_S, slot_P = np.unique(place_S, return_inverse=True)
    slot_L = np.full(labels, -1, dtype=np.int64)
    slot_L[picks.label_P] = slot_P
    fields = {field.name: field for field in lookup.features.values()}
    matrices, others = _read(picks.files, place_S, fields, shared, threads)
    return Shelf(slot_L, lookup.features, matrices, others)


def rows_at(
    files: tuple[Path, ...], place_N: NDArray[np.int64], fields: dict[str, pa.Field]
) -> pa.Table:
    """These columns of the rows at these places, in their order, in memory."""
    matrices, others = _read(files, place_N, fields, None, 1)
    there_N = np.ones(len(place_N), dtype=np.bool_)
    columns = {name: list_array(m, there_N, fields[name].type) for name, m in matrices.items()}
    columns |= {name: others[name] for name in others.column_names}
    return pa.table({name: columns[name] for name in fields})


@dataclass(frozen=True)
class _Work:
    """The rows wanted from one row group: their numbers in it, ascending, and their slots."""

    file: Path
    meta: pq.FileMetaData
    group: int
    row_G: NDArray[np.int64]
    slot_G: NDArray[np.int64]

    def batches(self, columns: list[str]) -> Iterator[tuple[pa.RecordBatch, Any, Any]]:
        """Batches that hold wanted rows, the rows' numbers in the batch, and their slots."""
        if not columns:
            return
        last = int(self.row_G[-1])
        present = [name for name in columns if name in self.meta.schema.to_arrow_schema().names]
        start = 0
        with pq.ParquetFile(self.file, metadata=self.meta, buffer_size=READ_AHEAD) as parquet:
            for batch in parquet.iter_batches(
                min(BATCH_ROWS, last + 1),
                row_groups=[self.group],
                columns=present,
                use_threads=False,
            ):
                low, high = np.searchsorted(self.row_G, [start, start + batch.num_rows])
                if high > low:
                    yield batch, self.row_G[low:high] - start, self.slot_G[low:high]
                start += batch.num_rows
                if start > last:
                    return

    def width(self, name: str) -> int:
        """How many numbers the first wanted row of a list column has; Ragged if it is no list."""
        if self.is_ours and (width := width_of(self.meta, self.group, name)):
            return width
        batch, rows, _ = next(self.batches([name]))
        if name not in batch.schema.names:
            raise Ragged(name)
        return int(_numbers(batch.column(name), name).shape[1]) if len(rows) else 0

    @property
    def is_ours(self) -> bool:
        return bool(HISTORY_PART.search(self.file.as_posix()))

    def fill(self, name: str, matrix_SD: NDArray[Any], levels_seen: set[Levels]) -> None:
        """Copy the wanted vectors into their slots, past the Parquet reader where that is safe."""
        if self.is_ours and read_rows(
            self.file, self.meta, self.group, name, self.row_G, self.slot_G, matrix_SD, levels_seen
        ):
            return
        for batch, rows, slots in self.batches([name]):
            if name not in batch.schema.names:
                raise Ragged(name)
            numbers = _numbers(batch.column(name), name)
            if numbers.shape[1] != matrix_SD.shape[1]:
                raise Ragged(name)
            matrix_SD[slots] = numbers[rows]


def _read(
    files: tuple[Path, ...],
    place_S: NDArray[np.int64],
    fields: dict[str, pa.Field],
    folder: Path | None,
    threads: int,
) -> tuple[dict[str, NDArray[Any]], pa.Table]:
    """Matrices and other columns, slot by slot, for places in any order."""
    works = list(_works(files, place_S))
    lists = [name for name, field in fields.items() if _is_numbers(field.type)]
    slots = len(place_S)
    while True:
        try:
            matrices = _matrices(works, lists, fields, slots, folder)
            rest = [name for name in fields if name not in matrices]
            pieces = _run(works, matrices, rest, fields, threads)
            return matrices, _in_slot_order(pieces, {name: fields[name] for name in rest})
        except Ragged as ragged:
            lists.remove(ragged.column)


def _works(files: tuple[Path, ...], place_S: NDArray[np.int64]) -> Iterator[_Work]:
    """One piece of work a row group that holds a wanted row, in the order of the files."""
    order_S = np.argsort(place_S, kind="stable")
    file_S, row_S = file_and_row(place_S[order_S])
    for number in np.unique(file_S).tolist():
        low, high = np.searchsorted(file_S, [number, number + 1])
        meta = pq.read_metadata(files[number])
        sizes = [meta.row_group(g).num_rows for g in range(meta.num_row_groups)]
        ends = np.cumsum(sizes)
        group_R = np.searchsorted(ends, row_S[low:high], side="right")
        for group in np.unique(group_R).tolist():
            first, last = low + np.searchsorted(group_R, [group, group + 1])
            rows = row_S[first:last] - (ends[group] - sizes[group])
            yield _Work(files[number], meta, group, rows, order_S[first:last])


def _matrices(
    works: list[_Work],
    lists: list[str],
    fields: dict[str, pa.Field],
    slots: int,
    folder: Path | None,
) -> dict[str, NDArray[Any]]:
    """An empty matrix for each list column, as wide as its first wanted row."""
    matrices: dict[str, NDArray[Any]] = {}
    for name in lists if works else []:
        width = works[0].width(name)
        dtype = fields[name].type.value_type.to_pandas_dtype()
        if folder is None or width == 0:
            matrices[name] = np.empty((slots, width), dtype)
        else:
            path = folder / f"{len(list(folder.iterdir()))}.vectors"
            matrices[name] = np.memmap(path, dtype, "w+", shape=(slots, width))
    return matrices


def _run(
    works: list[_Work],
    matrices: dict[str, NDArray[Any]],
    rest: list[str],
    fields: dict[str, pa.Field],
    threads: int,
) -> list[tuple[NDArray[np.int64], pa.Table]]:
    """Fill the matrices; return the other columns as pieces, each with its slots."""

    levels_seen: set[Levels] = set()

    def one(work: _Work) -> list[tuple[NDArray[np.int64], pa.Table]]:
        for name, matrix_SD in matrices.items():
            work.fill(name, matrix_SD, levels_seen)
        return [
            (slots, _take(batch, rows, rest, fields)) for batch, rows, slots in work.batches(rest)
        ]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return [piece for pieces in pool.map(one, works) for piece in pieces]


def _take(
    batch: pa.RecordBatch, rows: NDArray[np.int64], names: list[str], fields: dict[str, pa.Field]
) -> pa.Table:
    """Some rows of some columns; a column that this file does not have yet is null."""
    columns = {
        name: batch.column(name).take(pa.array(rows)).cast(fields[name].type)
        if name in batch.schema.names
        else pa.nulls(len(rows), fields[name].type)
        for name in names
    }
    return pa.table(columns)


def _in_slot_order(
    pieces: list[tuple[NDArray[np.int64], pa.Table]], fields: dict[str, pa.Field]
) -> pa.Table:
    if not pieces:
        return pa.schema([field for field in fields.values()]).empty_table()
    slots = np.concatenate([slots for slots, _ in pieces])
    table = pa.concat_tables([piece for _, piece in pieces])
    return table.take(pa.array(np.argsort(slots))).combine_chunks()


def _is_numbers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _numbers(lists: pa.Array, name: str) -> NDArray[Any]:
    """A list column as a matrix, without a copy; Ragged where it is none."""
    flat = lists.flatten()
    width, left = divmod(len(flat), max(1, len(lists)))
    uniform = len(lists) > 0 and not left and lists.null_count == 0 and flat.null_count == 0
    if not uniform or not np.all(np.diff(np.asarray(lists.offsets)) == width):
        raise Ragged(name)
    return np.asarray(flat).reshape(len(lists), width)


def _rows(matrix_SD: NDArray[Any], slot_P: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of a matrix; a run of slots is a view, not a copy."""
    first = int(slot_P[0]) if len(slot_P) else 0
    if np.array_equal(slot_P, np.arange(first, first + len(slot_P))):
        return np.asarray(matrix_SD[first : first + len(slot_P)])
    return np.asarray(matrix_SD[slot_P])


def list_array(rows_PD: NDArray[Any], seen_N: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """An Arrow list column: the rows in their order where `seen`, null elsewhere."""
    width = rows_PD.shape[1]
    offsets = np.concatenate([[0], np.cumsum(seen_N) * width])
    values = pa.array(rows_PD.reshape(-1))
    lists = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
    size = pa.int32() if pa.types.is_list(kind) else pa.int64()
    return lists.from_arrays(pa.array(offsets, size), values, mask=pa.array(~seen_N)).cast(kind)


def _whole(chunked: pa.ChunkedArray) -> pa.Array:
    whole = chunked.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
