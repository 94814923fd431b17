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
NEGATIVES = 4  # drawn for each taken row, where the data have no shown-and-not-taken rows
REDRAWS = 8  # times that a negative is drawn, at most, until it is a job that its member never met


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
    """NEGATIVES jobs for each taken row: there by then, and never met by its member.

    A draw of a job that was met is drawn again a few times; what is still met then is left out.
    """
    jobs = tables.jobs(["job_id", "updated_at"]).sort_by([("updated_at", "ascending")])
    since_J = jobs["updated_at"].to_numpy()
    names_J = np.asarray(jobs["job_id"].to_pylist(), dtype=object)
    met = pd.MultiIndex.from_frame(tables.interactions(["member_id", "job_id"]).to_pandas())
    generator = np.random.default_rng(SEED)
    drawn = taken.loc[taken.index.repeat(NEGATIVES)].assign(label=0, sampled=True)
    moments_N = drawn["event_timestamp"].dt.tz_convert(None).to_numpy().astype(since_J.dtype)
    there_N = np.searchsorted(since_J, moments_N, side="right")
    drawn, there_N = drawn[there_N > 0], there_N[there_N > 0]
    wrong_N = np.ones(len(drawn), dtype=np.bool_)
    chosen_N = np.empty(len(drawn), dtype=object)
    for _ in range(REDRAWS):
        row_N = (generator.random(int(wrong_N.sum())) * there_N[wrong_N]).astype(np.int64)
        chosen_N[wrong_N] = names_J[row_N]
        pairs = pd.MultiIndex.from_arrays([drawn["member_id"], chosen_N])
        wrong_N = np.asarray(pairs.isin(met))
    fresh: pd.DataFrame = drawn.assign(job_id=chosen_N).loc[~wrong_N]
    return fresh
