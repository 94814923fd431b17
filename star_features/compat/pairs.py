"""
Pairs to fit on: the same entities in two spaces, sampled by id, checked, cut into even blocks.

    pairs = pairs_of(job_graph_v2, job_graph_v1, most=10_000, seed=0)
    chosen = sampled_ids(ids_of_a_hundred_million_rows, most=10_000, seed=0)

An id is drawn by the hash of seed and id, so the sample depends on which ids exist, never on
their order or on how they arrive.

Shapes: N pairs, B rows of a block, D width of the source space, E width of the target space.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from star_features.compat.moments import Vectors
from star_features.errors import DataError, EmptyInput
from star_features.spaces import VectorTable

BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Pairs:
    """The same N entities in two spaces, in the order in which a fit reads them."""

    source: str
    target: str
    ids: NDArray[np.str_]
    source_ND: NDArray[np.float32]
    target_NE: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def name_of(space: str) -> str:
    """The name in a space id: `job_graph_v1@3f9a…` -> `job_graph_v1`."""
    return space.split("@")[0]


def fit_command(source: str, target: str) -> str:
    """The one command that makes a map between two spaces."""
    return f"star compat fit {name_of(source)} {name_of(target)}"


def sampled_ids(ids: Iterable[str], most: int, seed: int) -> list[str]:
    """At most `most` of the ids, in an order drawn by `seed`; memory is that of the sample."""
    return heapq.nsmallest(most, ids, key=lambda key: _ticket(key, seed))


def pairs_of(source: VectorTable, target: VectorTable, most: int, seed: int) -> Pairs:
    """Join two tables by id and sample the ids present in both; a duplicate id is refused."""
    for table in (source, target):
        _refuse_duplicates(table, fit_command(source.space, target.space))
    shared = np.intersect1d(source.ids, target.ids).tolist()
    chosen = sampled_ids(shared, most, seed)
    if not chosen:
        raise EmptyInput(
            f"{source.space} -> {target.space}",
            f"{len(source)} and {len(target)} ids, none of them in both",
            "Wanted entities with a vector in each space. Materialize both from the same tables,"
            f" then: {fit_command(source.space, target.space)}",
        )
    return Pairs(
        source.space,
        target.space,
        np.array(chosen),
        source.aligned_to(chosen)[0],
        target.aligned_to(chosen)[0],
    )


def in_blocks(
    pairs: Iterable[tuple[Vectors, Vectors]], where: str, command: str
) -> Iterator[tuple[Vectors, Vectors]]:
    """
    Cut checked pairs into blocks of BLOCK_ROWS rows, without those that are zero on either side.

    The blocks are the same however the stream was cut, so a map is the same to the last bit.
    """
    held: list[tuple[Vectors, Vectors]] = []
    waiting, widths = 0, None
    for source_ND, target_NE in pairs:
        source, target = _checked(source_ND, target_NE, where, command)
        widths = widths or (source.shape[1], target.shape[1])
        if (source.shape[1], target.shape[1]) != widths:
            raise DataError(
                where,
                f"vectors of width {source.shape[1]} -> {target.shape[1]}"
                f" after {widths[0]} -> {widths[1]}",
                f"Wanted one width per space. Materialize both spaces whole, then: {command}",
            )
        # Rows that wait are copied: the reader may use its buffer again, and a view of the rest
        # would keep the whole of what was read in memory.
        waiting += len(source)
        if waiting < BLOCK_ROWS:
            held.append((source.copy(), target.copy()))
            continue
        source, target = _joined([*held, (source, target)])
        whole = waiting - waiting % BLOCK_ROWS
        for start in range(0, whole, BLOCK_ROWS):
            yield source[start : start + BLOCK_ROWS], target[start : start + BLOCK_ROWS]
        held = [(source[whole:].copy(), target[whole:].copy())]
        waiting -= whole
    if waiting:
        yield _joined(held)


def square_norms(vectors_ND: Vectors) -> Vectors:
    """Squared length of each row in one pass: 0 for a zero row, not finite for a broken one."""
    return np.asarray(np.einsum("nd,nd->n", vectors_ND, vectors_ND))


def as_float(vectors_ND: Vectors) -> Vectors:
    """float32 and float64 as they are, anything else as float32."""
    array = np.asarray(vectors_ND)
    wide = array.dtype == np.float64
    return array if wide else np.asarray(array, dtype=np.float32)


def _checked(
    source_ND: Vectors, target_NE: Vectors, where: str, command: str
) -> tuple[Vectors, Vectors]:
    source, target = as_float(source_ND), as_float(target_NE)
    if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
        raise DataError(
            where,
            f"arrays of shape {source.shape} and {target.shape}",
            f"Wanted one row per entity on both sides. Join the spaces by id, then: {command}",
        )
    norms = square_norms(source), square_norms(target)
    broken = int((~np.isfinite(norms[0]) | ~np.isfinite(norms[1])).sum())
    if broken:
        raise DataError(
            where,
            f"{broken} of {len(source)} pairs hold NaN, infinite or overflowing numbers",
            f"Wanted finite vectors. Materialize the broken space again, then: {command}",
        )
    present = (norms[0] > 0) & (norms[1] > 0)
    if present.all():
        return source, target
    return source[present], target[present]


def _joined(held: list[tuple[Vectors, Vectors]]) -> tuple[Vectors, Vectors]:
    if len(held) == 1:
        return held[0]
    return np.concatenate([pair[0] for pair in held]), np.concatenate([pair[1] for pair in held])


def _refuse_duplicates(table: VectorTable, command: str) -> None:
    unique, counts = np.unique(table.ids, return_counts=True)
    if len(unique) < len(table):
        twice = unique[counts > 1]
        raise DataError(
            table.space,
            f"{len(twice)} ids stand more than once, such as {str(twice[0])!r}",
            f"Wanted one vector for each id. Take the latest row of each, then: {command}",
        )


def _ticket(key: str, seed: int) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()
