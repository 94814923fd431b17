"""
A training run on disk, whole after every epoch: killed and called again, it ends the same.

    <folder>/weights.safetensors   the model now, the best one so far, and Adam's moments
    <folder>/progress.json         which run this is, and its curve

The JSON is written last and names the digest of the tensors beside it: a folder cut off in the
middle is simply an earlier one or none. Every random draw depends on (seed, epoch) alone, so
nothing else needs keeping.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from star_features.files import read_json, sha256, write_json

Tensors = dict[str, Tensor]


@dataclass
class Progress:
    """How far a run is. `curve` has one row per epoch."""

    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_value: float = float("-inf")
    best: Tensors = field(default_factory=dict)
    rescues: int = 0
    learning_rate: float = 0.0

    @property
    def epoch(self) -> int:
        return len(self.curve)


def save(
    folder: Path, run: str, progress: Progress, model: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write the state after an epoch of the run named `run` (a digest of all it depends on)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"now/{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in progress.best.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{number}/{k}": v for k, v in moments.items()}
    path = folder / f"weights-{progress.epoch % 2}.safetensors"  # never over the one in use
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path)
    write_json(
        folder / "progress.json",
        {
            "run": run,
            "file": path.name,
            "sha256": sha256(path),
            "curve": progress.curve,
            "best_epoch": progress.best_epoch,
            "best_value": progress.best_value,
            "rescues": progress.rescues,
            "learning_rate": progress.learning_rate,
        },
    )


def resume(
    folder: Path, run: str, model: nn.Module, optimiser: torch.optim.Optimizer
) -> Progress | None:
    """Load the state of this very run; None where there is none (another run's is of no use)."""
    state = _state_of(folder, run)
    if state is None:
        return None
    tensors = load_file(folder / state["file"])
    model.load_state_dict(_under("now/", tensors))
    moments: dict[int, dict[str, Any]] = {}
    for name, value in _under("adam/", tensors).items():
        number, key = name.split("/")
        moments.setdefault(int(number), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return Progress(
        curve=state["curve"],
        best_epoch=state["best_epoch"],
        best_value=state["best_value"],
        best=_under("best/", tensors),
        rescues=state["rescues"],
        learning_rate=state["learning_rate"],
    )


def _state_of(folder: Path, run: str) -> dict[str, Any] | None:
    if not (folder / "progress.json").is_file():
        return None
    state: dict[str, Any] = read_json(folder / "progress.json")
    path = folder / state["file"]
    same = state["run"] == run and path.is_file() and sha256(path) == state["sha256"]
    return state if same else None


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
