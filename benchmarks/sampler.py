"""
Temporal sampling against DGL's own samplers, which know no time; and leaks, counted.

    python -m benchmarks.sampler [--quick]

Both draw two hops for batches of 1,024 labels out of the same simulated power-law graph (10M
directed edges, sixteen relations) with equal fan-outs, in this process. DGL draws for the different
nodes of a batch once; the tower draws what each label may see: per label and time, or with a grain
of a day, where labels share their second hop. DGL's fused sampler is the fastest there is, and
wrong here: where a node type has no in-edges it gives blocks with fewer sources than destinations
(counted below); the plain one is right. Leaks are sampled edges at or after their label's time,
false edges, and edges between a label's own ends, over a million sampled edges drawn label by
label. `--quick`: 200k edges, 20k sampled ones.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report
from benchmarks.graph_lib.ours import batches_of, prepared
from benchmarks.graph_lib.textbook import Textbook
from benchmarks.graph_lib.world import World, make_world
from star_features.graph.job_graph import Ints
from star_features.graph.run import Run
from star_features.graph.sampler import draw
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Sample, View

FAN_OUTS = (4, 2)
BATCHES = 3  # a round


def main() -> None:
    chosen = arguments(__doc__)
    edges, rounds, looked_at = (200_000, 3, 20_000) if chosen.quick else (10_000_000, 9, 1_000_000)
    world = make_world(edges, chosen.seed)
    run = prepared(world.graph, world.labels, settings_of(0, chosen.seed))
    drawn = contestants(world, run, chosen.seed)
    for each in drawn.values():
        each()
    taken = interleaved(drawn, rounds)
    seen, leaks = leaked(run, looked_at, chosen.seed)
    per_batch = {name: min(times) / BATCHES * 1000 for name, times in taken.items()}
    report(
        f"Two hops for 1,024 labels, fan-outs {FAN_OUTS}, {edges:,} edges (simulated)",
        ("who", "best ms a batch"),
        list(per_batch.items()),
        {
            "sampler_time": Claim(
                median_ratio(taken["tower"], taken["DGL, fused"]), "times DGL's fused", 1.5, True
            ),
            "sampler_time_grain": Claim(
                median_ratio(taken["tower, grain of a day"], taken["DGL, fused"]),
                "times DGL's fused, with a grain of a day",
                1.5,
                True,
            ),
            "sampler_time_plain": Claim(
                median_ratio(taken["tower"], taken["DGL, plain"]), "times DGL's plain"
            ),
            "sampler_leaks": Claim(leaks, f"leaks in {seen:,} sampled edges", 0, True),
            "sampler_fused_broken": Claim(
                broken(world, run, chosen.seed), "blocks of DGL's fused sampler that are broken"
            ),
        },
        chosen.seed,
    )


def settings_of(grain_hours: int, seed: int) -> GraphSettings:
    return GraphSettings.model_validate(
        {"fan_outs": FAN_OUTS, "batch_size": 1024, "seed": seed, "grain_hours": grain_hours}
    )


def contestants(world: World, run: Run, seed: int) -> dict[str, Callable[[], object]]:
    batches = [run.training.take(index) for index in batches_of(run, BATCHES, seed)]
    peer = Textbook(world.graph, run.settings)

    def of_dgl(fused: bool) -> Callable[[], object]:
        def sample() -> object:
            peer.sampler.fused = fused
            return [peer.sample(batch) for batch in batches]

        return sample

    def of_tower(settings: GraphSettings) -> Callable[[], object]:
        view = run.reading.view
        return lambda: [
            draw(view, run.pairs, batch.seeds, settings, number)
            for number, batch in enumerate(batches)
        ]

    return {
        "DGL, fused": of_dgl(fused=True),
        "DGL, plain": of_dgl(fused=False),
        "tower": of_tower(run.settings),
        "tower, grain of a day": of_tower(settings_of(24, seed)),
    }


def broken(world: World, run: Run, seed: int) -> int:
    """Blocks of one batch in which some type has fewer sources than destinations."""
    peer = Textbook(world.graph, run.settings)
    peer.sampler.fused = True
    batch = run.training.take(batches_of(run, 1, seed)[0])
    return sum(
        any(block.num_src_nodes(t) < block.num_dst_nodes(t) for t in block.ntypes)
        for block in peer.sample(batch).blocks
    )


def leaked(run: Run, wanted: int, seed: int) -> tuple[int, int]:
    """Sampled edges looked at, and those that their label must not see; half with a grain."""
    view, edges = run.reading.view, _Edges.of(run.reading.view)
    order = np.random.default_rng(seed).permutation(len(run.training))
    seen = leaks = 0
    for number, label in enumerate(order):
        if seen >= wanted:
            break
        seeds = run.training.take(np.array([label])).seeds
        settings = settings_of(24 * (number % 2), seed)
        sample = draw(view, run.pairs, seeds, settings, number)
        ends = int(seeds.member_S[0]), int(seeds.job_S[0]), int(seeds.at_S[0])
        for src_E, dst_E, type_E in _ends(sample):
            seen += len(src_E)
            leaks += int((~edges.earlier(src_E, dst_E, type_E, ends[2])).sum())
            own = (src_E == ends[0]) & (dst_E == ends[1]) | (src_E == ends[1]) & (dst_E == ends[0])
            leaks += int(own.sum())
    return seen, leaks


def _ends(sample: Sample) -> list[tuple[Ints, Ints, Ints]]:
    """Global ids of both ends, and the type, of every edge of every hop."""
    sources = [sample.node_U, *(hop.node_R for hop in sample.hops[:-1])]
    return [
        (source[hop.src_E], hop.node_R[hop.row_E], hop.type_E)
        for source, hop in zip(sources, sample.hops, strict=True)
    ]


class _Edges:
    """The earliest moment after which each (source, destination, type) is seen, looked up in a
    plain sorted list: nothing of the sampler's own search."""

    def __init__(self, key_E: Ints, after_E: Ints, nodes: int, types: int) -> None:
        order = np.lexsort((after_E, key_E))
        self.key_E, self.after_E = key_E[order], after_E[order]
        self.nodes, self.types = nodes, types

    @classmethod
    def of(cls, view: View) -> "_Edges":
        nodes, types = int(view.bounds[-1]), 1 + max(int(t.max()) for t in view.type_of)
        keys = []
        for relation, type_of in zip(view.relations, view.type_of, strict=True):
            low, high = view.span(relation.dst_type)
            dst_E = np.repeat(np.arange(low, high), np.diff(relation.indptr_N1))
            keys.append((relation.src_E * nodes + dst_E) * types + type_of[relation.kind_E])
        after = [relation.after_E for relation in view.relations]
        return cls(np.concatenate(keys), np.concatenate(after), nodes, types)

    def earlier(self, src_E: Ints, dst_E: Ints, type_E: Ints, at: int) -> np.ndarray:
        """Whether there is such an edge that is seen before `at`."""
        key = (src_E * self.nodes + dst_E) * self.types + type_E
        place = np.minimum(np.searchsorted(self.key_E, key), len(self.key_E) - 1)
        return (self.key_E[place] == key) & (self.after_E[place] < at)


if __name__ == "__main__":
    main()
