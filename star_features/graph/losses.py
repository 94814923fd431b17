"""
What is pulled together and what is pushed apart, as functions of tensors.

| loss | rows that go in | pulls together | pushes apart |
|---|---|---|---|
| `contrastive` | taken labels | member and job taken | member and the batch's other jobs |
| `binary` | all labels | member and job taken | member and job shown and not taken |

Shapes: S labels of a batch, J candidate jobs, D width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def contrastive(
    member_SD: Tensor,
    job_JD: Tensor,
    target_S: Tensor,
    hidden_SJ: Tensor,
    weight_S: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax over candidate jobs: `target_S` is each member's own job, `hidden_SJ` are no
    candidates (the member took them too). Weighted mean over the members."""
    logit_SJ = (member_SD @ job_JD.T / temperature).masked_fill(hidden_SJ, -torch.inf)
    loss_S = functional.cross_entropy(logit_SJ, target_S, reduction="none")
    return (loss_S * weight_S).sum() / weight_S.sum()


def binary(
    member_SD: Tensor,
    job_SD: Tensor,
    taken_S: Tensor,
    weight_S: Tensor,
    scale: Tensor,
    offset: Tensor,
) -> Tensor:
    """Cross-entropy of `scale * cosine + offset` against taken or not. Weighted mean."""
    logit_S = scale * (member_SD * job_SD).sum(dim=1) + offset
    loss_S = functional.binary_cross_entropy_with_logits(logit_S, taken_S, reduction="none")
    return (loss_S * weight_S).sum() / weight_S.sum()


def auc(score_S: NDArray[np.float32], taken_S: NDArray[np.float32]) -> float:
    """Chance that a taken job scores above one shown and not taken; ties count half."""
    taken = taken_S > 0.5
    positives, negatives = int(taken.sum()), int((~taken).sum())
    if not positives or not negatives:
        return float("nan")
    _, place_S, count = np.unique(score_S, return_inverse=True, return_counts=True)
    rank_S = (np.cumsum(count) - (count - 1) / 2)[place_S]
    return float((rank_S[taken].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def reciprocal_rank(
    member_SD: Tensor, job_JD: Tensor, target_S: Tensor, hidden_SJ: Tensor
) -> float:
    """Mean of 1 / rank of each member's own job among the candidates."""
    score_SJ = (member_SD @ job_JD.T).masked_fill(hidden_SJ, -torch.inf)
    own_S1 = score_SJ.gather(1, target_S.unsqueeze(1))
    return float((1 / (score_SJ >= own_S1).sum(dim=1)).float().mean())
