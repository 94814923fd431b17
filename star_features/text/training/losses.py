"""
What is pulled together and what is pushed apart, as functions of tensors.

| loss | rows that go in | pulls together | pushes apart |
|---|---|---|---|
| `contrastive` | taken pairs | member and job taken | member and the batch's other jobs |
| `binary` | all pairs | member and job taken | member and job shown and not taken |
| `triplet` | taken pairs | member and job taken | member and its nearest semi-hard job |

`contrastive` alone is for pairs without refused ones. Where jobs are shown because they fit, it
unlearns what tells the taken from the refused: on the simulated market it fell below the frozen
model within 8 steps, where `binary` with `triplet` rose. Candidates that the member took too are
`hidden`, no negatives.

Shapes: S pairs, M members, J candidate jobs, D width, W widths.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from star_features.text.training.pairs import Batch
from star_features.text.training.settings import TrainSettings

OBJECTIVE_RATE = 1e-2
"""Step size of `Objective`'s own scale and offset, which are single numbers."""


def contrastive(cosine_SJ: Tensor, own_S: Tensor, hidden_SJ: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each taken job among its member's candidates."""
    logit_SJ = (cosine_SJ / temperature).masked_fill(hidden_SJ, -torch.inf)
    return functional.cross_entropy(logit_SJ, own_S)


def binary(cosine_S: Tensor, taken_S: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Cross-entropy of `scale * cosine + offset` against taken or not."""
    return functional.binary_cross_entropy_with_logits(scale * cosine_S + offset, taken_S)


def semi_hard(cosine_SJ: Tensor, own_S: Tensor, hidden_SJ: Tensor, margin: float) -> Tensor:
    """S: the nearest candidate that is farther than the own job, but less than `margin` farther;
    -1 where there is none."""
    own_cosine_S1 = cosine_SJ.gather(1, own_S[:, None])
    in_band_SJ = (cosine_SJ < own_cosine_S1) & (cosine_SJ > own_cosine_S1 - margin) & ~hidden_SJ
    nearest_S = cosine_SJ.masked_fill(~in_band_SJ, -torch.inf).argmax(dim=1)
    return torch.where(in_band_SJ.any(dim=1), nearest_S, -1)


def triplet(cosine_SJ: Tensor, own_S: Tensor, hidden_SJ: Tensor, margin: float) -> Tensor:
    """How much the semi-hard job is less than `margin` farther; mean over those who have one."""
    other_S = semi_hard(cosine_SJ.detach(), own_S, hidden_SJ, margin)
    rows_S = torch.arange(len(own_S), device=own_S.device)
    gap_S = cosine_SJ[rows_S, other_S.clamp(min=0)] - cosine_SJ[rows_S, own_S] + margin
    found_S = other_S >= 0
    return (gap_S * found_S).sum() / found_S.sum().clamp(min=1)


def cut(vectors_ND: Tensor, width: int) -> Tensor:
    """The first coordinates, scaled to unit length again."""
    return functional.normalize(vectors_ND[:, :width], dim=1)


def all_widths(widths: Sequence[int], full: int) -> tuple[int, ...]:
    """Matryoshka widths below the full one, and the full one."""
    return (*sorted({width for width in widths if width < full}), full)


class Objective(nn.Module):
    """The chosen loss at every width; `binary`'s scale and offset are learnt at each."""

    def __init__(self, settings: TrainSettings, full: int) -> None:
        super().__init__()
        self.settings = settings
        self.widths = all_widths(settings.widths, full)
        self.scale_W = nn.Parameter(torch.full((len(self.widths),), settings.scale))
        self.offset_W = nn.Parameter(torch.zeros(len(self.widths)))

    def centre(self, members_SD: Tensor, jobs_SD: Tensor) -> None:
        """Start `binary` at `settings.offset` for the mean cosine of these pairs."""
        means = [(cut(members_SD, w) * cut(jobs_SD, w)).sum(1).mean() for w in self.widths]
        mean_W = torch.stack(means).to(self.scale_W)
        self.offset_W.data = self.settings.offset - self.scale_W.data * mean_W

    def terms(self, members_MD: Tensor, jobs_JD: Tensor, batch: Batch) -> Iterator[Tensor]:
        """One loss a width, each already divided: their sum is the loss."""
        for place, width in enumerate(self.widths):
            cosine_MJ = cut(members_MD, width) @ cut(jobs_JD, width).T
            yield self._at_width(cosine_MJ, batch, place) / len(self.widths)

    def _at_width(self, cosine_MJ: Tensor, batch: Batch, place: int) -> Tensor:
        settings, device = self.settings, cosine_MJ.device
        member_S, job_S, taken_S = (
            torch.from_numpy(a).to(device) for a in (batch.member_S, batch.job_S, batch.taken_S)
        )
        took_MJ = torch.from_numpy(batch.took_MJ).to(device)
        own_S, of_S = job_S[taken_S], member_S[taken_S]
        if not len(own_S):
            return cosine_MJ.sum() * 0
        cosine_SJ = cosine_MJ[of_S]
        if settings.loss == "contrastive":
            hidden_SJ = took_MJ[of_S].scatter(1, own_S[:, None], False)
            return contrastive(cosine_SJ, own_S, hidden_SJ, settings.temperature)
        pairs = binary(
            cosine_MJ[member_S, job_S],
            taken_S.to(cosine_MJ.dtype),
            self.scale_W[place],
            self.offset_W[place],
        )
        triplets = triplet(cosine_SJ, own_S, took_MJ[of_S], settings.margin)
        return pairs + settings.triplet_weight * triplets
