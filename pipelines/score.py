"""
Score: anyone's member-job pairs, with the trained ranker and features from the online store.

    star score --pairs pairs.csv

An unknown member or job is no error: its features are missing, the score says what is left, and
the answer says how many there were.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipelines.home import Home
from pipelines.rank import read_online
from pipelines.roles import ids
from star_features.errors import DataError
from star_features.ranking.ranker import Ranker
from star_features.store.feast_store import open_store
from star_features.tables.canonical import Tables

CHUNK = 5_000  # pairs scored at a time


@dataclass(frozen=True)
class Scored:
    """Scores in the order of the pairs.

    Attributes:
        frame: `member_id`, `job_id`, `score`.
        unknown: ids of each side that this home does not know.
    """

    frame: pd.DataFrame
    unknown: dict[str, list[str]]


def run(home: Home, pairs: Path) -> Scored:
    """Score the pairs of a CSV or Parquet file.

    Raises:
        DataError: the file cannot be read, or lacks `member_id` or `job_id`.
        ArtefactError: no ranker was trained in this home.
    """
    frame = _read(pairs)
    ranker = Ranker.load(home.ranker)
    store = open_store(home.repo, home.path)
    tables = Tables(home.tables)
    parts = [frame[i : i + CHUNK] for i in range(0, len(frame), CHUNK)]
    scores = [_score(store, ranker, part) for part in parts]
    unknown = {
        side: sorted(set(frame[f"{side}_id"]) - set(ids(tables, side)))
        for side in ("member", "job")
    }
    return Scored(frame.assign(score=[s for part in scores for s in part]), unknown)


def _score(store: object, ranker: Ranker, pairs: pd.DataFrame) -> list[float]:
    columns: dict[str, list[object]] = {}
    for side in ("member", "job"):
        ids = pairs[f"{side}_id"].tolist()
        unique = list(dict.fromkeys(ids))
        answer = read_online(store, f"ranker_{side}", f"{side}_id", unique)
        row = {key: i for i, key in enumerate(unique)}
        columns |= {name: [values[row[i]] for i in ids] for name, values in answer.items()}
    return [float(score) for score in ranker.score(pd.DataFrame(columns))]


def _read(path: Path) -> pd.DataFrame:
    wanted = "Wanted a CSV or Parquet file with the columns member_id and job_id."
    try:
        frame = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(path, dtype=str, keep_default_na=False)
        )
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(path, str(error).splitlines()[0], wanted) from error
    if missing := {"member_id", "job_id"} - set(frame.columns):
        raise DataError(path, f"no column {', '.join(sorted(missing))}", wanted)
    return frame[["member_id", "job_id"]].astype(str)
