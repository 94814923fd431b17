"""
Who learns from which interactions, decided once for all stages of a run.

The graph trains on the history, the ranker on what came after it, and figures are taken of what
came last. Data without times are parted by member instead (leave-one-out).
"""

from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from star_features.evaluation.protocols import Protocol, Split, split
from star_features.tables.canonical import Tables

SEED = 0
NEGATIVES = 4  # sampled per taken row, where the data have no shown-and-not-taken rows


def protocol_of(tables: Tables) -> Protocol:
    return "time-split" if tables.has_times else "leave-one-out"


def roles(tables: Tables) -> Split:
    """History, ranker and test rows of this home's interactions."""
    return split(tables.interactions(), protocol_of(tables), seed=SEED)


def ids(tables: Tables, entity: str) -> list[str]:
    """All ids of members or jobs, sorted."""
    key = f"{entity}_id"
    return cast(list[str], tables.table(f"{entity}s", [key])[key].to_pylist())


def label_frame(rows: pa.Table, role: str, tables: Tables) -> pd.DataFrame:
    """Labelled pairs of one role, as a training set takes them.

    Where the data hold no shown-and-not-taken rows, jobs drawn by chance stand in for them, and
    `sampled` says so.
    """
    frame: pd.DataFrame = rows.select(["member_id", "job_id", "at", "label"]).to_pandas()
    frame = frame.rename(columns={"at": "event_timestamp"}).assign(sampled=False)
    if not tables.has_labels:
        frame = pd.concat([frame, _drawn(frame, tables)], ignore_index=True)
    return frame.assign(role=role)


def _drawn(taken: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """NEGATIVES jobs for each taken row, none that its member ever met."""
    met = tables.interactions(["member_id", "job_id"]).to_pandas()
    jobs = np.asarray(ids(tables, "job"), dtype=object)
    generator = np.random.default_rng(SEED)
    drawn = taken.loc[taken.index.repeat(NEGATIVES)].assign(label=0, sampled=True)
    drawn["job_id"] = generator.choice(jobs, size=len(drawn))
    pairs = pd.MultiIndex.from_frame(drawn[["member_id", "job_id"]])
    return drawn.loc[~pairs.isin(pd.MultiIndex.from_frame(met))]
