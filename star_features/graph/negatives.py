"""
Hard negatives: jobs that resemble the taken one by text, were there by then, and were not taken.

    hard = HardNegatives.of(reading, pairs, known_before, settings)
    batch = hard.added_to(batch, rng)

They join the batch as labels of their own: the member of a taken label, a drawn job, the same
moment, `taken` 0. Every member of the batch is told from them in the contrastive loss; what they
count in the loss on taken or not is `hard_weight`. A job that its member is known to have taken is
none, and neither is one that the member was shown at that moment: the label says what came of it.

Shapes: J jobs, K jobs that resemble one, S labels of a batch, H drawn ones.
"""

from dataclasses import dataclass

import numpy as np

from star_features.errors import EmptyInput
from star_features.graph.job_graph import Ints
from star_features.graph.labels import Labels
from star_features.graph.neighbours import NONE, nearest
from star_features.graph.sampler import Pairs
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Seeds
from star_features.graph.vocabulary import Reading


@dataclass(frozen=True)
class HardNegatives:
    """Where hard negatives come from. `near_JK` are rows of jobs, NONE where there are fewer."""

    near_JK: Ints
    first_job: int
    since_U: Ints
    pairs: Pairs
    known_before: int
    count: int
    weight: float

    @classmethod
    def of(
        cls, reading: Reading, pairs: Pairs, known_before: int, settings: GraphSettings
    ) -> "HardNegatives":
        """Prepare the draw; what a member took before `known_before` is known in training."""
        jobs = reading.inputs["job"]
        if jobs.text_ND is None or not jobs.has_text_N.any():
            raise EmptyInput(
                "hard negatives",
                "no job text is read, so nothing says which jobs resemble each other",
                "Wanted job texts and use_text = true; or hard_negatives = 0.",
            )
        return cls(
            near_JK=nearest(jobs.text_ND, jobs.has_text_N > 0, settings.hard_pool),
            first_job=reading.view.span("job")[0],
            since_U=reading.view.since_U,
            pairs=pairs,
            known_before=known_before,
            count=settings.hard_negatives,
            weight=settings.hard_weight,
        )

    def added_to(self, batch: Labels, seed: int) -> Labels:
        """The batch with `count` draws for each of its taken labels, less those that are none."""
        drawn = self._drawn(batch.seeds.take(np.flatnonzero(batch.taken_S)), seed)
        both = zip(_arrays(batch.seeds), drawn, strict=True)
        seeds = Seeds(*(np.concatenate(ends) for ends in both))
        key_S3 = np.stack(_arrays(seeds), axis=1)
        _, first = np.unique(key_S3, axis=0, return_index=True)  # the batch's own come first
        kept = np.sort(first)
        zeros_H = np.zeros(len(drawn[0]), dtype=np.float32)
        return Labels(
            seeds.take(kept),
            np.concatenate([batch.taken_S, zeros_H])[kept],
            np.concatenate([batch.weight_S, zeros_H + self.weight])[kept],
        )

    def _drawn(self, taken: Seeds, seed: int) -> tuple[Ints, Ints, Ints]:
        near_SK = self.near_JK[taken.job_S - self.first_job]
        rng = np.random.default_rng([seed, 3])
        place_SH = rng.integers(0, near_SK.shape[1], (len(near_SK), self.count))
        row_H = np.take_along_axis(near_SK, place_SH, axis=1).ravel()
        member_H, at_H = (np.repeat(a, self.count) for a in (taken.member_S, taken.at_S))
        job_H = row_H + self.first_job
        fit_H = (row_H != NONE) & (self.since_U[job_H] <= at_H)
        fit_H &= ~self.pairs.linked(member_H, job_H, self.known_before)
        return member_H[fit_H], job_H[fit_H], at_H[fit_H]


def _arrays(seeds: Seeds) -> tuple[Ints, Ints, Ints]:
    return seeds.member_S, seeds.job_S, seeds.at_S
