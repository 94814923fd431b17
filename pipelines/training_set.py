"""
Training set: labels joined with the features as they stood when each label happened.

    star training-set [--as-served] [--backfilled] [--out DIR]

Across a release each label is joined with what its names led to at its time: the old version's own
vectors before, mapped ones after, in one language. A release that changed the language of a name
cannot be crossed; `--backfilled` takes today's pairs for the whole past instead.
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
from star_features.catalogue import RANKER
from star_features.errors import EmptyInput
from star_features.ledger.releases import steps
from star_features.progress import bar
from star_features.release.across import PAIR, batches_across
from star_features.release.timeline import Period, periods_of
from star_features.store.feast_store import open_store
from star_features.store.training import write_set
from star_features.tables.canonical import Tables

MAX_LABELS = 40_000  # of each role: Feast's join holds labels and vectors in memory at once


def stage(
    home: Home,
    after: list[str],
    *,
    as_served: bool = False,
    backfilled: bool = False,
    max_labels: int = MAX_LABELS,
) -> Stage:
    """The stage that writes `training_set/`, Parquet with a `role`: ranker or test.

    Args:
        backfilled: today's pairs for all labels, as if they had always been served.
    """
    settings = {"as_served": as_served, "max_labels": max_labels, "seed": SEED}
    return Stage(
        name="training-set",
        settings=settings | ({"backfilled": True} if backfilled else {}),
        after=["apply", *after],
        outputs=[home.training_set],
        work=lambda: _work(home, as_served, backfilled, max_labels),
    )


def periods(home: Home, service: str = RANKER, *, backfilled: bool = False) -> list[Period]:
    """What the names of a service led to, release by release."""
    catalogue = home.catalogue()
    if backfilled:
        return [Period(None, catalogue.stable_pairs(service))]
    with home.reading() as db:
        return periods_of(catalogue, steps(db), service)


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


def _work(home: Home, as_served: bool, backfilled: bool, max_labels: int) -> Facts:
    try:
        wanted = labels(home, max_labels)
    except EmptyInput as reason:
        shutil.rmtree(home.training_set, ignore_errors=True)
        home.training_set.mkdir(parents=True)
        return {"rows": 0, "missing": {}, "spaces": {}, "not_trained": str(reason)}
    aside = home.training_set.with_name("training_set.new")
    shutil.rmtree(aside, ignore_errors=True)
    batches = batches_across(
        open_store(home.repo, home.path),
        wanted,
        service=RANKER,
        periods=periods(home, backfilled=backfilled),
        as_served=as_served,
    )
    with bar("training set", len(wanted), "label") as progress:
        rows = write_set(batches, aside, progress=progress.update)
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
        pairs = [name for name in source.columns if name.endswith(PAIR)]
        marks = ", ".join(f'"{name}"' for name in pairs)
        by_pair = source.aggregate(f"{marks}, count(*) AS rows", marks).order(marks)
        drawn = source.filter("sampled").aggregate("count(*)").fetchone()
        return {
            "labels": counts.to_arrow_table().to_pylist(),
            "missing": missing.to_arrow_table().to_pylist()[0],
            "spaces": named.to_arrow_table().to_pylist()[0],
            "pairs": by_pair.to_arrow_table().to_pylist(),
            "sampled_negatives": drawn[0] if drawn else 0,
        }
