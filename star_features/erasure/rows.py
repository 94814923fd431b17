"""
Parquet files without the rows that are about someone: rewritten aside, then renamed.

    erase_rows(path, subject)     # Counter({"m1": 12}); a file with none of them is left alone

A file keeps its name, its columns and how they are coded; one that is left without a row goes.
Memory is that of one piece of a row group, whatever the file's size.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from star_features.erasure.subject import Subject

PIECE_BYTES = 64 << 20
QUARANTINE = {"table", "file", "row", "column", "reason", "value"}
CODED = ("RLE_DICTIONARY", "PLAIN_DICTIONARY")


def erase_rows(path: Path, subject: Subject, *, keep_empty: bool = False) -> Counter[str]:
    """Take the subject's rows out of a Parquet file; returns how many of each id.

    Args:
        keep_empty: leave a file of no rows, where its readers want one.
    """
    found = owners(path, subject)
    if found:
        rewrite(path, lambda batch: batch.filter(pc.invert(subject.rows(batch))), keep_empty)
    return found


def owners(path: Path, subject: Subject) -> Counter[str]:
    """How many rows of a Parquet file are about each of the ids; reads the id columns alone."""
    with pq.ParquetFile(path) as file:
        columns = subject.columns(file.schema_arrow.names)
        found: Counter[str] = Counter()
        for batch in file.iter_batches(columns=columns) if columns else ():
            for count in subject.owners(batch).drop_null().value_counts().to_pylist():
                found[count["values"]] += count["counts"]
    return found


def withhold_values(path: Path, subject: Subject) -> int:
    """Blank the values shown in `quarantine.parquet` that are theirs, or may be; how many.

    What a row of their own table held beside its id cannot be told from anybody else's row that
    was set aside, nor can a row that could not be read: those values go too, the reasons stay.
    """
    blanked = 0

    def blank(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal blanked
        values = batch.column("value")
        theirs = pa.array(
            [
                value is not None and _may_be_theirs(row, subject)
                for value, row in zip(values.to_pylist(), batch.to_pylist(), strict=True)
            ],
            pa.bool_(),
        )
        blanked += theirs.true_count
        cleared = pc.if_else(theirs, pa.scalar(None, pa.string()), values)
        return batch.set_column(batch.schema.names.index("value"), "value", cleared)

    with pq.ParquetFile(path) as file:
        if set(file.schema_arrow.names) != QUARANTINE:
            return 0
        for batch in file.iter_batches():
            blank(batch)
    if blanked:
        blanked = 0
        rewrite(path, blank, keep_empty=True)
    return blanked


def rewrite(path: Path, change: Any, keep_empty: bool) -> None:
    """Put every piece of a Parquet file through `change` and replace the file at once."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    rows = 0
    with pq.ParquetFile(path) as file, _like(file, aside) as writer:
        for piece in _pieces(file):
            kept = change(piece)
            rows += kept.num_rows
            if kept.num_rows:
                writer.write_batch(kept)
    if rows or keep_empty:
        os.replace(aside, path)
    else:
        aside.unlink()
        path.unlink()


def _may_be_theirs(row: dict[str, Any], subject: Subject) -> bool:
    if subject.named_in(row["value"]):
        return True
    of_their_table = row["table"].partition("+")[0] == f"{subject.entity}s"
    return not row["column"] or (of_their_table and row["reason"] != "duplicate_id")


def _pieces(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Row groups, the larger ones in pieces."""
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
        step = max(1024, PIECE_BYTES // row_bytes)
        yield from file.iter_batches(step, row_groups=[number])


def _like(file: pq.ParquetFile, path: Path) -> pq.ParquetWriter:
    """A writer that codes each column as this file does."""
    compression, dictionaries = {}, []
    if file.num_row_groups:
        group = file.metadata.row_group(0)
        for number in range(group.num_columns):
            column = group.column(number)
            codec = column.compression.lower()
            compression[column.path_in_schema] = "none" if codec == "uncompressed" else codec
            if set(CODED) & set(column.encodings):
                dictionaries.append(column.path_in_schema)
    return pq.ParquetWriter(
        path,
        file.schema_arrow,
        compression=compression or "zstd",
        use_dictionary=dictionaries,
        coerce_timestamps="us",
    )
