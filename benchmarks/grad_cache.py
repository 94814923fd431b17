"""
Gradient caching: the gradients of the plain large batch, its time, and the memory of a micro-batch.

    python -m benchmarks.grad_cache [--quick]

Real MiniLM weights, LoRA and head, contrastive loss at all widths, real texts as pairs; one pair a
member. Equality: every gradient against the plain batch, over the longest of the two. Time: one
step, where plain fits. Memory: the peak of a process of its own that takes one step at the full
effective batch (3,072), against one that takes its longest micro-batch alone, each less what that
process held before the step (Linux only). `--quick` does the same with 96 pairs.
"""

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, resident
from benchmarks.encode import mixed_texts
from star_features.text.packing import batches
from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings
from star_features.text.training.pairs import Pairs, batch_of
from star_features.text.training.room import hand_back_large_blocks
from star_features.text.training.train import Run, gradients, prepare

MICRO = 2048  # tokens
WHOLE = 1 << 30
MEBI = 1 << 10  # the kernel counts in kibibytes


def main() -> None:
    chosen = arguments(__doc__)
    timed, large = (24, 96) if chosen.quick else (64, 3072)
    cached, plain = (made(timed, chosen.seed, cache=cache) for cache in (True, False))
    contestants: dict[str, Callable[[], object]] = {
        "plain": lambda: step(plain, timed, WHOLE),
        "cached": lambda: step(cached, timed, MICRO),
    }
    error = relative_error(gradient(cached, timed, MICRO), gradient(plain, timed, WHOLE))
    taken = interleaved(contestants, 3)
    peaks = {
        "one micro-batch": peak(large, "micro", chosen.seed),
        "cached, whole": peak(large, "whole", chosen.seed),
    }
    rows: list[tuple[object, ...]] = [
        (name, timed, min(times), "") for name, times in taken.items()
    ]
    rows += [(name, large, "", size) for name, size in peaks.items()]
    report(
        f"One step of MiniLM, {MICRO} tokens a micro-batch, {torch.get_num_threads()} threads",
        ("who", "pairs", "best s", "peak MiB of the step"),
        rows,
        {
            "grad_cache_relative_error": Claim(error, "of the gradient's length", 1e-4, True),
            "grad_cache_time": Claim(
                median_ratio(taken["cached"], taken["plain"]), "times plain", 1.6, True
            ),
            "grad_cache_memory": Claim(
                peaks["cached, whole"] / peaks["one micro-batch"],
                f"times a micro-batch, at {large} pairs",
                1.3,
                True,
            ),
        },
        chosen.seed,
    )


def made(pairs: int, seed: int, cache: bool = True) -> Run:
    """A run before its first step, over `pairs` pairs to train on and a few to validate."""
    texts = mixed_texts(2 * pairs + 16, seed)
    members, jobs = texts[: pairs + 8], texts[pairs + 8 :]
    labels = [n % 2 for n in range(pairs + 8)]
    table = pa.table({"member_text": members, "job_text": jobs, "label": labels})
    settings = TrainSettings(
        loss="contrastive",
        first_epochs=0,
        gradient_cache=cache,
        validation=8.5 / (pairs + 8),
        head_texts=64,
        effective_batch=pairs,
        seed=seed,
        threads=torch.get_num_threads(),
    )
    run = prepare(Pairs.of(table), EncoderSettings(), settings)
    # B starts at zero, and half of LoRA's gradients with it: start elsewhere.
    torch.manual_seed(seed)
    for name, weight in run.tower.trained().items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    return run


def step(run: Run, pairs: int, tokens: int) -> float:
    return gradients(run, batch_of(run.training, np.arange(pairs)), tokens, 0)


def gradient(run: Run, pairs: int, tokens: int) -> torch.Tensor:
    step(run, pairs, tokens)
    return torch.cat([p.grad.flatten() for p in run.weights.values() if p.grad is not None])


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def first_micro_batch(run: Run, pairs: int) -> None:
    """Forward and back through the longest texts of the same batch, and nothing else."""
    batch = batch_of(run.training, np.arange(pairs))
    ids = run.ids_of(batch.members_M, batch.jobs_J)
    run.tower.learn(True)
    part = next(batches([len(each) for each in ids], MICRO))
    is_job_U = np.arange(len(ids)) >= len(batch.members_M)
    run.embed([ids[row] for row in part], is_job_U[part]).sum().backward()


def peak(pairs: int, what: str, seed: int) -> float:
    """MiB that a whole step on these pairs, or its first micro-batch, adds to a fresh process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.grad_cache", "--peak"]
    done = subprocess.run(
        [*command, str(pairs), what, str(seed)], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure_peak(pairs: int, what: str, seed: int) -> None:
    """The child's side of `peak`."""
    hand_back_large_blocks()  # as every training does
    run = made(pairs, seed)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what preparing freed must not count as the step's for free
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again here
    before = resident("VmRSS")
    if what == "micro":
        first_micro_batch(run, pairs)
    else:
        step(run, pairs, MICRO)
    print(json.dumps((resident("VmHWM") - before) / MEBI))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        measure_peak(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
