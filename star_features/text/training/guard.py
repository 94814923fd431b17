"""
When to stop a training that does harm: the failures that STAR reports, as rules on its curves.

    reason = verdict(losses, aucs, frozen, settings)   # None: go on
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from star_features.text.training.settings import TrainSettings


def verdict(
    losses: Sequence[float], aucs: Sequence[float], frozen: float, settings: TrainSettings
) -> str | None:
    """Why to stop now, in words; None where all is well.

    Args:
        losses: of every step so far.
        aucs: of every validation so far.
        frozen: the untrained model's AUC on the same pairs.
    """
    if losses and not math.isfinite(losses[-1]):
        return f"step {len(losses)}: the loss or its gradient is not finite"
    last = aucs[-settings.patience :]
    if len(last) == settings.patience and not any(auc >= frozen - settings.below for auc in last):
        return (
            f"validation AUC {last[-1]:.4f} is below the frozen model's {frozen:.4f} by more than "
            f"{settings.below:g}, {settings.patience} times in a row"
        )
    jump = swing(losses, settings.oscillation_steps)
    if jump > settings.oscillation:
        return f"the loss oscillates: it jumps by {jump:.0%} of its first level from step to step"
    return None


def swing(losses: Sequence[float], steps: int) -> float:
    """Mean jump between neighbours over the last `steps`, by the mean of the first `steps`."""
    if len(losses) < 2 * steps:
        return 0.0
    last = losses[-steps - 1 :]
    jumps = [abs(after - before) for before, after in pairwise(last)]
    return fmean(jumps) / max(fmean(losses[:steps]), 1e-12)
