"""
Rows of an embedding column straight from Parquet's pages, into a matrix.

    done = read_rows(file, meta, group, "vector", rows, slots, matrix)

A Parquet reader rebuilds lists from two levels for each number, and an embedding has hundreds of
numbers that all say the same. Where every list is equally long and nothing is null, a page is its
numbers in a row, and a wanted row is a slice of it. Used on parts of our own history only, and
each page that is read must show that it is such a page; anything else is left to the caller.

Shapes: R wanted rows, S slots of the matrix, D width, V numbers in a page.
"""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DATA_PAGE, DICTIONARY_PAGE = 0, 2
PLAIN, DICTIONARY = 0, (2, 8)
HEADER_BYTES = 1 << 10
"""Read for a page header; it holds a few numbers and the page's smallest and largest value."""

WINDOW_BYTES = 4 << 20
"""Of a file in the process at a time: mapped pages count as its memory."""

Levels = tuple[int, int, int, bytes]
"""Width, how far into a list a page begins, its numbers, and where lists start in it, encoded."""


@dataclass(frozen=True)
class Page:
    """A data page: its first number in the chunk, how many, and where its body lies."""

    first: int
    count: int
    encoding: int
    offset: int
    stored: int
    unpacked: int


def read_rows(
    file: Path,
    meta: pq.FileMetaData,
    group: int,
    column: str,
    row_R: NDArray[np.int64],
    slot_R: NDArray[np.int64],
    matrix_SD: NDArray[Any],
    levels_seen: set[Levels],
) -> bool:
    """Fill the slots of the wanted rows of a row group; False where its pages are not of that kind.

    Args:
        row_R: row numbers within the group, ascending.
        levels_seen: what was found right before; shared, for most pages are alike in this.
    """
    width = matrix_SD.shape[1]
    chunk = _chunk(meta, group, column)
    if chunk is None or chunk.num_values != meta.row_group(group).num_rows * width:
        return False
    try:
        with file.open("rb") as handle:
            reader = _Reader(_Windows(handle.fileno()), chunk, width, levels_seen)
            for page in reader.pages():
                if _wanted(page, row_R, width):
                    _place(page, reader.numbers(page), row_R, slot_R, matrix_SD)
    except (_Unlike, IndexError, KeyError, ValueError):
        return False
    return True


def width_of(meta: pq.FileMetaData, group: int, column: str) -> int | None:
    """The numbers of each list of a row group, if all have as many; None where pages must tell."""
    chunk = _chunk(meta, group, column)
    width, left = divmod(chunk.num_values, meta.row_group(group).num_rows) if chunk else (0, 0)
    return None if left or not width else width


class _Unlike(Exception):
    """A page that is not made of equally long lists of numbers."""


def _chunk(meta: pq.FileMetaData, group: int, column: str) -> Any:
    """The column's chunk, if it is a list of non-null floats that we can unpack."""
    found = [
        chunk
        for chunk in map(meta.row_group(group).column, range(meta.num_columns))
        if chunk.path_in_schema.split(".")[0] == column
    ]
    if len(found) != 1 or found[0].physical_type not in ("FLOAT", "DOUBLE"):
        return None
    chunk = found[0]
    nulls = chunk.statistics.null_count if chunk.is_stats_set else None
    is_list = chunk.path_in_schema.count(".") == 2
    return chunk if is_list and nulls == 0 and chunk.compression in CODECS else None


CODECS: dict[str, str | None] = {
    "UNCOMPRESSED": None,
    "SNAPPY": "snappy",
    "ZSTD": "zstd",
    "GZIP": "gzip",
}
DTYPES: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype("<f4"), "DOUBLE": np.dtype("<f8")}


class _Windows:
    """A file's bytes, a piece of it mapped at a time: what is not looked at is not read.

    Of a year's vectors a request wants every tenth; read whole, a page was copied for it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.size = descriptor, os.fstat(descriptor).st_size
        self.start, self.window = 0, memoryview(b"")

    def piece(self, at: int, length: int) -> memoryview:
        """Bytes from `at` on, fewer at the end of the file; they stay while they are held."""
        length = min(length, self.size - at)
        if not self.start <= at <= at + length <= self.start + len(self.window):
            self.start = at - at % mmap.ALLOCATIONGRANULARITY
            size = min(max(WINDOW_BYTES, at + length - self.start), self.size - self.start)
            self.window = memoryview(
                mmap.mmap(self.descriptor, size, access=mmap.ACCESS_READ, offset=self.start)
            )
        return self.window[at - self.start : at - self.start + length]


class _Reader:
    """The pages of one column chunk."""

    def __init__(self, file: _Windows, chunk: Any, width: int, levels_seen: set[Levels]) -> None:
        self.file, self.chunk, self.width = file, chunk, width
        self.dtype = DTYPES[chunk.physical_type]
        self.dictionary = np.zeros(0, self.dtype)
        self.levels_seen = levels_seen

    def pages(self) -> Iterator[Page]:
        """The data pages, in order; the dictionary is read on the way."""
        at = self.chunk.dictionary_page_offset or self.chunk.data_page_offset
        first = 0
        while first < self.chunk.num_values:
            header, length = _struct(bytes(self.file.piece(at, HEADER_BYTES)), 0)
            body = (at + length, header[3], header[2])
            at += length + header[3]
            if header[1] == DATA_PAGE:
                page = Page(first, header[5][1], header[5][2], *body)
                yield page
                first += page.count
            elif header[1] == DICTIONARY_PAGE:
                self.dictionary = np.frombuffer(self._body(*body), self.dtype)
            else:
                raise _Unlike

    def numbers(self, page: Page) -> NDArray[Any]:
        """The numbers of a page, once each list in it is seen to be as wide as all others."""
        body = self._body(page.offset, page.stored, page.unpacked)
        repeats = int.from_bytes(body[:4], "little")
        self._check_levels(page, bytes(body[4 : 4 + repeats]))
        defined = int.from_bytes(body[4 + repeats : 8 + repeats], "little")
        values = body[8 + repeats + defined :]
        if page.encoding == PLAIN:
            numbers_V = np.frombuffer(values, self.dtype)
        elif page.encoding in DICTIONARY:
            numbers_V = self.dictionary[_hybrid(bytes(values[1:]), page.count, values[0])]
        else:
            raise _Unlike
        if len(numbers_V) != page.count:  # a null or an empty list has no number
            raise _Unlike
        return numbers_V

    def _body(self, offset: int, stored: int, unpacked: int) -> memoryview:
        body = self.file.piece(offset, stored)
        codec = CODECS[self.chunk.compression]
        if codec is None:
            return body
        return memoryview(pa.Codec(codec).decompress(body, decompressed_size=unpacked)).cast("B")

    def _check_levels(self, page: Page, levels: bytes) -> None:
        found = (self.width, page.first % self.width, page.count, levels)
        if found in self.levels_seen:
            return
        starts_V = np.arange(page.first, page.first + page.count) % self.width == 0
        if not np.array_equal(_hybrid(levels, page.count, 1), 1 - starts_V):
            raise _Unlike
        self.levels_seen.add(found)


def _wanted(page: Page, row_R: NDArray[np.int64], width: int) -> bool:
    low = np.searchsorted(row_R, page.first // width)
    return bool(low < len(row_R) and row_R[low] * width < page.first + page.count)


def _place(
    page: Page,
    numbers_V: NDArray[Any],
    row_R: NDArray[np.int64],
    slot_R: NDArray[np.int64],
    matrix_SD: NDArray[Any],
) -> None:
    """Copy the wanted rows of a page, and the parts of those that a page's edge cuts."""
    width, last = matrix_SD.shape[1], page.first + page.count
    whole, past = -(-page.first // width), last // width
    if past > whole:
        low, high = np.searchsorted(row_R, [whole, past])
        skip = whole * width - page.first
        rows_ND = numbers_V[skip : skip + (past - whole) * width].reshape(-1, width)
        _as_items(matrix_SD)[slot_R[low:high]] = _as_items(rows_ND)[row_R[low:high] - whole]
    for row in {page.first // width, past}:
        begin, end = max(page.first, row * width), min(last, (row + 1) * width)
        if 0 < end - begin < width:
            low, high = np.searchsorted(row_R, [row, row + 1])
            part = numbers_V[begin - page.first : end - page.first]
            matrix_SD[slot_R[low:high], begin - row * width : end - row * width] = part


def _as_items(rows_ND: NDArray[Any]) -> NDArray[Any]:
    """Each row as one item of bytes, which is copied as such, wherever in memory it begins."""
    return rows_ND.view(np.dtype((np.void, rows_ND.itemsize * rows_ND.shape[1])))[:, 0]


def _hybrid(data: bytes, count: int, bits: int) -> NDArray[np.int64]:
    """Small integers from Parquet's mixture of runs and packed bits."""
    pieces: list[NDArray[np.int64]] = []
    packed: list[bytes] = []  # neighbours are unpacked at once: a writer cuts them small
    at, length = 0, -(-bits // 8)
    while at < len(data):
        header, at = _varint(data, at)
        end = at + ((header >> 1) * bits if header & 1 else length)
        if header & 1:
            packed.append(data[at:end])
        else:
            pieces.append(_unpacked(packed, bits))
            packed = []
            pieces.append(np.full(header >> 1, int.from_bytes(data[at:end], "little")))
        at = end
    return np.concatenate([*pieces, _unpacked(packed, bits)])[:count]


def _unpacked(packed: list[bytes], bits: int) -> NDArray[np.int64]:
    """Integers of a few bits each: the eight bytes in which one begins, shifted into place."""
    if not packed:
        return np.zeros(0, np.int64)
    data = b"".join(packed)
    if bits == 1:
        return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.int64)
    bit_V = np.arange(len(data) * 8 // bits) * bits
    at_V = bit_V >> 3
    padded_N = np.frombuffer(data + bytes(8), np.uint8)
    word_V = np.zeros(len(bit_V), np.int64)
    for byte in range(-(-(bits + 7) // 8)):
        word_V |= padded_N[at_V + byte].astype(np.int64) << (8 * byte)
    return (word_V >> (bit_V & 7)) & ((1 << bits) - 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A Thrift struct in the compact protocol: field number -> value, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while data[at]:
        kind, delta = data[at] & 0x0F, data[at] >> 4
        at += 1
        if delta:
            number += delta
        else:
            zigzag, at = _varint(data, at)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        fields[number], at = _value(data, at, kind)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind in (4, 5, 6):
        zigzag, at = _varint(data, at)
        return (zigzag >> 1) ^ -(zigzag & 1), at
    if kind == 8:
        length, at = _varint(data, at)
        return data[at : at + length], at + length
    if kind == 12:
        return _struct(data, at)
    raise ValueError(f"a page header has no field of Thrift kind {kind}")
