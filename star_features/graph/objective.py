"""
What a training step minimises: the weighted losses of one batch (see `losses`), and where older
versions are still served, those of staying close to them (see `joint`).

    loss = loss_of(learner, run, batch, sample, step)     # None where the batch teaches nothing

Shapes: S labels of a batch, P taken ones, D width.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from star_features.graph.joint import AnchorDraw, Ends, Learner, apart
from star_features.graph.labels import Labels
from star_features.graph.losses import binary, contrastive
from star_features.graph.network import GraphModel
from star_features.graph.run import Run
from star_features.graph.sampler import Pairs, draw
from star_features.graph.temporal import Sample


def loss_of(learner: Learner, run: Run, batch: Labels, sample: Sample, step: int) -> Tensor | None:
    """
    The loss of the task, and by the weight of the dial, that of what older versions would lose.

    Args:
        step: counted over all epochs; draws the anchors.
    """
    ends = learner.tower(run.reading, sample)
    loss = task_loss(learner.tower, run, batch, ends)
    if loss is None or run.anchors is None:
        return loss
    joint = run.anchors.joint.settings
    kept = apart(learner, *_anchored(learner, run, run.anchors, step))
    told = [task_loss(learner.tower, run, batch, pair) for pair in learner.told_pairs(ends)]
    told_mean = torch.stack([part for part in told if part is not None]).mean()
    return loss + joint.weight * (kept + joint.told * told_mean)


def _anchored(
    learner: Learner, run: Run, draws: AnchorDraw, step: int
) -> tuple[Ends, Mapping[str, Tensor]]:
    """Vectors of one step's anchors, and what older versions said of them."""
    anchors = draws.draw([run.settings.seed, 3, step])
    seed = run.settings.seed * 1_000_003 + 500_009 + step
    sample = draw(run.reading.view, run.pairs, anchors.seeds, run.settings, seed)
    return learner.tower(run.reading, sample), anchors.wanted


def task_loss(model: GraphModel, run: Run, batch: Labels, ends: Ends) -> Tensor | None:
    """Tell taken from refused, and from the other jobs of the batch, by these vectors."""
    settings = run.settings
    member_SD, job_SD = ends
    taken_S, weight_S = torch.from_numpy(batch.taken_S), torch.from_numpy(batch.weight_S)
    parts = []
    if settings.contrastive_weight and batch.taken_S.any():
        told_apart = _told_apart(run, batch, member_SD, job_SD)
        parts.append(settings.contrastive_weight * told_apart)
    counted_S = batch.taken_S[batch.weight_S > 0]
    if settings.binary_weight and 0 < counted_S.sum() < len(counted_S):
        logits = binary(member_SD, job_SD, taken_S, weight_S, model.scale, model.offset)
        parts.append(settings.binary_weight * logits)
    return torch.stack(parts).sum() if parts else None


def _told_apart(run: Run, batch: Labels, member_SD: Tensor, job_SD: Tensor) -> Tensor:
    """The contrastive loss of a batch's taken labels, from the member's side or from both."""
    settings = run.settings
    taken_P = np.flatnonzero(batch.taken_S)
    hidden_SS = also_taken(run.pairs, batch, run.known_before)
    target_P = torch.from_numpy(taken_P)
    weight_P = torch.from_numpy(batch.weight_S[taken_P])
    share_S = None
    if settings.popularity_correction:
        low, _ = run.reading.view.span("job")
        log_share_S = torch.from_numpy(run.log_share[batch.seeds.job_S - low])
        share_S = settings.popularity_correction * log_share_S
    hidden_PS = torch.from_numpy(hidden_SS[taken_P])
    of_members = contrastive(
        member_SD[taken_P], job_SD, target_P, hidden_PS, weight_P, settings.temperature, share_S
    )
    if not settings.both_sides:
        return of_members
    member_S = batch.seeds.member_S
    other_PS = hidden_SS.T[taken_P] | (member_S[taken_P, None] == member_S)
    other_PS[np.arange(len(taken_P)), taken_P] = False
    of_jobs = contrastive(
        job_SD[taken_P],
        member_SD,
        target_P,
        torch.from_numpy(other_PS),
        weight_P,
        settings.temperature,
    )
    return (of_members + of_jobs) / 2


def also_taken(pairs: Pairs, batch: Labels, before: int) -> NDArray[np.bool_]:
    """S × S: jobs of the batch that are no negatives of a member, having been taken by it too.

    Only what was taken `before` is known: whoever looks further learns from the future.
    """
    member_S1, job_1J = batch.seeds.member_S[:, None], batch.seeds.job_S[None, :]
    hidden_SJ = pairs.linked(member_S1, job_1J, before)
    hidden_SJ |= batch.seeds.job_S[:, None] == job_1J
    np.fill_diagonal(hidden_SJ, False)
    return hidden_SJ
