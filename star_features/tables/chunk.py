"""What every reader hands on: rows as text, in pieces that fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Shape = Literal["text", "list", "nested"]
"""What a source column holds: a scalar (as text), a list of scalars, or more than we read."""


@dataclass(frozen=True)
class Fault:
    """Why one row goes to quarantine. `row` counts data rows from 1."""

    file: str
    row: int
    column: str
    reason: str
    value: str | None


@dataclass(frozen=True)
class Chunk:
    """Some rows of one file.

    Attributes:
        file: its name, as the quarantine shows it.
        rows_N: 1-based row numbers of the readable rows.
        table: their columns: string, or list<string>.
        faults: rows that could not even be read.
    """

    file: str
    rows_N: NDArray[np.int64]
    table: pa.Table
    faults: list[Fault] = field(default_factory=list)

    @property
    def rows_in(self) -> int:
        return len(self.rows_N) + len(self.faults)


class Source(Protocol):
    """One file or database table that rows come from."""

    @property
    def name(self) -> str: ...

    @property
    def shapes(self) -> dict[str, Shape]:
        """Its columns, in order."""
        ...

    def chunks(self, columns: Sequence[str], rows: int, cut: int) -> Iterator[Chunk]:
        """Read `columns` in pieces of at most `rows` rows, values cut to `cut` characters."""
        ...
