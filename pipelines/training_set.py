"""
Training set: labels joined with the features as they stood when each label happened.

    star training-set [--as-served] [--out FILE.parquet]
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from pipelines.roles import SEED, label_frame, roles
from star_features.store.feast_store import open_store
from star_features.store.training import training_set
from star_features.tables.canonical import Tables

MAX_LABELS = 40_000  # of each role: Feast's join holds labels and vectors in memory at once


def path(home: Home) -> Path:
    return home.training_set / "ranker.parquet"


def stage(
    home: Home, after: list[str], *, as_served: bool = False, max_labels: int = MAX_LABELS
) -> Stage:
    """The stage that writes `training_set/ranker.parquet`, with `role` ranker or test."""
    return Stage(
        name="training-set",
        settings={"as_served": as_served, "max_labels": max_labels, "seed": SEED},
        after=["apply", *after],
        outputs=[path(home)],
        work=lambda: _work(home, as_served, max_labels),
    )


def labels(home: Home, max_labels: int) -> pd.DataFrame:
    """The labels of ranker and test, at most `max_labels` of each, drawn by seed."""
    tables = Tables(home.tables)
    parts = roles(tables)
    frames = [
        label_frame(rows, role, tables)
        for role, rows in (("ranker", parts.ranker), ("test", parts.test))
    ]
    generator = np.random.default_rng(SEED)
    kept = [frame.iloc[np.sort(generator.permutation(len(frame))[:max_labels])] for frame in frames]
    return pd.concat(kept, ignore_index=True)


def _work(home: Home, as_served: bool, max_labels: int) -> Facts:
    store = open_store(home.repo, home.path)
    frame = training_set(store, labels(home, max_labels), service="ranker", as_served=as_served)
    path(home).parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path(home), index=False)
    return {
        "rows": len(frame),
        "labels": frame.groupby(["role", "label"])
        .size()
        .rename("rows")
        .reset_index()
        .to_dict("list"),
        "missing": {
            c: int(frame[c].isna().sum()) for c in map(str, frame) if c.endswith("__vector")
        },
        "spaces": {c: _one(frame[c]) for c in map(str, frame) if c.endswith("__space")},
        "sampled_negatives": int(frame["sampled"].sum()),
    }


def _one(spaces: pd.Series) -> str | None:
    known = spaces.dropna().unique()
    return str(known[0]) if len(known) else None
