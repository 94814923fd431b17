"""
Training set: labels joined with the features as they stood when each label happened.

    star training-set [--as-served] [--out DIR]
"""

import os
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from pipelines.roles import SEED, label_frame, roles
from star_features.errors import EmptyInput
from star_features.progress import bar
from star_features.store.feast_store import open_store
from star_features.store.training import write_training_set
from star_features.tables.canonical import Tables

MAX_LABELS = 40_000  # of each role: Feast's join holds labels and vectors in memory at once


def stage(
    home: Home, after: list[str], *, as_served: bool = False, max_labels: int = MAX_LABELS
) -> Stage:
    """The stage that writes `training_set/`, Parquet with a `role`: ranker or test."""
    return Stage(
        name="training-set",
        settings={"as_served": as_served, "max_labels": max_labels, "seed": SEED},
        after=["apply", *after],
        outputs=[home.training_set],
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
    try:
        wanted = labels(home, max_labels)
    except EmptyInput as reason:
        shutil.rmtree(home.training_set, ignore_errors=True)
        home.training_set.mkdir(parents=True)
        return {"rows": 0, "missing": {}, "spaces": {}, "not_trained": str(reason)}
    aside = home.training_set.with_name("training_set.new")
    shutil.rmtree(aside, ignore_errors=True)
    with bar("training set", len(wanted), "label") as progress:
        rows = write_training_set(
            open_store(home.repo, home.path),
            wanted,
            service="ranker",
            out=aside,
            as_served=as_served,
            progress=progress.update,
        )
    shutil.rmtree(home.training_set, ignore_errors=True)
    os.replace(aside, home.training_set)
    return {"rows": rows, **_summary(home.training_set)}


def _summary(folder: Path) -> Facts:
    """Counts of labels, of missing vectors, and the space of each signal."""
    with duckdb.connect() as db:
        source = db.read_parquet(str(folder / "*.parquet"))
        vectors = [name for name in source.columns if name.endswith("__vector")]
        spaces = [name for name in source.columns if name.endswith("__space")]
        missing = source.aggregate(
            ", ".join(f'count(*) - count("{name}") AS "{name}"' for name in vectors)
        )
        named = source.aggregate(", ".join(f'any_value("{name}") AS "{name}"' for name in spaces))
        counts = source.aggregate("role, label, count(*) AS rows", "role, label").order(
            "role, label"
        )
        drawn = source.filter("sampled").aggregate("count(*)").fetchone()
        return {
            "labels": counts.to_arrow_table().to_pylist(),
            "missing": missing.to_arrow_table().to_pylist()[0],
            "spaces": named.to_arrow_table().to_pylist()[0],
            "sampled_negatives": drawn[0] if drawn else 0,
        }
