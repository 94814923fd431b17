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
from star_features.graph.job_graph import Floats, JobGraph
from star_features.graph.joint import AnchorDraw, Joint, Learner
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
    joint: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """A model with its report, and by old space id the trained map into it: weight and bias."""

    model: GraphModel
    report: TrainReport
    maps: dict[str, tuple[Floats, Floats]]


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
    trained = train_jointly(graph, labels, settings, None, checkpoint)
    return trained.model, trained.report


def train_jointly(
    graph: JobGraph,
    labels: pa.Table,
    settings: GraphSettings,
    joint: Joint | None,
    checkpoint: Path | None = None,
) -> Trained:
    """The same, together with the tower's maps into old versions; without them at weight 0.

    Raises:
        EmptyInput: fewer taken labels than `settings.minimum_taken`.
        DataError: an old version's vectors were taken later than the labels that are trained on.
    """
    graph.verify()
    require_densified(graph, settings.densify)
    joint = joint if joint and joint.settings.weight else None
    known, at_S = labels_of(graph, labels, settings)
    training, validation = split(known, at_S, settings)
    with _torch_settings(settings):
        torch.manual_seed(settings.seed)
        learner = Learner(GraphModel(vocabulary_of(graph, settings), settings), joint)
        view = (reading := read_graph(graph, learner.tower.vocabulary)).view
        anchors = AnchorDraw(graph, joint) if joint else None
        run = Run(settings, reading, Pairs.of(view), as_dgl(view), training, validation, anchors)
        if joint:
            joint.refuse_future(run.known_before)
        progress = _fit(learner, run, checkpoint, _identity(graph, known, settings, joint))
    learner.load_state_dict(progress.best)
    model = learner.tower.eval()
    return Trained(model, _report(model, graph, run, progress), learner.as_arrays())


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


def _fit(learner: Learner, run: Run, folder: Path | None, identity: str) -> disk.Progress:
    settings = run.settings
    optimiser = _optimiser(learner, settings)
    progress = disk.Progress(learning_rate=settings.learning_rate)
    if folder is not None:
        progress = disk.resume(folder, identity, learner, optimiser) or progress
    while not _finished(progress, settings):
        begin = perf_counter()
        row = _epoch(learner, run, optimiser, progress)
        value = _validate(learner.tower, run) if _sound(row["loss"], progress) else float("nan")
        if not np.isfinite(value):
            optimiser = _rescue(learner, run, progress)
            continue
        progress.curve.append(row | {"value": value, "seconds": perf_counter() - begin})
        if value > progress.best_value or not progress.best:
            progress.best_epoch, progress.best_value = progress.epoch - 1, value
            progress.best = {k: v.detach().clone() for k, v in learner.state_dict().items()}
        if folder is not None:
            disk.save(folder, identity, progress, learner, optimiser)
    return progress


def _optimiser(learner: Learner, settings: GraphSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        learner.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
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


def _rescue(learner: Learner, run: Run, progress: disk.Progress) -> torch.optim.AdamW:
    """Back to the best weights with half the step size; a few times only."""
    settings, joint = run.settings, run.anchors.joint if run.anchors else None
    progress.rescues += 1
    progress.learning_rate /= 2
    if progress.rescues > RESCUES:
        raise StarError(
            f"graph training diverged {progress.rescues} times, the last time at step size "
            f"{progress.learning_rate * 2:g}.\nWanted a finite loss: lower learning_rate, or look "
            "for infinite values in the text vectors."
        )
    if progress.best:
        learner.load_state_dict(progress.best)
    else:
        torch.manual_seed(settings.seed)
        fresh = Learner(GraphModel(learner.tower.vocabulary, settings), joint)
        learner.load_state_dict(fresh.state_dict())
    return _optimiser(learner, settings)


def _epoch(
    learner: Learner, run: Run, optimiser: torch.optim.Optimizer, progress: disk.Progress
) -> dict[str, float]:
    """One pass over the training labels: a row of the curve, with a loss that is not finite as
    soon as a step is not."""
    settings, epoch, raises = run.settings, progress.epoch, _budget(progress, run.settings).raises
    torch.manual_seed(settings.seed * 1_000_003 + epoch + 1)
    index = order(run.training, settings, epoch)
    steps = -(-len(index) // settings.batch_size)
    losses: list[float] = []
    edges = 0
    learner.train()
    with bar(f"graph epoch {epoch + 1}", total=steps, unit="batch") as shown:
        for batch, sample in run.samples(run.training, index, epoch, raises):
            step = epoch * steps + len(losses)
            rate = _rate(settings, step, steps * settings.epochs)
            optimiser.param_groups[0]["lr"] = progress.learning_rate * rate
            loss = loss_of(learner, run, batch, sample, step)
            edges += sum(len(hop.src_E) for hop in sample.hops)
            if loss is None:
                continue
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            length = torch.nn.utils.clip_grad_norm_(learner.parameters(), CLIP)
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


def _identity(graph: JobGraph, labels: Labels, settings: GraphSettings, joint: Joint | None) -> str:
    """What a run depends on: a checkpoint of another one is not resumed."""
    arrays = [labels.seeds.member_S, labels.seeds.job_S, labels.seeds.at_S, labels.taken_S]
    arrays += [labels.weight_S, *(r.src_E for r in graph.relations)]
    arrays += [a for r in graph.relations for a in (r.at_E, r.after_E)]
    arrays += [nodes.since_N for nodes in graph.nodes.values()]
    arrays += [nodes.text_ND for nodes in graph.nodes.values()]
    hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays]
    facts = {"settings": settings.model_dump(), "ids": graph.checksum, "arrays": hashes}
    return digest(facts | ({"joint": joint.digest()} if joint else {}))


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
        joint=run.anchors.joint.to_json() if run.anchors else None,
    )
