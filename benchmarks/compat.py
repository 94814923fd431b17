"""
What does a frozen ranker lose when the model behind its vectors changes, and what does a map save?

    python -m benchmarks.compat [--quick]

A simulated world; the graph tower v1, v2 (another seed) and v3 (256 wide instead of 200, another
seed). Rankers are trained on v1 and frozen; AUC is that of later interactions, point in time. For
each new version, the ranker reads: *never*, v1 for ever; *swap*, the new vectors as they are (the
space guard is bypassed, and a wider vector is cut to the width the ranker knows); *shuffled*, a map
fitted on pairs of different entities; *mapped*, the views that `star compat apply` fills; and
*retrained*, a ranker of the same kind trained on the new version.

*Recovered* is (mapped - swap) / (reference - swap), where the reference is the better of never and
retrained. It says nothing where a swap costs nothing: a ranker whose reference - swap is under two
standard errors (200 draws of the rows) is shown and left out of the averages.

Rankers: `trees on features`, what `star rank` trains (its only reading of a vector pair is the
cosine); `logistic on products` of the coordinates; `trees` and `network` on raw coordinates.
Full: three worlds of 3,000 members. `--quick`: one of 1,000, with less training.
"""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.common import Claim, arguments, report
from pipelines import compat, encode, graph, ingest, market, training_set
from pipelines.home import Home
from pipelines.receipts import Stage
from star_features.catalogue import ENTITIES, Entity, SpacePair
from star_features.compat.fit import fit
from star_features.evaluation.metrics import auc
from star_features.progress import track
from star_features.ranking.ranker import Ranker
from star_features.store.history import History, as_matrix
from star_features.store.mapped import pairs_between, space_of
from star_features.tables.canonical import Tables

OLD, NEW = "v1", ("v2", "v3")
WIDTHS = {"v1": 200, "v2": 200, "v3": 256}
SHORT = "member = { max_tokens = 32 }\njob = { max_tokens = 48 }\n"
LESS = "epochs = 2\nlabels_per_epoch = 10_000\n"
MEMBERS, QUICK_MEMBERS = 3_000, 1_000
WAYS = ("never", "swap", "shuffled", "mapped", "retrained")
DRAWS = 200

Vectors = NDArray[np.float32]
Sides = Mapping[Entity, Vectors]


@dataclass(frozen=True)
class World:
    """Labels with their features, and each version's vectors beside them, rows in one order."""

    frame: pd.DataFrame
    spaces: Mapping[Entity, str]  # of v1
    vectors: Mapping[str, Sides]  # by version, `shuffled of v2` and `mapped of v2`

    def rows(self, role: str) -> NDArray[np.bool_]:
        return np.asarray(self.frame["role"] == role)


Scores = NDArray[np.float64]
Frozen = Callable[[World, str, NDArray[np.bool_]], Scores]  # scores some rows of a version
Train = Callable[[World, str, int], Frozen]


def main() -> None:
    options = arguments(__doc__)
    seeds = [options.seed] if options.quick else [options.seed + i for i in range(3)]
    rows: list[list[object]] = []
    found: list[dict[str, float]] = []
    for seed in track(seeds, "worlds", unit="world"):
        with tempfile.TemporaryDirectory() as folder:
            world = made(Path(folder), seed, options.quick)
        for name, train in RANKERS.items():
            for version in NEW:
                figures = compared(world, train, version, seed)
                found.append(figures)
                cells = [round(figures[way], 4) for way in WAYS]
                rows.append([seed, version, name, *cells, _share(figures)])
    columns = ["seed", "version", "ranker, frozen on v1", *WAYS, "recovered"]
    report("AUC by what reaches the ranker (simulated)", columns, rows, claims_of(found), seeds[0])


def made(folder: Path, seed: int, quick: bool) -> World:
    """Run the stages that a comparison needs, without Feast: its joins are tested elsewhere."""
    home = Home(folder / "home", versions(folder / "repo", quick))
    members = QUICK_MEMBERS if quick else MEMBERS
    pairs = [SpacePair("graph", OLD, version) for version in NEW]
    stages: list[Callable[[], Stage]] = [
        lambda: market.stage(home, members, seed),
        lambda: ingest.stage(home, home.market),
        lambda: encode.stage(home),
        *(lambda version=version: graph.stage(home, version) for version in (OLD, *NEW)),
        *(lambda pair=pair: compat.fit_stage(home, pair) for pair in pairs),
        *(lambda pair=pair: compat.map_stage(home, pair) for pair in pairs),
    ]
    for build in track(stages, "stages", unit="stage"):
        build().run(home)
    return joined(home, seed)


def versions(repo: Path, quick: bool) -> Path:
    """The feature repository with three graph versions, and v1 filled by the others."""
    shutil.copytree(Home.find().repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    spaces = (repo / "spaces.toml").read_text().split("[graph.v1]")[0]  # ends in its encoder
    spaces += SHORT if quick else ""
    for seed, (version, width) in enumerate(WIDTHS.items()):
        spaces += f'[graph.{version}]\nwidth = {width}\ntext = "v1"\n[graph.{version}.network]\n'
        spaces += f"seed = {seed}\n" + (LESS if quick else "")
    spaces += f"[mapped.graph.{OLD}]\nfrom = {list(NEW)}\n"
    (repo / "spaces.toml").write_text(spaces)
    return repo


def joined(home: Home, seed: int) -> World:
    """Labels, attributes and text as `star rank` sees them, and every version's graph vectors."""
    labels = training_set.labels(home, training_set.MAX_LABELS)
    tables = Tables(home.tables)
    columns: dict[str, Any] = {}
    for side in ENTITIES:
        text = History.of_vectors(home.history, f"{side}_text_v1")
        columns[f"{side}_text__vector"] = list(as_of(labels, text))
        columns[f"{side}_text__space"] = space_of(text)
        rows = tables.table(f"{side}s").to_pandas().set_index(f"{side}_id")
        for name in tables.categorical(f"{side}s"):
            columns[f"{side}_attributes__{name}"] = rows[name].loc[labels[f"{side}_id"]].to_numpy()

    def sides(name: str) -> dict[Entity, Vectors]:
        views = {
            side: History.of_vectors(home.history, f"{side}_graph_{name}") for side in ENTITIES
        }
        return {side: as_of(labels, history) for side, history in views.items()}

    vectors: dict[str, Sides] = {version: sides(version) for version in (OLD, *NEW)}
    for version in NEW:
        vectors[f"mapped of {version}"] = sides(f"{OLD}_from_{version}")
        vectors[f"shuffled of {version}"] = {
            side: shuffled(home, side, version, vectors[version][side], seed) for side in ENTITIES
        }
    old = {side: History.of_vectors(home.history, f"{side}_graph_{OLD}") for side in ENTITIES}
    frame = pd.concat([labels.reset_index(drop=True), pd.DataFrame(columns)], axis=1)
    return World(frame, {side: space_of(history) for side, history in old.items()}, vectors)


def as_of(labels: pd.DataFrame, history: History) -> Vectors:
    """For each label its entity's newest vector at or before it; zeros where there is none."""
    keys = labels[[history.key, "event_timestamp"]].assign(row=range(len(labels)))
    with duckdb.connect() as db:
        db.register("labels", keys)
        rows = db.execute(
            f"SELECT labels.row, past.vector FROM labels ASOF JOIN {history.stored} AS past "
            f"ON labels.{history.key} = past.{history.key} "
            "AND labels.event_timestamp >= past.event_timestamp"
        ).to_arrow_table()
    found = as_matrix(rows["vector"].combine_chunks(), rows.num_rows)
    out = np.zeros((len(labels), found.shape[1]), dtype=np.float32)
    out[rows["row"].to_numpy()] = found
    return out


def shuffled(home: Home, side: Entity, version: str, vectors_ND: Vectors, seed: int) -> Vectors:
    """What a map of the wrong pairs makes of a version's vectors."""
    new, old = (History.of_vectors(home.history, f"{side}_graph_{v}") for v in (version, OLD))
    pairs = pairs_between(new, old, most=10_000, seed=seed)
    order = np.random.default_rng(seed).permutation(len(pairs))
    wrong = fit(
        [(pairs.source_ND, pairs.target_NE[order])], source=pairs.source, target=pairs.target
    )
    return wrong(vectors_ND, space=pairs.source)


def compared(world: World, train: Train, version: str, seed: int) -> dict[str, float]:
    """AUC of one kind of ranker by each way, what is recovered, and whether the swap cost it."""
    test = world.rows("test")
    labels = world.frame["label"].to_numpy()[test]
    frozen, anew = train(world, OLD, seed), train(world, version, seed)
    scores = {
        "never": frozen(world, OLD, test),
        "swap": frozen(world, version, test),
        "shuffled": frozen(world, f"shuffled of {version}", test),
        "mapped": frozen(world, f"mapped of {version}", test),
        "retrained": anew(world, version, test),
    }
    figures = {way: auc(labels, scores[way]) for way in WAYS}
    best = max(("never", "retrained"), key=lambda way: figures[way])
    lost = figures[best] - figures["swap"]
    error = standard_error(labels, scores[best], scores["swap"], seed)
    return figures | {
        "lost": lost,
        "recovered": (figures["mapped"] - figures["swap"]) / lost if lost > 2 * error else np.nan,
    }


def standard_error(labels: NDArray[Any], one: Scores, other: Scores, seed: int) -> float:
    """Of the difference of two AUCs on the same rows, by drawing rows with replacement."""
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(labels), len(labels)) for _ in range(DRAWS))
    return float(np.std([auc(labels[d], one[d]) - auc(labels[d], other[d]) for d in draws]))


def trees_on_features(world: World, version: str, seed: int) -> Frozen:
    """The ranker of `star rank`; it is told that every vector is of v1, whichever it is."""

    def columns(name: str, rows: NDArray[np.bool_]) -> pd.DataFrame:
        added = {f"{s}_star__vector": list(world.vectors[name][s][rows]) for s in ENTITIES}
        spaces = {f"{side}_star__space": world.spaces[side] for side in ENTITIES}
        return world.frame[rows].reset_index(drop=True).assign(**added, **spaces)

    ranker = Ranker.fit(columns(version, world.rows("ranker")), seed=seed)
    return lambda _, name, rows: ranker.score(columns(name, rows))


def on_coordinates(
    features: Callable[[Vectors, Vectors], Vectors], learner: Callable[[int], Any]
) -> Train:
    """Rankers that read the coordinates themselves, in the width they were trained with."""

    def train(world: World, version: str, seed: int) -> Frozen:
        width = world.vectors[version]["member"].shape[1]

        def matrix(name: str, rows: NDArray[np.bool_]) -> Vectors:
            member, job = (fitted_to(width, world.vectors[name][s][rows]) for s in ENTITIES)
            return features(member, job)

        rows = world.rows("ranker")
        model = learner(seed)
        with threadpool_limits(limits=2), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a network that has not converged is what it is
            model.fit(matrix(version, rows), world.frame["label"].to_numpy()[rows])
        return lambda _, name, rows: np.asarray(model.predict_proba(matrix(name, rows))[:, 1])

    return train


def fitted_to(width: int, vectors_ND: Vectors) -> Vectors:
    """Cut or filled with zeros: the least that a reader of another width has to do."""
    short = max(0, width - vectors_ND.shape[1])
    return np.pad(vectors_ND[:, :width], ((0, 0), (0, short)))


def side_by_side(member_ND: Vectors, job_ND: Vectors) -> Vectors:
    return np.hstack([member_ND, job_ND])


RANKERS: dict[str, Train] = {
    "trees on features": trees_on_features,
    "logistic on products": on_coordinates(
        np.multiply, lambda _: make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    ),
    "trees on coordinates": on_coordinates(
        side_by_side,
        lambda seed: HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.06, max_leaf_nodes=15, random_state=seed
        ),
    ),
    "network on coordinates": on_coordinates(
        side_by_side,
        lambda seed: make_pipeline(
            StandardScaler(),
            MLPClassifier((64,), alpha=1.0, batch_size=500, max_iter=15, random_state=seed),
        ),
    ),
}


def claims_of(found: list[dict[str, float]]) -> dict[str, Claim]:
    """What the issue asks for, over all rankers, versions and seeds."""
    felt = [figures for figures in found if not np.isnan(figures["recovered"])]
    gains = {way: mean(f["mapped"] - f[way] for f in found) for way in ("never", "retrained")}
    claims = {
        "mapped over never updating": Claim(gains["never"], "AUC, mean", 0.0),
        "mapped over retrained": Claim(gains["retrained"], "AUC, mean"),
    }
    claims["rankers that feel a raw swap"] = Claim(len(felt), f"of {len(found)}")
    if felt:
        claims["recovered by a map fitted afterwards"] = Claim(
            mean(figures["recovered"] for figures in felt), "of what a raw swap loses", 0.85
        )
        claims["lost by a raw swap"] = Claim(mean(figures["lost"] for figures in felt), "AUC, mean")
    return claims


def _share(figures: Mapping[str, float]) -> str:
    recovered = figures["recovered"]
    return "no loss" if np.isnan(recovered) else f"{recovered:.0%}"


if __name__ == "__main__":
    main()
