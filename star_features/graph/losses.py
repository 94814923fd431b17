"""
What is pulled together and what is pushed apart, as functions of tensors.

| loss | rows that go in | pulls together | pushes apart |
|---|---|---|---|
| `contrastive` | taken labels | member and job taken | member and the batch's other jobs |
| `binary` | all labels | member and job taken | member and job shown and not taken |

`contrastive` takes the sides swapped as well: then a job is told the member who took it.

Shapes: S labels of a batch, C candidates, D width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def contrastive(
    query_SD: Tensor,
    candidate_CD: Tensor,
    target_S: Tensor,
    hidden_SC: Tensor,
    weight_S: Tensor,
    temperature: float,
    log_share_C: Tensor | None = None,
) -> Tensor:
    """Softmax over candidates: `target_S` is each query's own, `hidden_SC` are no candidates (they
    were taken too). Weighted mean over the queries.

    Args:
        log_share_C: log of how often each candidate stands in a batch, to take off its logit: the
            sampled softmax then learns what the one over all would.
    """
    logit_SC = query_SD @ candidate_CD.T / temperature
    if log_share_C is not None:
        logit_SC = logit_SC - log_share_C
    logit_SC = logit_SC.masked_fill(hidden_SC, -torch.inf)
    loss_S = functional.cross_entropy(logit_SC, target_S, reduction="none")
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
    member_SD: Tensor, job_CD: Tensor, target_S: Tensor, hidden_SC: Tensor
) -> float:
    """Mean of 1 / rank of each member's own job among the candidates."""
    score_SC = (member_SD @ job_CD.T).masked_fill(hidden_SC, -torch.inf)
    own_S1 = score_SC.gather(1, target_S.unsqueeze(1))
    return float((1 / (score_SC >= own_S1).sum(dim=1)).float().mean())
