"""
CSV, row by row, so that one bad row costs exactly one row.

Python's own reader is used because it goes on after an error, and because rows keep their numbers:
a row with the wrong number of fields, a broken quote or bytes that are no text is named and left
out, and an unclosed quote does not swallow the rows that follow it.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from star_features.errors import DataError
from star_features.tables.chunk import Chunk, Fault, Shape
from star_features.tables.config import Csv

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

CHUNK_CHARACTERS = 32 << 20
FIELD_CHARACTERS = 16 << 20  # past this an open quote is taken for a broken one


class CsvSource:
    """One CSV file with a header. An empty field is a missing value."""

    def __init__(self, path: Path, settings: Csv, name: str | None = None) -> None:
        self.path, self.settings = path, settings
        self.name = name or path.name
        self.header = self._read_header()

    @property
    def shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(self.header, "text")

    def chunks(self, columns: Sequence[str], rows: int, cut: int) -> Iterator[Chunk]:
        """Read `columns` in pieces of at most `rows` rows, values cut to `cut` characters."""
        piece = _Piece(self.name, self.header, columns, cut)
        with self._open() as file:
            lines = _Lines(file)
            reader = self._reader(lines)
            next(reader)
            lines.forget()
            for row, fields in enumerate(_records(reader, lines), start=1):
                piece.add(row, fields, lines)
                lines.forget()
                if piece.size >= rows or lines.characters >= CHUNK_CHARACTERS:
                    yield piece.take()
                    lines.characters = 0
        if piece.size:
            yield piece.take()

    def _open(self) -> IO[str]:
        encoding = self.settings.encoding
        plain_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        name = "utf-8-sig" if plain_utf8 else encoding
        return self.path.open(encoding=name, errors="surrogateescape", newline="")

    def _reader(self, lines: "_Lines") -> "CsvReader":
        csv.field_size_limit(FIELD_CHARACTERS)
        delimiter, quote = self.settings.delimiter, self.settings.quote
        return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)

    def _read_header(self) -> list[str]:
        with self._open() as file:
            try:
                header: list[str] = next(self._reader(_Lines(file)), [])
            except (csv.Error, UnicodeError) as error:
                raise DataError(self.name, f"cannot be read as CSV: {error}", _HOW) from error
        if not header:
            raise DataError(self.name, "the file is empty", "Wanted a header and rows under it.")
        if any(_unreadable(name) or "\0" in name for name in header):
            got = f"is not text in the encoding {self.settings.encoding}"
            raise DataError(self.name, got, _HOW)
        if repeated := sorted({name for name in header if header.count(name) > 1}):
            got = f"has two columns named {', '.join(map(repr, repeated))}"
            raise DataError(self.name, got, "Give each column a name of its own.")
        return header


_HOW = 'Wanted CSV. If it is, say how it is written in dataset.toml:\n[csv]\nencoding = "cp949"'


class _Lines:
    """Physical lines, which can be handed out again after a broken record."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.again: list[str] = []
        self.taken: list[str] = []
        self.characters = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.again.pop() if self.again else next(self.file)
        self.taken.append(line)
        self.characters += len(line)
        return line

    def forget(self) -> None:
        self.taken.clear()

    def keep_first(self) -> None:
        """Only the first line of the record is bad: the others are read anew."""
        self.again.extend(reversed(self.taken[1:]))
        del self.taken[1:]


def _records(reader: "CsvReader", lines: _Lines) -> Iterator[list[str] | None]:
    """Records without blank lines; None stands for a line that cannot be read."""
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            lines.keep_first()
            yield None
        else:
            if fields:
                yield fields
            else:
                lines.forget()


class _Piece:
    """Rows collected for the next chunk."""

    def __init__(self, file: str, header: list[str], columns: Sequence[str], cut: int) -> None:
        self.file, self.width, self.cut = file, len(header), cut
        self.columns = list(columns)
        self.places = [header.index(name) for name in columns]
        self._clear()

    def _clear(self) -> None:
        self.numbers: list[int] = []
        self.records: list[list[str]] = []
        self.faults: list[Fault] = []

    @property
    def size(self) -> int:
        return len(self.numbers) + len(self.faults)

    def add(self, row: int, fields: list[str] | None, lines: _Lines) -> None:
        if fields is None or len(fields) != self.width:
            reason = "unreadable_row" if fields is None else "wrong_field_count"
            self._refuse(row, "", reason, lines.taken[0])
            return
        if sum(map(len, lines.taken)) > self.cut:
            fields = [value[: self.cut] for value in fields]
        self.numbers.append(row)
        self.records.append(fields)

    def take(self) -> Chunk:
        """Hand over what was collected, and start anew."""
        try:
            table = self._table()
        except UnicodeEncodeError:
            self._refuse_undecoded()
            table = self._table()
        chunk = Chunk(self.file, np.array(self.numbers, dtype=np.int64), table, self.faults)
        self._clear()
        return chunk

    def _table(self) -> pa.Table:
        by_column = list(zip(*self.records, strict=True)) or [()] * self.width
        arrays = [pa.array(by_column[place], pa.string()) for place in self.places]
        return pa.table(dict(zip(self.columns, arrays, strict=True)))

    def _refuse_undecoded(self) -> None:
        good: list[int] = []
        for index, (row, fields) in enumerate(zip(self.numbers, self.records, strict=True)):
            bad = next((place for place in self.places if _unreadable(fields[place])), None)
            if bad is None:
                good.append(index)
            else:
                column = self.columns[self.places.index(bad)]
                self._refuse(row, column, "invalid_encoding", fields[bad])
        self.numbers = [self.numbers[index] for index in good]
        self.records = [self.records[index] for index in good]

    def _refuse(self, row: int, column: str, reason: str, value: str) -> None:
        shown = value[:1000].encode(errors="surrogateescape").decode(errors="backslashreplace")
        self.faults.append(Fault(self.file, row, column, reason, shown.rstrip("\r\n")))


def _unreadable(value: str) -> bool:
    """Whether the bytes were no text in the file's encoding."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
