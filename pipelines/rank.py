"""
Rank: the downstream ranker, as a team that only knows Feast would build it.

    star rank [--retrain]

It trains on the point-in-time training set, is evaluated on later interactions, and then scores
one member against a hundred jobs with features read online. It registers itself as a consumer of
what it was trained on. When a release has moved what is behind its names since, it is kept as it is
and evaluated on what it reads now: a ranker moves when its team says so, with `--retrain`.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.home import Home
from pipelines.receipts import Facts, Stage, read_receipt
from pipelines.roles import ids, protocol_of, roles
from star_features.catalogue import RANKER
from star_features.errors import SpaceMismatch
from star_features.evaluation.attainable import align_truth, attainable_auc
from star_features.evaluation.metrics import auc
from star_features.evaluation.report import draw
from star_features.evaluation.slices import slice_masks
from star_features.files import read_json, write_json
from star_features.ledger.consumers import Registered, add
from star_features.online.columns import as_micros
from star_features.ranking.ranker import MANIFEST, Ranker
from star_features.ranking.versions import version_of
from star_features.serving import FeatureReader
from star_features.store.feast_store import open_store
from star_features.tables.canonical import Tables

NAME = "ranker"  # as a consumer
TRAINED_ON = "trained_on.json"  # beside the ranker: the pairs behind its names at the time
SEED = 0
JOBS_SCORED = 100
GROUPS = {
    "categorical": ("categorical",),
    "+ text": ("categorical", "text"),
    "+ graph": ("categorical", "graph"),
    "+ text + graph": ("categorical", "text", "graph"),
}


def stage(home: Home, *, retrain: bool = False) -> Stage:
    """The stage that trains, evaluates and saves the ranker, and scores jobs online.

    Args:
        retrain: train it on what its names lead to now, even if a release has moved that.
    """
    return Stage(
        name="rank",
        settings={"groups": GROUPS, "seed": SEED, "jobs_scored": JOBS_SCORED},
        after=["training-set", "materialize"],
        outputs=[home.ranker],
        work=lambda: _work(home, retrain),
    )


def _work(home: Home, retrain: bool) -> Facts:
    if not retrain and (moved := moved_since(home)):
        return _kept(home, moved)
    shutil.rmtree(home.ranker, ignore_errors=True)
    home.ranker.mkdir(parents=True)
    if reason := read_receipt(home, "training-set").facts.get("not_trained"):
        return {"not_trained": reason}
    frame = pd.read_parquet(home.training_set)
    train, test = (
        frame[frame["role"] == role].reset_index(drop=True) for role in ("ranker", "test")
    )
    tables = Tables(home.tables)
    masks = _slices(tables, test)
    if train["label"].nunique() < 2 or not filled_groups(train):
        return {"not_trained": f"{len(train)} labels before the test, all alike, or no feature"}
    rankers, rows = compare(train, test, masks)
    if truth := _attainable(home, test, masks):
        rows["attainable"] = truth
    best = rankers[next(reversed(rankers))]
    best.save(home.ranker)
    write_json(home.ranker / TRAINED_ON, _pairs_read(home, best))
    _register(home, best)
    return _facts(home, tables, best, rows, test, masks) | {
        "rows": {"train": len(train), "test": len(test)},
    }


def _facts(
    home: Home,
    tables: Tables,
    ranker: Ranker,
    rows: dict[str, dict[str, float]],
    test: pd.DataFrame,
    masks: dict[str, np.ndarray],
) -> Facts:
    return {
        "simulated": tables.simulated,
        "protocol": protocol_of(tables),
        "drawn_negatives": int(test["sampled"].sum()),
        "auc": rows,
        "slices": {name: int(mask.sum()) for name, mask in masks.items()},
        "features": ranker.schema.names,
        "online": score_online(home, tables, ranker, test),
        "figure": str(_figure(home, rows, tables)),
    }


def moved_since(home: Home) -> dict[str, str]:
    """The stable names that lead elsewhere since the ranker was trained, and the pair it was
    trained on; empty where nothing has moved or no ranker is there."""
    if not (home.ranker / MANIFEST).exists():
        return {}
    ranker = Ranker.load(home.ranker)
    path = home.ranker / TRAINED_ON
    trained: dict[str, str] = read_json(path) if path.exists() else languages_of(ranker)
    now = _pairs_read(home, ranker)
    return {name: pair for name, pair in trained.items() if now.get(name) != pair}


def _pairs_read(home: Home, ranker: Ranker) -> dict[str, str]:
    """By stable name that the ranker reads: the pair that is behind it now."""
    read = {signal.name for signal in ranker.schema.signals}
    pairs = home.catalogue().stable_pairs()
    return {name: str(pair) for name, pair in pairs.items() if name in read}


def languages_of(ranker: Ranker) -> dict[str, str]:
    """By stable name: the pair whose spaces the ranker was trained in, such as `graph.v1`."""
    found = {}
    for signal in ranker.schema.signals:
        if space := signal.member_space or signal.job_space:
            kind, version = version_of(space)
            found[signal.name] = f"{kind}.v{version}"
    return found


def _register(home: Home, ranker: Ranker) -> None:
    """Enter the ranker among the consumers, so that a release asks it first."""
    pairs = languages_of(ranker)
    scorer = f"{Ranker.__module__}:{Ranker.__qualname__}={home.ranker.relative_to(home.path)}"
    ledger = home.ledger()
    with ledger.begin() as db:
        me = Registered(NAME, RANKER, sorted(pairs), pairs, scorer)
        add(db, me, as_micros(datetime.now(UTC)))
    ledger.close()


def _kept(home: Home, moved: dict[str, str]) -> Facts:
    """The frozen ranker on what it reads now: its figures, and nothing of it changed."""
    ranker, tables = Ranker.load(home.ranker), Tables(home.tables)
    frame = pd.read_parquet(home.training_set)
    test = frame[frame["role"] == "test"].reset_index(drop=True)
    masks = _slices(tables, test)
    try:
        scores, labels = ranker.score(test), test["label"].to_numpy()
    except SpaceMismatch as refused:
        return {"kept": moved, "not_trained": f"{refused}\nTrain it anew: star rank --retrain"}
    rows = {"frozen": {part: auc(labels[mask], scores[mask]) for part, mask in masks.items()}}
    return _facts(home, tables, ranker, rows, test, masks) | {
        "kept": moved,
        "rows": {"train": ranker.rows, "test": len(test)},
    }


def _figure(home: Home, rows: dict[str, dict[str, float]], tables: Tables) -> Path:
    """Learning curves of the graph versions and the AUC bars, as one picture."""
    curves = {}
    for version in home.catalogue().graph:
        training = read_receipt(home, f"graph.{version}").facts.get("training")
        if training:
            metric = training["metric"].upper()
            curves[f"graph {version} loss"] = [epoch["loss"] for epoch in training["curve"]]
            curves[f"graph {version} {metric}"] = [epoch["value"] for epoch in training["curve"]]
    path = home.report / "report.png"
    bars = {name: {part: [auc] for part, auc in row.items()} for name, row in rows.items()}
    draw(path, curves, bars, simulated=tables.simulated)
    return path


def compare(
    train: pd.DataFrame, test: pd.DataFrame, masks: dict[str, np.ndarray]
) -> tuple[dict[str, Ranker], dict[str, dict[str, float]]]:
    """Train one ranker per set of feature groups; AUC on every slice of the test.

    A row of the table is left out where the training set has nothing of what it adds (a graph that
    could not be trained, tables without a categorical column).
    """
    rankers, rows = {}, {}
    known = filled_groups(train)
    for name, wanted in GROUPS.items():
        groups = tuple(group for group in wanted if group in known)
        if not known.issuperset(set(wanted) - {"categorical"}) or not groups:
            continue
        ranker = Ranker.fit(train, groups, seed=SEED)
        scores = ranker.score(test)
        labels = test["label"].to_numpy()
        rankers[name] = ranker
        rows[name] = {part: auc(labels[mask], scores[mask]) for part, mask in masks.items()}
    return rankers, rows


def filled_groups(frame: pd.DataFrame) -> set[str]:
    """The feature groups of which both sides, or any category, hold at least one value."""
    filled = {str(name) for name in frame.columns if frame[name].notna().any()}
    found = {"categorical"} if any("_attributes__" in name for name in filled) else set()
    for group, signal in (("text", "text"), ("graph", "star")):
        if {f"member_{signal}__vector", f"job_{signal}__vector"} <= filled:
            found.add(group)
    return found


def _slices(tables: Tables, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """Cold is who has taken nothing, or been taken by nobody, before the test begins."""
    parts = roles(tables)
    before = pa.concat_tables([parts.history, parts.ranker])
    return slice_masks(before, test["member_id"].tolist(), test["job_id"].tolist())


def _attainable(home: Home, test: pd.DataFrame, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """The AUC of the simulation's own probabilities; nothing for real data."""
    path = home.truth / "affinity.parquet"
    if read_receipt(home, "ingest").settings["source"] != str(home.market.resolve()):
        return {}
    truth = align_truth(pq.read_table(path), test)
    labels = test["label"].to_numpy()
    return {
        part: attainable_auc(truth[mask], labels[mask]).auc if mask.any() else float("nan")
        for part, mask in masks.items()
    }


def score_online(home: Home, tables: Tables, ranker: Ranker, test: pd.DataFrame) -> Facts:
    """One member against a hundred jobs, with features from the online store: the top five."""
    member = _busiest(test)
    jobs = sorted(ids(tables, "job"))
    chosen = np.random.default_rng(SEED).permutation(jobs)[:JOBS_SCORED].tolist()
    store = open_store(home.repo, home.path)
    member_answer = read_online(store, "ranker_member", "member_id", [member])
    job_answer = read_online(store, "ranker_job", "job_id", chosen)
    scores = ranker.score_jobs(member_answer, job_answer)
    by_sdk = ranker.score_request(FeatureReader(store).read(member, chosen))
    text = dict(zip(*tables.jobs(["job_id", "text"]).to_pydict().values(), strict=True))
    of_member = dict(zip(*tables.members(["member_id", "text"]).to_pydict().values(), strict=True))
    top = np.argsort(-scores, kind="stable")[:5]
    return {
        "member": member,
        "member_text": of_member.get(member),
        "jobs": len(chosen),
        "missing": ranker.features({**member_answer, **job_answer}).missing,
        "sdk_difference": float(np.abs(scores - by_sdk).max()),
        "top": [
            {"job": chosen[i], "score": round(float(scores[i]), 4), "text": text.get(chosen[i])}
            for i in top
        ],
    }


def read_online(store: Any, service: str, key: str, ids: list[str]) -> dict[str, list[Any]]:
    """Feast's online answer for these ids, as columns; None where there is nothing."""
    return dict(
        store.get_online_features(
            features=store.get_feature_service(service),
            entity_rows=[{key: value} for value in ids],
            full_feature_names=True,
        ).to_dict()
    )


def _busiest(test: pd.DataFrame) -> str:
    taken = test[test["label"] == 1]
    counts = (taken if len(taken) else test)["member_id"].value_counts()
    return str(sorted(counts[counts == counts.max()].index)[0])
