"""
Five rankers that read a pair of vectors, and what chance does to their AUC.

Trees and a network read raw coordinates only, which is what a change of space hurts most; both
again with the products of the coordinates and the dot product; and a logistic model reads the
cosine alone, which every space of a trained pair has: a raw swap costs it nothing.

Shapes: L labels, D width.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from star_features.evaluation.metrics import auc

DRAWS = 100
Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
Sides = dict[str, Vectors]
Features = Callable[[Vectors, Vectors], Vectors]


def raw(member_LD: Vectors, job_LD: Vectors) -> Vectors:
    return np.hstack([member_LD, job_LD])


def dot(member_LD: Vectors, job_LD: Vectors) -> Vectors:
    return np.asarray(np.einsum("ld,ld->l", member_LD, job_LD)[:, None])


def all_of_it(member_LD: Vectors, job_LD: Vectors) -> Vectors:
    return np.hstack([member_LD, job_LD, member_LD * job_LD, dot(member_LD, job_LD)])


def trees(seed: int) -> Any:
    return HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.08, max_leaf_nodes=15, random_state=seed
    )


def network(seed: int) -> Any:
    layers = MLPClassifier((64,), alpha=1.0, batch_size=500, max_iter=15, random_state=seed)
    return make_pipeline(StandardScaler(), layers)


def logistic(_: int) -> Any:
    return LogisticRegression()


KINDS: dict[str, tuple[Features, Callable[[int], Any]]] = {
    "trees, coordinates": (raw, trees),
    "network, coordinates": (raw, network),
    "trees, + products": (all_of_it, trees),
    "network, + products": (all_of_it, network),
    "logistic, cosine": (dot, logistic),
}


@dataclass(frozen=True)
class Ranker:
    """A trained ranker, in the width it was trained with."""

    width: int
    features: Features
    model: Any

    @classmethod
    def fit(cls, kind: str, sides: Sides, labels_L: NDArray[Any], seed: int) -> "Ranker":
        features, learner = KINDS[kind]
        model = learner(seed)
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a network that has not converged is what it is
            model.fit(features(sides["member"], sides["job"]), labels_L)
        return cls(sides["member"].shape[1], features, model)

    def score(self, sides: Sides) -> Scores:
        """Vectors of another width are cut or filled with zeros: the least a reader has to do."""
        member, job = (_in_width(sides[side], self.width) for side in ("member", "job"))
        with threadpool_limits(limits=1):
            return np.asarray(self.model.predict_proba(self.features(member, job))[:, 1])


def fit_all(sides: Sides, labels_L: NDArray[Any], seed: int) -> dict[str, Ranker]:
    """One ranker of each kind."""
    return {kind: Ranker.fit(kind, sides, labels_L, seed) for kind in KINDS}


def noise(labels_L: NDArray[Any], one: Scores, other: Scores, seed: int) -> float:
    """Standard error of the difference of two AUCs on the same rows, by drawing rows again."""
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(labels_L), len(labels_L)) for _ in range(DRAWS))
    return float(np.std([auc(labels_L[d], one[d]) - auc(labels_L[d], other[d]) for d in draws]))


def _in_width(vectors_LD: Vectors, width: int) -> Vectors:
    short = max(0, width - vectors_LD.shape[1])
    return np.pad(vectors_LD[:, :width], ((0, 0), (0, short)))
