"""
The head first: it learns on the frozen model's vectors, before anything moves the backbone.

    curve = HeadFirst(tower.heads, objective, frozen, pairs, validation, settings).run(rate)

A step needs no forward pass of the backbone, so a pass over all pairs takes seconds. Nothing of it
is random but the order, which the seed gives: a killed run does it again, to the same bits.

Shapes: M member texts, J job texts, V validation pairs, S pairs of a step, D width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from star_features.progress import track
from star_features.text.training.frozen import Floats, Frozen, pair_auc
from star_features.text.training.losses import OBJECTIVE_RATE, Objective
from star_features.text.training.pairs import Ints, Pairs, batch_of, order
from star_features.text.training.settings import TrainSettings
from star_features.text.training.tower import Heads

Rate = Callable[[TrainSettings, int, int], float]
"""Share of the step size at this step of so many."""


def pairs_to_read(training: Pairs, settings: TrainSettings) -> Pairs | None:
    """The pairs that the head learns from; None where it does not learn by itself."""
    if settings.head == "none" or not settings.first_epochs:
        return None
    count = len(training)
    return training.take(np.arange(max(0, count - settings.first_pairs), count))


@dataclass(frozen=True)
class HeadFirst:
    """All that these passes need; `heads` and `objective` are trained in place."""

    heads: Heads
    objective: Objective
    frozen: Frozen
    pairs: Pairs
    validation: Pairs
    settings: TrainSettings

    def run(self, rate: Rate) -> list[dict[str, float]]:
        """All passes; the weights of the best one stay. `auc` after each, and before the first."""
        optimiser = torch.optim.Adam(
            [
                {"params": list(self.heads.parameters()), "full_lr": self.settings.first_rate},
                {"params": list(self.objective.parameters()), "full_lr": OBJECTIVE_RATE},
            ]
        )
        curve, best = [{"epoch": 0.0, "auc": self._auc()}], self._kept()
        passes = self.settings.first_epochs
        for epoch in track(range(passes), "train head", passes, "pass"):
            loss, auc = self._one_pass(optimiser, epoch, rate), self._auc()
            if auc > max(row["auc"] for row in curve):
                best = self._kept()
            curve.append({"epoch": epoch + 1.0, "loss": loss, "auc": auc})
        for module, weights in zip((self.heads, self.objective), best, strict=True):
            module.load_state_dict(weights)
        return curve

    def _one_pass(self, optimiser: torch.optim.Optimizer, epoch: int, rate: Rate) -> float:
        """Every pair once; the mean loss."""
        per_pass = max(1, len(self.pairs) // self.settings.first_batch)
        rows_N = order(self.pairs.member_N, 1, (self.settings.seed, epoch))
        losses = []
        for number, index_S in enumerate(np.array_split(rows_N, per_pass)):
            share = rate(
                self.settings, epoch * per_pass + number, self.settings.first_epochs * per_pass
            )
            for group in optimiser.param_groups:
                group["lr"] = share * group["full_lr"]
            optimiser.zero_grad()
            loss = self._loss(index_S)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _loss(self, index_S: Ints) -> Tensor:
        batch = batch_of(self.pairs, index_S)
        members_MD = self._through(self.frozen.members_MD[batch.members_M], job=False)
        jobs_JD = self._through(self.frozen.jobs_JD[batch.jobs_J], job=True)
        return torch.stack(list(self.objective.terms(members_MD, jobs_JD, batch))).sum()

    def _through(self, vectors_ND: Floats, job: bool) -> Tensor:
        made: Tensor = self.heads(torch.from_numpy(vectors_ND), torch.full((len(vectors_ND),), job))
        return made

    @torch.no_grad()
    def _auc(self) -> float:
        """Of the validation pairs' cosines behind the heads."""
        members_VD, jobs_VD = self.frozen.validation
        made = self._through(members_VD, job=False), self._through(jobs_VD, job=True)
        return pair_auc(made[0].numpy(), made[1].numpy(), self.validation.taken_N)

    def _kept(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return _copy(self.heads), _copy(self.objective)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
