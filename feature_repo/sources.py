"""
Where the features' history lies: Parquet under the home folder, one folder a view.

The home is $STAR_HOME, or `.star` beside this repository folder.
"""

import os
from pathlib import Path

from feast import FileSource
from feast.data_format import ParquetFormat

REPO = Path(__file__).resolve().parent
HOME = Path(os.environ.get("STAR_HOME") or REPO.parent / ".star").resolve()
HOME.mkdir(parents=True, exist_ok=True)  # SQLite opens a file only in a folder that exists


def history(view: str) -> FileSource:
    """The Parquet history of one view, all days of it.

    `event_timestamp` is when the content became true, `created` when we computed it: a training
    set joined as served filters on the second.
    """
    return FileSource(
        name=f"{view}_history",
        path=str(HOME / "history" / view),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
