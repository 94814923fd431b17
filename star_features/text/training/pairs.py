"""
Training pairs: which member's text met which job's text, and whether the job was taken.

    Pairs.of(pa.table({"member_text": [...], "job_text": [...], "label": [1, 0, ...]}))

Rows are in order of time: the last ones are held out for validation.

Shapes: N pairs, T taken pairs, S pairs of a batch, M and J distinct texts of a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import DataError, EmptyInput
from star_features.spaces import digest
from star_features.text.training.settings import TrainSettings

Ints = NDArray[np.int64]
COLUMNS = ("member_text", "job_text", "label")


@dataclass(frozen=True)
class Pairs:
    """Pairs over distinct texts.

    Attributes:
        member_texts, job_texts: each text once.
        member_N, job_N: which text, by row of the above.
        taken_N: True where the job was taken, False where it was shown and not taken.
    """

    member_texts: tuple[str, ...]
    job_texts: tuple[str, ...]
    member_N: Ints
    job_N: Ints
    taken_N: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.taken_N)

    @classmethod
    def of(cls, table: Any) -> "Pairs":
        """From an Arrow table with the columns COLUMNS, in order of time."""
        missing = [name for name in COLUMNS if name not in table.column_names]
        if missing:
            raise DataError(
                "training pairs", f"no column {', '.join(missing)}", f"Wanted {COLUMNS}."
            )
        members, jobs, labels = (table[name].to_pylist() for name in COLUMNS)
        member_row, job_row = _rows(members), _rows(jobs)
        return cls(
            tuple(member_row),
            tuple(job_row),
            np.array([member_row[text] for text in members], dtype=np.int64),
            np.array([job_row[text] for text in jobs], dtype=np.int64),
            np.array(labels, dtype=bool),
        )

    def take(self, index_S: Ints) -> "Pairs":
        """Some of the pairs, over the same texts."""
        return Pairs(
            self.member_texts,
            self.job_texts,
            self.member_N[index_S],
            self.job_N[index_S],
            self.taken_N[index_S],
        )

    def split(self, settings: TrainSettings) -> tuple["Pairs", "Pairs"]:
        """The earlier pairs to train on, and (a sample of) the later ones to validate on.

        Raises:
            EmptyInput: one of the two lacks taken or refused pairs.
        """
        cut = len(self) - int(len(self) * settings.validation)
        later_V = np.arange(cut, len(self))
        if len(later_V) > settings.validation_pairs:
            generator = np.random.default_rng(settings.seed)
            later_V = np.sort(generator.choice(later_V, settings.validation_pairs, replace=False))
        training, validation = self.take(np.arange(cut)), self.take(later_V)
        for part in (training, validation):
            if not 0 < part.taken_N.sum() < len(part):
                raise EmptyInput(
                    "training pairs",
                    f"{part.taken_N.sum()} of {len(part)} pairs are taken ones",
                    "Wanted pairs with label 1 and pairs with label 0, early ones and late ones.",
                )
        return training, validation

    def took(self, member_M: Ints, job_J: Ints) -> NDArray[np.bool_]:
        """M × J: which of these members (rows of texts) took which of these jobs."""
        out_MJ = np.zeros((len(member_M), len(job_J)), dtype=np.bool_)
        member_T = _place_of(member_M, len(self.member_texts))[self.member_N[self.taken_N]]
        job_T = _place_of(job_J, len(self.job_texts))[self.job_N[self.taken_N]]
        there_T = (member_T >= 0) & (job_T >= 0)
        out_MJ[member_T[there_T], job_T[there_T]] = True
        return out_MJ

    def digest(self) -> str:
        """Names these pairs: a checkpoint of a run on others is of no use."""
        rows = [self.member_N.tolist(), self.job_N.tolist(), self.taken_N.tolist()]
        return digest([self.member_texts, self.job_texts, rows])


@dataclass(frozen=True)
class Batch:
    """The pairs of a step over the distinct texts of that step.

    Attributes:
        members_M, jobs_J: rows of the texts in `Pairs`.
        member_S, job_S: each pair's place in the two above.
        took_MJ: members' taken jobs among the candidates, as far as training knows.
    """

    members_M: Ints
    jobs_J: Ints
    member_S: Ints
    job_S: Ints
    taken_S: NDArray[np.bool_]
    took_MJ: NDArray[np.bool_]


def batch_of(training: Pairs, index_S: Ints) -> Batch:
    """The batch of these pairs."""
    members_M, member_S = np.unique(training.member_N[index_S], return_inverse=True)
    jobs_J, job_S = np.unique(training.job_N[index_S], return_inverse=True)
    taken_S = training.taken_N[index_S]
    return Batch(members_M, jobs_J, member_S, job_S, taken_S, training.took(members_M, jobs_J))


def steps_per_epoch(pairs: int, settings: TrainSettings) -> int:
    """Whole batches in one pass; one smaller batch where there are too few pairs for that."""
    return max(1, pairs // settings.effective_batch)


def index_of(training: Pairs, settings: TrainSettings, step: int) -> Ints:
    """The pairs of one step; depends on the pairs, the settings and the step alone."""
    epoch, number = divmod(step, steps_per_epoch(len(training), settings))
    order_N = order(training.member_N, settings.rows_per_member, (settings.seed, epoch))
    start = number * settings.effective_batch
    return order_N[start : start + settings.effective_batch]


def order(member_N: Ints, together: int, seed: Sequence[int]) -> Ints:
    """All rows once, in random order, but up to `together` rows of one member side by side."""
    generator = np.random.default_rng(list(seed))
    shuffled_N = generator.permutation(len(member_N))
    by_member_N = shuffled_N[np.argsort(member_N[shuffled_N], kind="stable")]
    groups = list(_groups(member_N[by_member_N], together))
    picked = [groups[row] for row in generator.permutation(len(groups))]
    return np.concatenate([by_member_N[start:stop] for start, stop in picked])


def _groups(sorted_N: Ints, together: int) -> Iterator[tuple[int, int]]:
    """Bounds of runs of equal values, cut to `together`."""
    edges = [*np.flatnonzero(np.diff(sorted_N, prepend=sorted_N[0] - 1)), len(sorted_N)]
    for start, stop in pairwise(edges):
        for at in range(start, stop, together):
            yield at, min(at + together, stop)


def _place_of(rows: Ints, count: int) -> Ints:
    """Of each of `count` rows: where it stands in `rows`, -1 where it does not."""
    place = np.full(count, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    return place


def _rows(texts: Sequence[str]) -> dict[str, int]:
    return {text: row for row, text in enumerate(dict.fromkeys(texts))}
