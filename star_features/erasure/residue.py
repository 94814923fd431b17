"""
What is left of someone in a folder: freed pages of SQLite, and the search that proves it gone.

    compact(path, needles)              # a SQLite file without what it deleted
    found = search(folder, subject, views, skip=[source])       # {} once all is gone

A deleted row stays readable in a SQLite file until its page is used again. Where such bytes are
found the file is written anew (VACUUM). Parquet is compressed, so its rows are read; every other
file is read as bytes.
"""

import json
import mmap
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from star_features.erasure.rows import owners
from star_features.erasure.subject import Subject
from star_features.online.wire import entity_keys

PIECE = 1 << 20
SQLITE = b"SQLite format 3\0"
OWN = 6
"""Characters from which on an id is looked for as bare bytes: `17` would be found everywhere."""


@dataclass
class Searched:
    """What a search went through.

    Attributes:
        found: files that still hold something, and what kind of thing.
    """

    files: int = 0
    bytes: int = 0
    found: dict[str, str] = field(default_factory=dict)


def search(
    folder: Path, subject: Subject, views: Sequence[str], skip: Sequence[Path] = ()
) -> Searched:
    """Look for the subject in every file below a folder, but for those below `skip`."""
    searched = Searched()
    exact = exact_bytes(subject, views)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(path.is_relative_to(other) for other in skip):
            continue
        searched.files += 1
        searched.bytes += path.stat().st_size
        if why := _held_by(path, subject, exact):
            searched.found[str(path.relative_to(folder))] = why
    return searched


def compact(path: Path, needles: Sequence[bytes], busy_seconds: float = 30.0) -> bool:
    """Write a SQLite file anew if it still holds any of these bytes; returns whether it did."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not any(holds(file, needles) for file in _files_of(path)):
            return False
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


def exact_bytes(subject: Subject, views: Sequence[str]) -> list[bytes]:
    """Bytes that nobody else's rows hold, however short an id is: as stores and ledger spell it."""
    return [
        *entity_keys(subject.key, subject.ids),
        *(f"{view}{id}{subject.entity}_".encode() for view in views for id in subject.ids),
    ]


def bare_bytes(subject: Subject) -> list[bytes]:
    """Ids and texts as such, where they are long enough; `anna-1` is part of `anna-10` too."""
    words = [*(id for id in subject.ids if len(id) >= OWN), *subject.told]
    spelt = [form.encode() for word in words for form in (word, json.dumps(word)[1:-1])]
    return list(dict.fromkeys(spelt))


def holds(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether a file holds any of these bytes; memory is bounded."""
    overlap = max((len(needle) for needle in needles), default=1) - 1
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            seen = tail + piece
            if any(needle in seen for needle in needles):
                return True
            tail = seen[-overlap:] if overlap else b""
    return False


def _held_by(path: Path, subject: Subject, exact: Sequence[bytes]) -> str:
    if path.suffix == ".parquet":
        return _held_by_rows(path, subject)
    if path.suffix == ".json":
        return "a document names them" if subject.named_in(path.read_text()) else ""
    if holds(path, exact):
        return "a row of theirs"
    if is_sqlite(path):  # its live rows were asked for by SQL, its freed pages written anew
        return ""
    bare = bare_bytes(subject)
    return "their id or text" if holds(path, bare) and _as_words(path, bare) else ""


def _as_words(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether any of these stands in a file as a word of its own."""
    word = rb"[0-9A-Za-z_\x80-\xff]"
    whole = b"|".join(map(re.escape, needles))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as seen:
        return re.search(rb"(?<!%b)(?:%b)(?!%b)" % (word, whole, word), seen) is not None


def _held_by_rows(path: Path, subject: Subject) -> str:
    if owners(path, subject):
        return "rows of theirs"
    own = pa.array([id for id in subject.ids if len(id) >= OWN], pa.string())
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        columns = [f.name for f in schema if _is_text(f.type)]
        for batch in file.iter_batches(columns=columns) if columns else ():
            for column in _flat(batch.columns):
                if pc.any(pc.is_in(column, value_set=own)).as_py():
                    return "their id in another column"
                if any(pc.any(pc.match_substring(column, t)).as_py() for t in subject.told):
                    return "their text"
    return ""


def _flat(columns: Iterable[pa.Array]) -> Iterator[pa.Array]:
    for column in columns:
        nested = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        yield (column.flatten() if nested else column).cast(pa.string())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    )


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database, or the log of one."""
    if path.name.endswith(("-wal", "-shm")):
        return True
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _files_of(path: Path) -> list[Path]:
    """A SQLite file and its log."""
    beside = [path, path.with_name(f"{path.name}-wal")]
    return [file for file in beside if file.exists()]
