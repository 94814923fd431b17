"""
From a table of labels to seeds: checked, weighted, split by time, put in the order of training.

Shapes: S labels.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from star_features.errors import DataError, EmptyInput
from star_features.graph.build import micros, strings
from star_features.graph.job_graph import ALWAYS, FOREVER, Floats, Ints, JobGraph
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Seeds


@dataclass(frozen=True)
class Labels:
    """Seeds with what is known about them: `taken_S` is 1 or 0, `weight_S` how much it counts."""

    seeds: Seeds
    taken_S: Floats
    weight_S: Floats

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, index: Ints) -> "Labels":
        return Labels(self.seeds.take(index), self.taken_S[index], self.weight_S[index])


def labels_of(graph: JobGraph, table: pa.Table, settings: GraphSettings) -> tuple[Labels, Ints]:
    """Labels of a table (`member_id`, `job_id`, `at`; `label`, `weight`, `kind` if present).

    Of equal (member, job, time), the taken and then the heaviest one stays. Returns the labels
    by time, and their true times (the seeds' times see every edge where there is no time).
    """
    weight_S = _weights(table, settings)
    taken_S = (
        np.asarray(table["label"], dtype=np.float32)
        if "label" in table.column_names
        else np.ones(len(table), dtype=np.float32)
    )
    at_S = micros(table["at"])
    if settings.time == "strict" and (at_S == ALWAYS).any():
        raise DataError(
            "graph labels",
            f"{int((at_S == ALWAYS).sum())} labels have no time",
            'Wanted a time for each, or the setting time="none" for data without times.',
        )
    member_S = graph.rows("member", strings(table["member_id"]).tolist())
    job_S = graph.rows("job", strings(table["job_id"]).tolist())
    if settings.time == "none":
        at_S = np.zeros_like(at_S)
    order = np.lexsort((-weight_S, -taken_S, job_S, member_S, at_S))
    key_S3 = np.stack([at_S, member_S, job_S], axis=1)[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (key_S3[1:] != key_S3[:-1]).any(axis=1)
    kept = order[first & (weight_S[order] > 0)]
    seen_S = np.full(len(kept), FOREVER) if settings.time == "none" else at_S[kept]
    seeds = Seeds(member_S[kept], job_S[kept], seen_S)
    return Labels(seeds, taken_S[kept], weight_S[kept]), at_S[kept]


def _weights(table: pa.Table, settings: GraphSettings) -> Floats:
    weight_S = (
        np.asarray(table["weight"], dtype=np.float32)
        if "weight" in table.column_names
        else np.ones(len(table), dtype=np.float32)
    )
    if not settings.kind_weights or "kind" not in table.column_names:
        return weight_S
    kinds = table["kind"].to_pylist()
    of_kind = [settings.kind_weights.get(kind, 1.0) for kind in kinds]
    return weight_S * np.array(of_kind, dtype=np.float32)


def split(labels: Labels, at_S: Ints, settings: GraphSettings) -> tuple[Labels, Labels]:
    """Training and validation: the last labels by time, or drawn by chance without times."""
    enough(labels, settings)
    rng = np.random.default_rng([settings.seed, 1])
    if settings.time == "none":
        held = rng.random(len(labels)) < settings.validation
    else:
        held = at_S >= np.quantile(at_S, 1 - settings.validation, method="lower")
    training = labels.take(np.flatnonzero(~held))
    enough(training, settings)
    drawn = rng.permutation(np.flatnonzero(held))[: settings.validation_labels]
    return training, labels.take(np.sort(drawn))


def enough(labels: Labels, settings: GraphSettings) -> None:
    """Raise EmptyInput where there is too little to learn from."""
    taken = int(labels.taken_S.sum())
    if taken < settings.minimum_taken:
        raise EmptyInput(
            "graph labels",
            f"{taken} taken interactions to train on, of {len(labels)} labels",
            f"Wanted at least {settings.minimum_taken} (setting minimum_taken), at more than one "
            'time unless time="none": the graph tower cannot be trained; text vectors still work.',
        )


def order(labels: Labels, settings: GraphSettings, epoch: int) -> Ints:
    """The order in which an epoch reads its labels.

    In-batch negatives must be jobs of about the same time, or the age of a job gives the answer
    away. So labels are shuffled inside stretches of `window` batches of time only, the stretches
    begin anew in each epoch, and whole batches are shuffled among each other.
    """
    rng = np.random.default_rng([settings.seed, 2, epoch])
    drawn = np.sort(rng.permutation(len(labels))[: settings.labels_per_epoch])
    if settings.time == "none":
        return rng.permutation(drawn)
    rank = np.arange(len(drawn)) + rng.uniform(0, settings.window * settings.batch_size, len(drawn))
    near = drawn[np.argsort(rank, kind="stable")]
    full = len(near) // settings.batch_size * settings.batch_size
    chunks = near[:full].reshape(-1, settings.batch_size)
    return np.concatenate([rng.permutation(chunks).ravel(), near[full:]])
