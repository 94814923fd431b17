"""
All that a pass over labels needs, made once: the graph as read, the labels, and their batches.

    run = Run(settings, reading, Pairs.of(reading.view), as_dgl(reading.view), training, validation)
    for batch, sample in run.samples(run.training, order(run.training, settings, 0), epoch=0): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.graph.budget import settings_at
from star_features.graph.dgl_graph import batches
from star_features.graph.job_graph import FOREVER, Ints
from star_features.graph.joint import AnchorDraw
from star_features.graph.labels import Labels
from star_features.graph.negatives import HardNegatives
from star_features.graph.sampler import Pairs, draw
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Sample
from star_features.graph.vocabulary import Reading


@dataclass(frozen=True)
class Run:
    """All that an epoch needs, made once."""

    settings: GraphSettings
    reading: Reading
    pairs: Pairs
    dgl: Any
    training: Labels
    validation: Labels
    anchors: AnchorDraw | None = None
    """What older versions said, where the tower is trained together with maps into them."""

    @cached_property
    def known_before(self) -> int:
        """What was taken before this time is known in training; later edges are the future."""
        return min(int(self.training.seeds.at_S.max()), FOREVER - 1) + 1

    @cached_property
    def hard(self) -> HardNegatives | None:
        """Where hard negatives are drawn from, if they are asked for."""
        if not self.settings.hard_negatives:
            return None
        return HardNegatives.of(self.reading, self.pairs, self.known_before, self.settings)

    @cached_property
    def log_share(self) -> NDArray[np.float32]:
        """Log of the share of training labels that name each job; one that none names counts half.

        One value a job, in the order of its rows.
        """
        low, high = self.reading.view.span("job")
        count_J = np.bincount(self.training.seeds.job_S - low, minlength=high - low)
        return np.log(np.maximum(count_J, 0.5) / len(self.training)).astype(np.float32)

    def samples(
        self, labels: Labels, index: Ints, epoch: int, raises: int | None = None
    ) -> Iterator[tuple[Labels, Sample]]:
        """Batches of these labels with what they see; the same epoch draws the same.

        Args:
            raises: how often the fan-outs have been raised, in training; a validation (None) reads
                all they allow, and meets no drawn negatives.
        """
        step = iter(range(len(index)))
        read = self.settings if raises is None else settings_at(self.settings, raises)
        hard = None if raises is None else self.hard

        def drawn(index_S: Ints) -> tuple[Labels, Sample]:
            seed = self.settings.seed * 1_000_003 + epoch * 10_007 + next(step)
            batch = labels.take(index_S)
            batch = hard.added_to(batch, seed) if hard else batch
            return batch, draw(self.reading.view, self.pairs, batch.seeds, read, seed)

        return batches(self.dgl, index, self.settings.batch_size, drawn)
