"""Two spaces of one small world: the same entities, seen by an old and by a new model."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from star_features.compat.fit import FitSettings, fit
from star_features.compat.maps import Map
from star_features.compat.pairs import Pairs

NEW, OLD = "job_graph_v2@000000000002", "job_graph_v1@000000000001"


class World:
    """Entities with a latent vector; a space shows it turned, in some width, with noise."""

    new, old = NEW, OLD

    def rows(self, count: int, width: int, seed: int = 0) -> NDArray[np.float32]:
        """Unit vectors about a common mean, with variances that fall from axis to axis."""
        rng = np.random.default_rng(seed)
        falling = 1 / np.sqrt(1 + np.arange(width))
        rows = rng.standard_normal((count, width)) * falling + 0.3 * falling
        return self.unit(rows)

    def turn(self, width: int, seed: int = 0) -> NDArray[np.float32]:
        """A random rotation (or reflection)."""
        square = np.random.default_rng(seed).standard_normal((width, width))
        return np.linalg.qr(square)[0].astype(np.float32)

    def noisy(self, rows: NDArray[Any], size: float, seed: int = 0) -> NDArray[np.float32]:
        """Unit rows moved by noise of about `size` of their length."""
        rng = np.random.default_rng([seed, 7])
        return self.unit(rows + size * rng.standard_normal(rows.shape) / np.sqrt(rows.shape[1]))

    def unit(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def pairs(self, source: NDArray[Any], target: NDArray[Any]) -> Pairs:
        ids = np.array([f"job{row}" for row in range(len(source))])
        return Pairs(NEW, OLD, ids, source, target)

    def fit(self, source: NDArray[Any], target: NDArray[Any], **settings: Any) -> Map:
        return fit([(source, target)], source=NEW, target=OLD, settings=FitSettings(**settings))


@pytest.fixture(scope="session")
def world() -> World:
    return World()
