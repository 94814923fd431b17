"""
Link prediction: teach the graph which job a member takes, from labels older than the cut-off.

    model, report = train_graph(graph, labels, GraphSettings(seed=1), checkpoint=folder)

Settings, labels, split, epochs, best epoch: as in a lab protocol. A label sees only edges that
are earlier than itself, content that was there by then, and never an edge between its own two ends.

Shapes: S labels of a batch, J candidate jobs, D width.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from star_features.errors import StarError
from star_features.graph import checkpoint as disk
from star_features.graph.budget import Budget, budget_after
from star_features.graph.densify import require_densified
from star_features.graph.dgl_graph import as_dgl
from star_features.graph.job_graph import JobGraph
from star_features.graph.labels import Labels, labels_of, order, split
from star_features.graph.losses import auc, reciprocal_rank
from star_features.graph.network import GraphModel
from star_features.graph.objective import also_taken, loss_of
from star_features.graph.run import Run
from star_features.graph.sampler import Pairs
from star_features.graph.settings import GraphSettings
from star_features.graph.vocabulary import read_graph, vocabulary_of
from star_features.progress import bar
from star_features.spaces import digest

RESCUES = 2
"""Times that a diverged run goes back to its best epoch with half the step size."""
WARM_UP = 20
"""Steps in which the step size rises to its full value."""
DIVERGED = 3.0
"""Times the first pass's mean loss, above which a later pass has diverged."""
CLIP = 1.0
"""Longest gradient that a step follows."""


@dataclass(frozen=True)
class TrainReport:
    """How a model came to be. `curve` has `loss`, `value` and `seconds` of each epoch, how many
    `edges` a label read in it, and how often the fan-outs had been raised (`raises`).

    `metric` says what `value` is: `auc` of taken against shown and not taken, or `mrr` of the
    taken job among the batch's, where nothing is known to have been refused.
    """

    metric: str
    curve: tuple[dict[str, float], ...]
    best_epoch: int
    best_value: float
    labels: int
    taken: int
    validation: int
    rescues: int
    parameters: int
    seed: int
    settings: dict[str, Any]
    graph: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def train_graph(
    graph: JobGraph, labels: pa.Table, settings: GraphSettings, checkpoint: Path | None = None
) -> tuple[GraphModel, TrainReport]:
    """Train on these labels and return the model of the best epoch, in evaluation mode.

    Args:
        labels: `member_id`, `job_id`, `at`, and if present `label` (0: shown and not taken),
            `weight`, `kind`; all older than the cut-off.
        checkpoint: a folder that is written after every epoch; called again with the same graph,
            labels and settings, a killed run goes on there and ends the same.

    Raises:
        EmptyInput: fewer taken labels than `settings.minimum_taken`.
    """
    graph.verify()
    require_densified(graph, settings.densify)
    known, at_S = labels_of(graph, labels, settings)
    training, validation = split(known, at_S, settings)
    with _torch_settings(settings):
        torch.manual_seed(settings.seed)
        model = GraphModel(vocabulary_of(graph, settings), settings)
        reading = read_graph(graph, model.vocabulary)
        run = Run(
            settings, reading, Pairs.of(reading.view), as_dgl(reading.view), training, validation
        )
        progress = _fit(model, run, checkpoint, _identity(graph, known, settings))
    model.load_state_dict(progress.best)
    return model.eval(), _report(model, graph, run, progress)


@contextmanager
def _torch_settings(settings: GraphSettings) -> Iterator[None]:
    """Our threads and random numbers inside, the caller's again afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _fit(model: GraphModel, run: Run, folder: Path | None, identity: str) -> disk.Progress:
    settings = run.settings
    optimiser = _optimiser(model, settings)
    progress = disk.Progress(learning_rate=settings.learning_rate)
    if folder is not None:
        progress = disk.resume(folder, identity, model, optimiser) or progress
    while not _finished(progress, settings):
        begin = perf_counter()
        row = _epoch(model, run, optimiser, progress)
        value = _validate(model, run) if _sound(row["loss"], progress) else float("nan")
        if not np.isfinite(value):
            optimiser = _rescue(model, progress, settings)
            continue
        progress.curve.append(row | {"value": value, "seconds": perf_counter() - begin})
        if value > progress.best_value or not progress.best:
            progress.best_epoch, progress.best_value = progress.epoch - 1, value
            progress.best = {k: v.detach().clone() for k, v in model.state_dict().items()}
        if folder is not None:
            disk.save(folder, identity, progress, model, optimiser)
    return progress


def _optimiser(model: GraphModel, settings: GraphSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )


def _budget(progress: disk.Progress, settings: GraphSettings) -> Budget:
    return budget_after([row["value"] for row in progress.curve], settings)


def _finished(progress: disk.Progress, settings: GraphSettings) -> bool:
    if progress.epoch >= settings.epochs:
        return True
    budget = _budget(progress, settings)
    last = max(progress.best_epoch, budget.full_since - 1)
    return budget.full and bool(progress.best) and progress.epoch - 1 - last >= settings.patience


def _sound(loss: float, progress: disk.Progress) -> bool:
    """Whether a pass went well: finite, and no multiple of the first one's loss."""
    first = progress.curve[0]["loss"] if progress.curve else 0.0
    return bool(np.isfinite(loss)) and loss <= DIVERGED * (first or np.inf)


def _rescue(
    model: GraphModel, progress: disk.Progress, settings: GraphSettings
) -> torch.optim.AdamW:
    """Back to the best weights with half the step size; a few times only."""
    progress.rescues += 1
    progress.learning_rate /= 2
    if progress.rescues > RESCUES:
        raise StarError(
            f"graph training diverged {progress.rescues} times, the last time at step size "
            f"{progress.learning_rate * 2:g}.\nWanted a finite loss: lower learning_rate, or look "
            "for infinite values in the text vectors."
        )
    if progress.best:
        model.load_state_dict(progress.best)
    else:
        torch.manual_seed(settings.seed)
        model.load_state_dict(GraphModel(model.vocabulary, settings).state_dict())
    return _optimiser(model, settings)


def _epoch(
    model: GraphModel, run: Run, optimiser: torch.optim.Optimizer, progress: disk.Progress
) -> dict[str, float]:
    """One pass over the training labels: a row of the curve, with a loss that is not finite as
    soon as a step is not."""
    settings, epoch, raises = run.settings, progress.epoch, _budget(progress, run.settings).raises
    torch.manual_seed(settings.seed * 1_000_003 + epoch + 1)
    index = order(run.training, settings, epoch)
    steps = -(-len(index) // settings.batch_size)
    losses: list[float] = []
    edges = 0
    model.train()
    with bar(f"graph epoch {epoch + 1}", total=steps, unit="batch") as shown:
        for batch, sample in run.samples(run.training, index, epoch, raises):
            rate = _rate(settings, epoch * steps + len(losses), steps * settings.epochs)
            optimiser.param_groups[0]["lr"] = progress.learning_rate * rate
            loss = loss_of(model, run, batch, sample)
            edges += sum(len(hop.src_E) for hop in sample.hops)
            if loss is None:
                continue
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            length = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            if not torch.isfinite(loss + length):
                losses = [float("nan")]
                break
            optimiser.step()
            losses.append(loss.item())
            shown.update(1)
    mean = float(np.mean(losses)) if losses else 0.0
    return {"loss": mean, "edges": edges / max(1, len(index)), "raises": float(raises)}


def _rate(settings: GraphSettings, step: int, steps: int) -> float:
    """Share of the step size: up over the warm-up, then down along a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * (0.52 + 0.48 * math.cos(math.pi * step / steps))


def _metric(labels: Labels) -> str:
    return "auc" if 0 < labels.taken_S.sum() < len(labels) else "mrr"


def _validate(model: GraphModel, run: Run) -> float:
    """The validation's `_metric`, in the order of time and with the same draw always."""
    labels = run.validation
    scores, ranks = [], []
    model.eval()
    with torch.no_grad():
        for batch, sample in run.samples(labels, np.arange(len(labels)), epoch=-1):
            member_SD, job_SD = model(run.reading, sample)
            scores.append((member_SD * job_SD).sum(dim=1).numpy())
            hidden = torch.from_numpy(also_taken(run.pairs, batch, run.known_before))
            ranks.append(reciprocal_rank(member_SD, job_SD, torch.arange(len(batch)), hidden))
    if _metric(labels) == "auc":
        return auc(np.concatenate(scores), labels.taken_S)
    return float(np.mean(ranks)) if ranks else 0.0


def _identity(graph: JobGraph, labels: Labels, settings: GraphSettings) -> str:
    """What a run depends on: a checkpoint of another one is not resumed."""
    arrays = [labels.seeds.member_S, labels.seeds.job_S, labels.seeds.at_S, labels.taken_S]
    arrays += [labels.weight_S, *(r.src_E for r in graph.relations)]
    arrays += [a for r in graph.relations for a in (r.at_E, r.after_E)]
    arrays += [nodes.since_N for nodes in graph.nodes.values()]
    arrays += [nodes.text_ND for nodes in graph.nodes.values()]
    hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays]
    return digest({"settings": settings.model_dump(), "ids": graph.checksum, "arrays": hashes})


def _report(model: GraphModel, graph: JobGraph, run: Run, progress: disk.Progress) -> TrainReport:
    return TrainReport(
        metric=_metric(run.validation),
        curve=tuple(progress.curve),
        best_epoch=progress.best_epoch,
        best_value=progress.best_value,
        labels=len(run.training),
        taken=int(run.training.taken_S.sum()),
        validation=len(run.validation),
        rescues=progress.rescues,
        parameters=sum(p.numel() for p in model.parameters()),
        seed=run.settings.seed,
        settings=run.settings.model_dump(mode="json"),
        graph={
            "checksum": graph.checksum,
            "nodes": {name: len(nodes) for name, nodes in graph.nodes.items()},
            "edges": {relation.name: len(relation) for relation in graph.relations},
        },
    )
