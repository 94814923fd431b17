"""
Fine-tune the text tower: settings, pairs, frozen baseline, head, tower, steps, report.

    trained = train_text(pairs, EncoderSettings(), TrainSettings(seed=1), checkpoint=folder)
    trained.report.best_auc, trained.report.frozen_auc

The last pairs by time are held out. The head learns first, on the frozen model's vectors; then
LoRA and head together. The weights that come back are those of the best validation, which may be
those of the head alone (step 0), and of it those before its first pass.

Shapes: S pairs of a batch, U texts of a batch (members, then jobs), M and J of either, V pairs of
the validation, D width.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from star_features.progress import bar
from star_features.spaces import digest
from star_features.text import backbone, weights
from star_features.text.encoder import TextEncoder, multiplies_bfloat16
from star_features.text.packing import batches, pack
from star_features.text.settings import EncoderSettings
from star_features.text.training import checkpoint as disk
from star_features.text.training.cache import cached, plain
from star_features.text.training.first import HeadFirst, pairs_to_read
from star_features.text.training.frozen import Floats, Frozen, by_width, pair_auc
from star_features.text.training.guard import verdict
from star_features.text.training.losses import OBJECTIVE_RATE, Objective
from star_features.text.training.pairs import (
    Batch,
    Ints,
    Pairs,
    batch_of,
    index_of,
    steps_per_epoch,
)
from star_features.text.training.room import Room, hand_back_large_blocks
from star_features.text.training.settings import TrainSettings
from star_features.text.training.tower import Heads, Tower, with_lora


@dataclass(frozen=True)
class TrainReport:
    """How a model came to be.

    Attributes:
        stopped: the guard's reason; None where all steps were done.
        head_curve: `epoch`, mean `loss` and `auc` of each pass of the head alone.
        curve: `step`, mean `loss` since the last one, and `auc` of each validation.
        widths: AUC of the first coordinates, see `frozen.by_width`.
        micro_tokens, halvings: what fitted into memory, and how often it was found out.
    """

    frozen_auc: float
    best_auc: float
    best_step: int
    steps: int
    stopped: str | None
    head_curve: tuple[dict[str, float], ...]
    curve: tuple[dict[str, float], ...]
    widths: tuple[dict[str, float], ...]
    pairs: int
    taken: int
    validation: int
    texts: dict[str, int]
    truncated: dict[str, int]
    parameters: int
    targets: list[str]
    micro_tokens: int
    halvings: int
    notes: list[str]
    seed: int
    settings: dict[str, Any]
    encoder: dict[str, Any]
    base: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """A tower at its best weights, and what is needed to write it down."""

    tower: Tower
    frozen: Frozen
    report: TrainReport


@dataclass(frozen=True)
class Run:
    """All that a step needs, made once."""

    settings: TrainSettings
    frozen: Frozen
    training: Pairs
    validation: Pairs
    tower: Tower
    objective: Objective
    precision: torch.dtype
    notes: list[str]

    @property
    def steps(self) -> int:
        total = self.settings.epochs * steps_per_epoch(len(self.training), self.settings)
        return min(total, self.settings.max_steps or total)

    @cached_property
    def weights(self) -> dict[str, torch.nn.Parameter]:
        """Everything that an optimiser step moves."""
        own = {f"objective.{name}": p for name, p in self.objective.named_parameters()}
        return self.tower.trained() | own

    def ids_of(self, members_M: Ints, jobs_J: Ints) -> list[Ints]:
        """Token ids of these members' and then these jobs' texts."""
        members, jobs = self.frozen.ids["member"], self.frozen.ids["job"]
        return [members[row] for row in members_M] + [jobs[row] for row in jobs_J]

    def embed(self, ids: list[Ints], is_job_N: NDArray[np.bool_]) -> Tensor:
        device = next(self.tower.parameters()).device
        with self._autocast(device):
            vectors: Tensor = self.tower(
                pack(ids).to(device), torch.from_numpy(is_job_N).to(device)
            )
        return vectors.float()

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, self.precision)


def train_text(
    pairs: Pairs,
    encoder: EncoderSettings,
    settings: TrainSettings,
    checkpoint: Path | None = None,
) -> Trained:
    """Train on these pairs and return the tower with the weights of its best validation.

    Args:
        pairs: in order of time, all older than the cut-off.
        encoder: the base model, as it would be used frozen.
        checkpoint: a folder that is written at every validation; called again with the same
            pairs and settings, a killed run goes on there and ends the same.

    Raises:
        EmptyInput: too few taken or refused pairs to train and validate on.
        UsageError: `encoder` is no plain base model, or its attention layers have unknown names.
    """
    with _torch_settings(settings):
        run = prepare(pairs, encoder, settings, checkpoint)
        optimiser = _optimiser(run)
        name = digest([pairs.digest(), run.frozen.encoder.model_dump(), settings.model_dump()])
        progress = None
        if checkpoint is not None:
            progress = disk.resume(checkpoint, name, run.weights, optimiser)
        if progress is None:
            progress = disk.Progress(Room(settings.micro_tokens), head_curve=_head_first(run))
        for _ in _fit(run, optimiser, progress):
            if checkpoint is not None:
                disk.save(checkpoint, name, progress, run.weights, optimiser)
        disk.put(run.weights, progress.best)
        return Trained(run.tower, run.frozen, _report(run, progress))


def prepare(
    pairs: Pairs, encoder: EncoderSettings, settings: TrainSettings, folder: Path | None = None
) -> Run:
    """All that comes before anything learns; seeds torch for the new weights.

    Args:
        folder: where vectors of the frozen model are kept for a run that comes again.
    """
    training, validation = pairs.split(settings)
    loaded = TextEncoder.load(encoder)
    frozen = Frozen.of(
        loaded, pairs, validation, settings, pairs_to_read(training, settings), folder
    )
    device, notes = loaded.device, [*loaded.notes]
    del loaded
    precision = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    if precision == torch.bfloat16 and not multiplies_bfloat16(device):
        notes.append(f"bfloat16 was asked for; {device} has no units for it: float32.")
        precision = torch.float32
    torch.manual_seed(settings.seed)
    tower = _tower(frozen, settings, precision).to(device)
    objective = Objective(settings, frozen.axes_DD.shape[1]).to(device)
    objective.centre(*(torch.from_numpy(v @ frozen.axes_DD.T) for v in frozen.validation))
    return Run(settings, frozen, training, validation, tower, objective, precision, notes)


def _tower(frozen: Frozen, settings: TrainSettings, precision: torch.dtype) -> Tower:
    model = backbone.load(weights.locate(frozen.encoder.model), None).to(precision)
    pooling = frozen.encoder.pooling
    assert pooling is not None
    return Tower(with_lora(model, settings), pooling, Heads(frozen.axes_DD, settings.head))


def _head_first(run: Run) -> list[dict[str, float]]:
    pairs = pairs_to_read(run.training, run.settings)
    if pairs is None:
        return []
    device = next(run.tower.parameters()).device
    run.tower.heads.cpu(), run.objective.cpu()
    curve = HeadFirst(
        run.tower.heads, run.objective, run.frozen, pairs, run.validation, run.settings
    ).run(rate)
    run.tower.heads.to(device), run.objective.to(device)
    return curve


def _optimiser(run: Run) -> torch.optim.AdamW:
    settings, trained = run.settings, run.tower.trained()
    head = [p for name, p in trained.items() if name.startswith("heads.")]
    lora = [p for name, p in trained.items() if not name.startswith("heads.")]
    groups: list[dict[str, Any]] = [
        {"params": lora, "lr": settings.learning_rate},
        {"params": list(run.objective.parameters()), "lr": OBJECTIVE_RATE, "weight_decay": 0.0},
    ]
    groups += [{"params": head, "lr": settings.head_learning_rate}] if head else []
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def _fit(run: Run, optimiser: torch.optim.Optimizer, progress: disk.Progress) -> Iterator[None]:
    """Steps until done or stopped; yields after each validation, when all is worth keeping."""
    if not progress.curve:
        _validate(run, progress)
        yield
    with bar("train text", total=run.steps, unit="step") as shown:
        shown.update(progress.step)
        while progress.step < run.steps and progress.stopped is None:
            progress.losses.append(_step(run, optimiser, progress))
            shown.update(1)
            progress.stopped = _verdict(run, progress)
            last = progress.stopped is not None or progress.step == run.steps
            if math.isfinite(progress.losses[-1]) and (
                last or progress.step % run.settings.validate_every == 0
            ):
                _validate(run, progress)
                progress.stopped = _verdict(run, progress)
            if last or progress.step % run.settings.validate_every == 0:
                yield


def _verdict(run: Run, progress: disk.Progress) -> str | None:
    aucs = [row["auc"] for row in progress.curve]
    return verdict(progress.losses, aucs, run.frozen.auc(run.validation.taken_N), run.settings)


def _step(run: Run, optimiser: torch.optim.Optimizer, progress: disk.Progress) -> float:
    """One optimiser step; the loss, or NaN (and no step) where something is not finite."""
    step = progress.step
    for group in optimiser.param_groups:
        full = group.setdefault("full_lr", group["lr"])
        group["lr"] = full * rate(run.settings, step, run.steps)
    index_S = index_of(run.training, run.settings, step)
    loss = progress.room.within(
        lambda tokens: gradients(run, batch_of(run.training, index_S), tokens, step)
    )
    norm = torch.nn.utils.clip_grad_norm_(list(run.tower.trained().values()), run.settings.clip)
    if not (math.isfinite(loss) and torch.isfinite(norm)):
        return float("nan")
    optimiser.step()
    return loss


def gradients(run: Run, batch: Batch, tokens: int, step: int) -> float:
    """Leave the gradients of one batch in `.grad`, at `tokens` a micro-batch; return the loss."""
    for weight in run.weights.values():
        weight.grad = None
    ids = run.ids_of(batch.members_M, batch.jobs_J)
    is_job_U = np.arange(len(ids)) >= len(batch.members_M)
    parts = list(batches([len(each) for each in ids], tokens))
    run.tower.learn(True)

    def embed(number: int) -> Tensor:
        torch.manual_seed(int(digest([run.settings.seed, step, number], 15), 16))
        return run.embed([ids[row] for row in parts[number]], is_job_U[parts[number]])

    def terms(vectors_UD: Tensor) -> Iterator[Tensor]:
        members = len(batch.members_M)
        return run.objective.terms(vectors_UD[:members], vectors_UD[members:], batch)

    way = cached if run.settings.gradient_cache and len(parts) > 1 else plain
    return way(embed, parts, terms)


def rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Share of the step size: up along a line, then down to zero along a cosine or a line."""
    warm = math.ceil(settings.warm_up * steps)
    if step < warm:
        return (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return (1 + math.cos(math.pi * share)) / 2 if settings.schedule == "cosine" else 1 - share


def _validate(run: Run, progress: disk.Progress) -> None:
    """Add a row to the curve; keep the weights if they are the best so far."""
    value = pair_auc(*_validation_vectors(run, progress.room), run.validation.taken_N)
    since = progress.losses[int(progress.curve[-1]["step"]) if progress.curve else 0 :]
    loss = {"loss": float(np.mean(since))} if since else {}
    progress.curve.append({"step": progress.step, **loss, "auc": value})
    if value > progress.best_auc:
        progress.best_step, progress.best_auc = progress.step, value
        progress.best = {name: p.detach().clone() for name, p in run.weights.items()}


def _validation_vectors(run: Run, room: Room) -> tuple[Floats, Floats]:
    """V × D each: the tower's vectors of the validation pairs' members and jobs."""
    batch = batch_of(run.validation, np.arange(len(run.validation)))
    ids = run.ids_of(batch.members_M, batch.jobs_J)
    is_job_U = np.arange(len(ids)) >= len(batch.members_M)
    vectors_UD = room.within(lambda tokens: _vectors(run, ids, is_job_U, tokens))
    members_MD, jobs_JD = vectors_UD[: len(batch.members_M)], vectors_UD[len(batch.members_M) :]
    return members_MD[batch.member_S], jobs_JD[batch.job_S]


def _vectors(run: Run, ids: list[Ints], is_job_U: NDArray[np.bool_], tokens: int) -> Floats:
    run.tower.learn(False)
    parts = list(batches([len(each) for each in ids], tokens))
    with torch.no_grad():
        made = [
            run.embed([ids[row] for row in part], is_job_U[part]).cpu().numpy() for part in parts
        ]
    vectors_UD = np.empty((len(ids), made[0].shape[1]), dtype=np.float32)
    vectors_UD[np.concatenate(parts)] = np.concatenate(made)
    return vectors_UD


@contextmanager
def _torch_settings(settings: TrainSettings) -> Iterator[None]:
    """Our threads and random numbers inside, the caller's again afterwards."""
    hand_back_large_blocks()
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def _report(run: Run, progress: disk.Progress) -> TrainReport:
    taken_V = run.validation.taken_N
    members_VD, jobs_VD = _validation_vectors(run, progress.room)
    config = run.tower.peft.peft_config["default"]
    return TrainReport(
        frozen_auc=run.frozen.auc(taken_V),
        best_auc=progress.best_auc,
        best_step=progress.best_step,
        steps=progress.step,
        stopped=progress.stopped,
        head_curve=tuple(progress.head_curve),
        curve=tuple(progress.curve),
        widths=tuple(
            by_width(run.frozen, members_VD, jobs_VD, taken_V, width)
            for width in run.objective.widths
        ),
        pairs=len(run.training),
        taken=int(run.training.taken_N.sum()),
        validation=len(run.validation),
        texts={side: len(ids) for side, ids in run.frozen.ids.items()},
        truncated={side: count for side, count in run.frozen.truncated.items()},
        parameters=sum(p.numel() for p in run.tower.trained().values()),
        targets=sorted(config.target_modules),
        micro_tokens=progress.room.tokens,
        halvings=progress.room.halvings,
        notes=run.notes,
        seed=run.settings.seed,
        settings=run.settings.model_dump(mode="json"),
        encoder=run.frozen.encoder.model_dump(mode="json"),
        base=asdict(run.frozen.fingerprint),
    )
