"""
The files of a history: which are there, whole, and as the ledger knows them.

    found = look(ledger, history)
    found.readable, found.intact      # files that can be read, and whether each is as it should be
    found.missing, found.damaged, found.unreadable, found.unknown
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from star_features.files import sha256
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Part
from star_features.store.history import EMPTY, History

PIECE = 20_000


@dataclass
class Parts:
    """What became of a history's files.

    Attributes:
        readable: files that can be read, by name.
        intact: of each of these, whether its bytes are known to be those that were taken in.
        missing: parts that the ledger knows and nobody finds, and how many rows they had.
        unreadable: files that no reader can open to the end, and how many rows they had.
        damaged: readable ones with other bytes than the ledger knows.
        unknown: files that the ledger has not taken in.
    """

    readable: list[Path] = field(default_factory=list)
    intact: list[bool] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every row that was ever taken in is still there, as it was."""
        return not (self.missing or self.unreadable or self.damaged)


def look(ledger: Ledger, history: History, *, digests: bool = True) -> Parts:
    """Compare the files of a history with what the ledger knows of them.

    Args:
        digests: whether to read every byte; without, no file is known to be intact.
    """
    asked = select(Part.name, Part.rows, Part.sha256).where(Part.view == history.view)
    with ledger.read() as db:
        known: dict[str, Any] = {row.name: row for row in db.execute(asked)}
    there = {str(path.relative_to(history.folder)): path for path in history.parts()}
    parts = Parts(missing={name: known[name].rows for name in known if name not in there})
    for name, path in there.items():
        _judge(parts, name, path, known, digests)
    return parts


def again(ledger: Ledger, history: History, before: Parts) -> Parts:
    """The files as they are now; what was found of their bytes a moment ago still holds."""
    parts = look(ledger, history, digests=False)
    then = zip(before.readable, before.intact, strict=True)
    was_intact = {path for path, intact in then if intact}
    parts.intact = [path in was_intact for path in parts.readable]
    parts.damaged = [name for name in before.damaged if (history.folder / name).exists()]
    return parts


def _judge(parts: Parts, name: str, path: Path, known: Mapping[str, Any], digests: bool) -> None:
    row = known.get(name)
    wanted = row.sha256 if row and digests else None
    intact = wanted is not None and sha256(path) == wanted
    other = wanted is not None and not intact
    if not (_reads(path) if other else _opens(path)):
        parts.unreadable[name] = row.rows if row else 0
        return
    parts.readable.append(path)
    parts.intact.append(intact)
    if other:
        parts.damaged.append(name)
    if row is None and name != EMPTY:
        parts.unknown.append(name)


def _opens(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return False
    return True


def _reads(path: Path) -> bool:
    """Whether every page of a file can be read."""
    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches(PIECE):
                pass
    except (pa.ArrowException, OSError):
        return False
    return True
