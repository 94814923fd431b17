"""
The Parquet files behind a feature view, and which of them a time range can need.

    files = local_parquet(view.batch_source, repo_path)
    files = prune(files, first=None, last=newest_label)
"""

import glob
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HISTORY_PART = re.compile(r"/month=(\d{4}-\d{2})/part-(?:[0-9a-f]{20}|empty)\.parquet$")
"""A part as star_features.store.history names it: its folder is the UTC month of its rows.

Only such files are trusted by their path. In somebody else's layout `month=` may be the month of
arrival, or a month in local time: there DuckDB's own statistics prune.
"""


def local_parquet(source: Any, repo_path: Path | None) -> list[Path] | None:
    """The files of a local Parquet source, sorted by path; None if it is anything else.

    A relative path starts at the repository, as `feast apply` checks it.
    """
    from feast import FileSource
    from feast.data_format import ParquetFormat

    if not isinstance(source, FileSource) or "://" in source.path:
        return None
    is_parquet = isinstance(source.file_format, ParquetFormat)
    if not is_parquet and not (source.file_format is None and source.path.endswith(".parquet")):
        return None
    path = FileSource.get_uri_for_file_path(repo_path, source.path)
    if Path(path).is_dir():
        path = f"{glob.escape(path)}/**/*.parquet"
    return sorted(Path(found) for found in glob.glob(path, recursive=True))


def prune(files: Sequence[Path], first: datetime | None, last: datetime) -> list[Path]:
    """Leave out parts of our history whose whole month lies outside `first` … `last` (UTC)."""
    low, high = (first.strftime("%Y-%m") if first else ""), last.strftime("%Y-%m")
    kept = []
    for file in files:
        part = HISTORY_PART.search(file.as_posix())
        if part is None or low <= part[1] <= high:
            kept.append(file)
    return kept


def fields_of(files: Iterable[Path], columns: Sequence[str]) -> dict[str, pa.Field]:
    """The Arrow field of each column, from the first file that has it.

    Stops as soon as all are found; a column that no file has is left out.
    """
    found: dict[str, pa.Field] = {}
    for file in files:
        schema = pq.read_schema(file)
        missing = [column for column in columns if column not in found]
        found |= {name: schema.field(name) for name in missing if name in schema.names}
        if len(found) == len(set(columns)):
            break
    return found
