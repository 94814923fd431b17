"""
What a training step minimises: the weighted losses of one batch (see `losses`).

    loss = loss_of(model, run, batch, sample)     # None where the batch teaches nothing

Shapes: S labels of a batch, P taken ones, D width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from star_features.graph.labels import Labels
from star_features.graph.losses import binary, contrastive
from star_features.graph.network import GraphModel
from star_features.graph.run import Run
from star_features.graph.sampler import Pairs
from star_features.graph.temporal import Sample


def loss_of(model: GraphModel, run: Run, batch: Labels, sample: Sample) -> Tensor | None:
    settings = run.settings
    member_SD, job_SD = model(run.reading, sample)
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
