"""
A training run on disk: killed and called again, it ends the same, to the bit on a CPU.

    <folder>/weights-<0|1>.safetensors   trained weights now and at their best, and Adam's moments
    <folder>/progress.json               which run this is, and its curves; written last

The two weight files take turns, so the one in use is never overwritten. Order and dropout depend
on (seed, step) alone and need no keeping.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from star_features.files import read_json, sha256, write_json
from star_features.text.training.room import Room

Tensors = dict[str, Tensor]
FILES = ("weights-0.safetensors", "weights-1.safetensors")


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        head_curve: of the passes in which the head learnt alone.
        losses: of every step done.
        curve: `step`, `loss` and `auc` of every validation.
        best: the trained weights at `best_step`.
        stopped: why a guard ended the run; None where none did.
    """

    room: Room
    head_curve: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best_auc: float = float("-inf")
    best: Tensors = field(default_factory=dict)
    stopped: str | None = None

    @property
    def step(self) -> int:
        return len(self.losses)


def save(
    folder: Path,
    run: str,
    progress: Progress,
    weights: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write the state of the run named `run` (a digest of all it depends on)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"now/{name}": value for name, value in weights.items()}
    tensors |= {f"best/{name}": value for name, value in progress.best.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{number}/{name}": value for name, value in moments.items()}
    path = folder / _other_file(folder)
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, path)
    state = asdict(progress) | {"run": run, "file": path.name, "sha256": sha256(path)}
    del state["best"]
    write_json(folder / "progress.json", state)


def resume(
    folder: Path, run: str, weights: Mapping[str, Tensor], optimiser: torch.optim.Optimizer
) -> Progress | None:
    """Load the state of this very run into `weights` and `optimiser`; None where there is none."""
    state = _state_of(folder, run)
    if state is None:
        return None
    tensors = load_file(folder / state.pop("file"))
    put(weights, _under("now/", tensors))
    moments: dict[int, dict[str, Any]] = {}
    for name, value in _under("adam/", tensors).items():
        number, key = name.split("/")
        moments.setdefault(int(number), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    room = Room(**state.pop("room"))
    return Progress(**state, room=room, best=_under("best/", tensors))


@torch.no_grad()
def put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Overwrite weights in place, by name."""
    for name, weight in weights.items():
        weight.copy_(values[name])


def _other_file(folder: Path) -> str:
    """The one of the two weight files that progress.json does not name."""
    known = folder / "progress.json"
    used = read_json(known)["file"] if known.is_file() else FILES[1]
    return FILES[1 - FILES.index(used)]


def _state_of(folder: Path, run: str) -> dict[str, Any] | None:
    if not (folder / "progress.json").is_file():
        return None
    state: dict[str, Any] = read_json(folder / "progress.json")
    path = folder / state["file"]
    named, wanted = state.pop("run"), state.pop("sha256")
    return state if named == run and path.is_file() and sha256(path) == wanted else None


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
