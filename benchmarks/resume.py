"""
Checkpoint, kill, resume: the same weights as without the kill, to the bit on a CPU.

    python -m benchmarks.resume [--quick]

Real MiniLM weights and real texts. A child process trains and is killed by signal in the middle
of a step, at several places; another one goes on from its checkpoint. Their weights are compared
bit by bit with those of a run that was left alone.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from benchmarks.common import Claim, arguments, report
from benchmarks.encode import mixed_texts
from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings, train
from star_features.text.training.pairs import Pairs

PAIRS = 64


def main() -> None:
    chosen = arguments(__doc__)
    steps, kills = (4, (3,)) if chosen.quick else (12, (1, 6, 11))
    with tempfile.TemporaryDirectory() as root:
        alone = child(Path(root) / "alone", steps, None, chosen.seed)
        rows, equal = [("left alone", "", alone[1], "")], []
        for at in kills:
            killed = child(Path(root) / f"kill-{at}", steps, at, chosen.seed)
            resumed = child(Path(root) / f"kill-{at}", steps, None, chosen.seed)
            equal.append(same(alone[0], resumed[0]))
            rows.append((f"killed in step {at + 1}", str(killed[0]), killed[1], ""))
            rows.append(("resumed", "", resumed[1], "equal" if equal[-1] else "DIFFERENT"))
    report(
        f"{steps} steps of MiniLM on {PAIRS} pairs, {torch.get_num_threads()} threads",
        ("run", "ended by", "seconds", "weights"),
        rows,
        {"resume_equal_to_the_bit": Claim(sum(equal) / len(equal), "of the kills", 1.0)},
        chosen.seed,
    )


def child(folder: Path, steps: int, kill_at: int | None, seed: int) -> tuple[Path | str, float]:
    """Where the weights lie, or the signal that ended it; and the seconds it took."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.resume", "--child", str(folder)]
    started = perf_counter()
    done = subprocess.run(
        [*command, str(steps), str(-1 if kill_at is None else kill_at), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    taken = perf_counter() - started
    if kill_at is not None:
        return signal.Signals(-done.returncode).name, taken
    if done.returncode:
        raise SystemExit(done.stderr)
    return folder / "final.safetensors", taken


def run_child(folder: str, steps: int, kill_at: int, seed: int) -> None:
    """Train with a checkpoint; die in step `kill_at`, if there is one, its gradients half made."""
    honest = train.gradients

    def deadly(run: train.Run, batch: train.Batch, tokens: int, step: int) -> float:
        loss = honest(run, batch, tokens, step)
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    train.gradients = deadly
    settings = TrainSettings(
        loss="bce+triplet",
        first_batch=32,
        lora_dropout=0.1,
        effective_batch=8,
        micro_tokens=256,
        max_steps=steps,
        epochs=steps,
        validate_every=2,
        validation=0.2,
        head_texts=32,
        seed=seed,
        threads=torch.get_num_threads(),
    )
    texts = mixed_texts(2 * PAIRS, seed)
    columns = (texts[:PAIRS], texts[PAIRS:], [n % 2 for n in range(PAIRS)])
    table = pa.table(dict(zip(("member_text", "job_text", "label"), columns, strict=True)))
    trained = train.train_text(
        Pairs.of(table), EncoderSettings(), settings, Path(folder) / "checkpoint"
    )
    weights = {name: p.detach() for name, p in trained.tower.trained().items()}
    save_file(weights, Path(folder) / "final.safetensors")


def same(one: Path | str, another: Path | str) -> bool:
    ours, theirs = load_file(one), load_file(another)
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in ours.items())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
