"""
A training step of the graph tower against the textbook's network (HeteroGraphConv of GATConvs).

    python -m benchmarks.graph_train [--quick]

Both read the same sixteen relations of a simulated power-law graph (200k members, 50k jobs, 20k
attribute nodes, 10M directed edges, 384-wide text) with equal fan-outs, width, heads, layers, batch
and loss. A step is drawing the batch's neighbours, forward, back, and the optimiser. The textbook
draws by DGL's sampler, which knows no time; the tower draws what each label may see. Two further
contestants are the tower with DGL's attention kernels in place of its own, and the tower with its
matrix products in bfloat16. Peak memory is that of a process
of its own over what it held with graph and features loaded (Linux only). `--quick`: 200k edges.
"""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, resident
from benchmarks.graph_lib.dgl_attention import attention_of_dgl
from benchmarks.graph_lib.ours import batches_of, fresh, optimiser_of, prepared, step
from benchmarks.graph_lib.textbook import Textbook
from benchmarks.graph_lib.world import World, make_world
from star_features.graph.kernels import attention
from star_features.graph.sampler import draw
from star_features.graph.settings import GraphSettings

FAN_OUTS = (4, 2)
STEPS = 3  # batches a round
MEBI = 1 << 10  # the kernel counts in kibibytes
WHO = ("textbook", "tower", "tower, DGL's kernels", "tower, bfloat16")


def main() -> None:
    chosen = arguments(__doc__)
    edges, rounds = (200_000, 2) if chosen.quick else (10_000_000, 5)
    world = make_world(edges, chosen.seed)
    contestants = {name: steps_of(name, world, chosen.seed) for name in WHO}
    for run in contestants.values():
        run()  # once before the clock: kernels are compiled, memory is taken
    taken = interleaved(contestants, rounds)
    peaks = {name: peak(name, edges, chosen.seed) for name in WHO}
    rows = [(name, min(times) / STEPS, peaks[name]) for name, times in taken.items()]
    report(
        f"One step, batch of {settings_of('tower', chosen.seed).batch_size}, fan-outs {FAN_OUTS}, "
        f"{edges:,} edges (simulated), {torch.get_num_threads()} threads",
        ("who", "best s", "peak MiB"),
        rows,
        {
            "graph_train_speedup": Claim(
                median_ratio(taken["textbook"], taken["tower"]), "times the textbook's speed", 3
            ),
            "graph_train_kernels": Claim(
                median_ratio(taken["tower, DGL's kernels"], taken["tower"]),
                "times the speed with DGL's kernels",
            ),
            "graph_train_bfloat16": Claim(
                median_ratio(taken["tower"], taken["tower, bfloat16"]), "times float32's speed"
            ),
            "graph_train_memory": Claim(peaks["tower"] / peaks["textbook"], "of the textbook's"),
        },
        chosen.seed,
    )


def settings_of(name: str, seed: int) -> GraphSettings:
    precision = "bfloat16" if name.endswith("bfloat16") else "float32"
    return GraphSettings.model_validate(
        {
            "fan_outs": FAN_OUTS,
            "batch_size": 1024,
            "seed": seed,
            "precision": precision,
            "dropout": 0.0,
        }
    )


def steps_of(name: str, world: World, seed: int) -> Callable[[], object]:
    """A few training steps of one contestant, the same batches each time."""
    settings = settings_of(name, seed)
    run = prepared(world.graph, world.labels, settings)
    batches = [run.training.take(index) for index in batches_of(run, STEPS, seed)]
    if name == "textbook":
        peer = Textbook(world.graph, settings)
        descent = optimiser_of(peer, settings)
        return lambda: [step(peer, descent, run, batch, peer.sample(batch)) for batch in batches]
    model = fresh(world.graph, run)
    descent = optimiser_of(model, settings)
    view, pairs = run.reading.view, run.pairs
    kernel = attention_of_dgl if name.endswith("DGL's kernels") else attention

    def steps() -> None:
        with mock.patch("star_features.graph.network.attention", kernel):
            for number, batch in enumerate(batches):
                step(model, descent, run, batch, draw(view, pairs, batch.seeds, settings, number))

    return steps


def peak(name: str, edges: int, seed: int) -> float:
    """MiB that the steps add to a fresh process that holds the graph."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.graph_train", "--peak"]
    done = subprocess.run(
        [*command, name, str(edges), str(seed)], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure_peak(name: str, edges: int, seed: int) -> None:
    """The child's side of `peak`."""
    run = steps_of(name, make_world(edges, seed), seed)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again here
    before = resident("VmRSS")
    run()
    print(json.dumps((resident("VmHWM") - before) / MEBI))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        measure_peak(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
