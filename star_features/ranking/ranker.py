"""
The downstream ranker: boosted trees over pair features, in a folder that any team can load.

    ranker = Ranker.fit(frame, groups=("categorical", "text", "graph"), seed=0)
    ranker.save(folder)

    ranker = Ranker.load(folder)
    ranker.score(frame)               # probabilities, one per row
    ranker.score_jobs(member, jobs)   # one member, many jobs: the to_dict() of two online reads

The folder holds `ranker.json` (features, vocabularies, space ids, seed, settings, checksum) and
`model.skops`. A ranker refuses vectors of another space than it was trained in.

Shapes: N rows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import ThreadpoolController

from star_features.errors import ArtefactError, DataError
from star_features.files import Settings, read_json, sha256, write_json
from star_features.ranking.columns import Column, Columns
from star_features.ranking.pairs import (
    GROUPS,
    PairFeatures,
    PairSchema,
    learn_schema,
    pair_features,
)

if TYPE_CHECKING:
    from star_features.serving.request import RankerRequest

SMALL = 20  # a set of fewer rows than this times `least_rows` gets smaller leaves
MANIFEST, MODEL = "ranker.json", "model.skops"
TRUSTED = [  # what these trees are made of, beyond what skops trusts by itself
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]


class RankerSettings(Settings):
    """How the trees are grown."""

    trees: int = 150
    """Boosting rounds; a fixed number, so that two runs are the same model."""
    learning_rate: float = 0.06
    """How much of each tree is kept."""
    leaves: int = 15
    """Leaves of one tree at most."""
    least_rows: int = 40
    """Rows in a leaf at least."""
    l2: float = 1.0
    """Pull of leaf values towards zero."""
    product_dims: int = 0
    """Leading dimensions of each signal whose products become features."""


class Manifest(Settings):
    """What stands in `ranker.json`."""

    format: int = 1
    """Layout of this folder."""
    pairs: PairSchema
    """Features, vocabularies and space ids."""
    features: tuple[str, ...]
    """Feature names, in the order of the matrix."""
    settings: RankerSettings
    """How the trees were grown."""
    seed: int
    """What the learner was seeded with."""
    rows: int
    """Rows it was trained on."""
    scikit_learn: str
    """Version that wrote the model."""
    model_sha256: str
    """Checksum of `model.skops`."""


@dataclass(frozen=True)
class Ranker:
    """A trained ranker; make one by `fit` or `load`."""

    schema: PairSchema
    settings: RankerSettings
    seed: int
    rows: int
    model: Any

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        groups: Sequence[str] = GROUPS,
        settings: RankerSettings | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> "Ranker":
        """Train on a point-in-time training set with a column `label`.

        `threads` changes the time and not the model. On a machine that does other work, threads of
        one small tree wait for each other: 20,000 rows took 1.7 s on one thread, 26 s on two.

        Raises:
            DataError: there is no `label` column, or it has one class only.
            SpaceMismatch: the set mixes spaces or versions.
        """
        settings = settings or RankerSettings()
        labels_N = _labels(frame)
        schema = learn_schema(frame, groups, settings.product_dims)
        model = HistGradientBoostingClassifier(
            max_iter=settings.trees,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=min(settings.least_rows, max(1, len(frame) // SMALL)),
            l2_regularization=settings.l2,
            categorical_features=np.array(schema.is_category),
            early_stopping=False,
            random_state=seed,
        )
        matrix_NF = pair_features(frame, schema).matrix_NF
        matrix_NF[:, np.isnan(matrix_NF).all(axis=0)] = 0  # the learner cannot bin an empty column
        with _pools().limit(limits=threads):
            model.fit(matrix_NF, labels_N)
        return cls(schema, settings, seed, len(frame), model)

    def retrained(self, frame: pd.DataFrame) -> "Ranker":
        """A ranker of the same groups, settings and seed, trained on this set."""
        return Ranker.fit(frame, self.schema.groups, self.settings, self.seed)

    def features(self, pairs: pd.DataFrame | Columns) -> PairFeatures:
        """Pair features, with a count of what was missing in each column."""
        return pair_features(pairs, self.schema)

    def score(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability that each row is taken; missing values are scored, never refused."""
        return self.score_features(self.features(frame))

    def score_jobs(self, member: Columns, jobs: Columns) -> NDArray[np.float64]:
        """Probabilities for one member and N jobs; columns of length 1 and of length N."""
        return self.score_features(self.features({**member, **jobs}))

    def score_request(self, request: "RankerRequest") -> NDArray[np.float64]:
        """Probabilities for what `star_features.serving` read: one member, N jobs."""
        columns: dict[str, Column] = {}
        for entities in (request.member, request.jobs):
            columns |= entities.features
            for name, signal in entities.signals.items():
                columns[f"{name}__vector"] = signal.vectors_ND  # a zero row is a missing vector
                columns[f"{name}__space"] = [signal.space] * len(entities.ids)
        return self.score_features(self.features(columns))

    def score_features(self, features: PairFeatures) -> NDArray[np.float64]:
        """Probability that each row of `features` is taken."""
        if not len(features.matrix_NF):
            return np.zeros(0)
        with _pools().limit(limits=1):
            return np.asarray(self.model.predict_proba(features.matrix_NF)[:, 1])

    def save(self, folder: Path) -> None:
        """Write the folder; its manifest comes last, so a torn write never loads."""
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{MODEL}.{os.getpid()}.tmp"
        _skops().dump(self.model, aside)
        os.replace(aside, folder / MODEL)
        manifest = Manifest(
            pairs=self.schema,
            features=tuple(self.schema.names),
            settings=self.settings,
            seed=self.seed,
            rows=self.rows,
            scikit_learn=sklearn.__version__,
            model_sha256=sha256(folder / MODEL),
        )
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> "Ranker":
        """Read what `save` wrote.

        Raises:
            ArtefactError: a file is missing, was changed, or holds a type we do not trust.
        """
        manifest = _manifest(folder)
        path = folder / MODEL
        if not path.exists() or (got := sha256(path)) != manifest.model_sha256:
            raise ArtefactError(
                path,
                f"SHA-256 {got}" if path.exists() else "there is no such file",
                f"SHA-256 {manifest.model_sha256}, as {MANIFEST} says. Train again: star rank",
            )
        skops = _skops()
        unknown = set(skops.get_untrusted_types(file=path)) - set(TRUSTED)
        if unknown:
            raise ArtefactError(path, f"types {sorted(unknown)}", f"only {TRUSTED}")
        model = skops.load(path, trusted=TRUSTED)
        return cls(manifest.pairs, manifest.settings, manifest.seed, manifest.rows, model)


@cache
def _pools() -> ThreadpoolController:
    """The thread pools of scikit-learn, found once: looking for them takes longer than a score."""
    return ThreadpoolController()


def _skops() -> Any:
    """skops, imported when first used: it walks through all of scikit-learn, torch included."""
    import skops.io

    return skops.io


def _manifest(folder: Path) -> Manifest:
    """Read and check `ranker.json`."""
    path = folder / MANIFEST
    wanted = "a folder that Ranker.save wrote. Train one: star rank"
    if not path.exists():
        raise ArtefactError(path, "there is no such file", wanted)
    try:
        manifest = Manifest.model_validate(read_json(path))
    except (ValidationError, ValueError) as error:
        raise ArtefactError(path, str(error), wanted) from error
    if list(manifest.features) != manifest.pairs.names:
        raise ArtefactError(
            path, f"features {list(manifest.features)}", f"{manifest.pairs.names}, as pairs says"
        )
    return manifest


def _labels(frame: pd.DataFrame) -> NDArray[np.int64]:
    if "label" not in frame:
        raise DataError("training set", "no column 'label'", f"It has: {list(frame.columns)}")
    labels_N = frame["label"].to_numpy().astype(np.int64)
    if len(np.unique(labels_N)) != 2:
        raise DataError(
            "training set",
            f"{len(labels_N)} rows, all of label {sorted(set(labels_N.tolist()))}",
            "Wanted both taken (1) and shown, not taken (0). Where the input has no 0 labels, "
            "draw jobs that were not taken first.",
        )
    return labels_N
