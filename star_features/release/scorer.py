"""
How a consumer is loaded and asked for scores, so that a release can try it before its readers do.

    scorer = load_scorer("star_features.ranking.ranker:Ranker=models/ranker", home)
    scores_N = scorer.score(frame)

A consumer is any class with `load(folder)` and `score(features)`. What it scores is a frame with
the columns of its service, as `get_historical_features(full_feature_names=True)` names them. One
that can also be trained anew (`retrained(frame)`) is shown what moving to the new version would
bring.

Shapes: N rows.
"""

import importlib
import re
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from star_features.errors import UsageError

FORM = re.compile(r"^(?P<module>[\w.]+):(?P<name>\w+)=(?P<folder>.+)$")


@runtime_checkable
class Scorer(Protocol):
    """A consumer, loaded."""

    def score(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """One score a row, higher is better."""
        ...


@runtime_checkable
class Trainable(Scorer, Protocol):
    """A consumer that can be made anew."""

    def retrained(self, frame: pd.DataFrame) -> Scorer:
        """One of the same kind and settings, trained on this frame with its `label`."""
        ...


def load_scorer(scorer: str, home: Path) -> Scorer:
    """
    Load a consumer from `package.module:Class=FOLDER`; a relative folder lies in the home.

    Raises:
        UsageError: the text has another form, or names nothing that can be loaded and scored.
    """
    found = FORM.match(scorer)
    wanted = "Wanted package.module:Class=FOLDER, as in: star consumers add NAME --scorer …"
    if not found:
        raise UsageError(f"{scorer!r} names no way to load a consumer.\n{wanted}")
    try:
        made: Any = getattr(importlib.import_module(found["module"]), found["name"])
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{scorer}: {error}\n{wanted}") from error
    if not hasattr(made, "load"):
        raise UsageError(f"{scorer}: {found['name']} has no load(folder).\n{wanted}")
    loaded = made.load(home / found["folder"])
    if not isinstance(loaded, Scorer):
        raise UsageError(f"{scorer}: what it loads has no score(features).\n{wanted}")
    return loaded
