"""
The textbook's network: one GATConv per edge type in a HeteroGraphConv, after DGL's own examples.

    peer = Textbook(world.graph, settings)
    sample = peer.sample(batch)                 # DGL's neighbour sampler, without time
    members_SD, jobs_SD = peer(None, sample)

It reads the same relations with the same fan-outs, and has the same width, heads, layers and output
as the tower it is compared with. Every node type has a weight of its own beside the attention
(DGL's examples call it the self loop), so that leaves have a state to be read in the second layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dgl
import dgl.dataloading
import dgl.nn.pytorch as dglnn
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from star_features.graph.dgl_graph import require_int64
from star_features.graph.job_graph import Ints, JobGraph
from star_features.graph.labels import Labels
from star_features.graph.settings import GraphSettings


@dataclass(frozen=True)
class Blocks:
    """What DGL's sampler gives for a batch, and where each label's ends stand in it."""

    blocks: list[Any]
    member_S: Tensor
    job_S: Tensor


class Layer(nn.Module):
    """One hop: attention by edge type, summed, beside each node's own state."""

    def __init__(self, graph: Any, width_in: int, settings: GraphSettings) -> None:
        super().__init__()
        head = settings.hidden // settings.heads
        by_type = {
            relation: dglnn.GATConv(
                (width_in, width_in), head, settings.heads, allow_zero_in_degree=True
            )
            for _, relation, _ in graph.canonical_etypes
        }
        self.attention = dglnn.HeteroGraphConv(by_type, aggregate="sum")
        self.own = nn.ModuleDict(
            {name: nn.Linear(width_in, settings.hidden) for name in graph.ntypes}
        )

    def forward(self, block: Any, h: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kept = {name: h[name][: block.num_dst_nodes(name)] for name in block.ntypes}
        read = self.attention(block, (h, kept))
        return {
            name: functional.elu(
                self.own[name](kept[name]) + (read[name].flatten(1) if name in read else 0)
            )
            for name in block.ntypes
        }


class Textbook(nn.Module):
    """The whole network over a graph, with its features and its sampler."""

    def __init__(self, graph: JobGraph, settings: GraphSettings) -> None:
        super().__init__()
        self.graph = hetero(graph)
        self.text = {
            name: torch.from_numpy(nodes.text_ND)
            for name, nodes in graph.nodes.items()
            if nodes.text_ND.shape[1]
        }
        width = next(iter(self.text.values())).shape[1]
        self.embedded = nn.ModuleDict(
            {
                name: nn.Embedding(len(nodes), width)
                for name, nodes in graph.nodes.items()
                if name not in self.text
            }
        )
        widths = [width, *[settings.hidden] * (settings.layers - 1)]
        self.layers = nn.ModuleList(Layer(self.graph, each, settings) for each in widths)
        self.out = nn.ModuleDict(
            {name: nn.Linear(settings.hidden, settings.output) for name in ("member", "job")}
        )
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.offset = nn.Parameter(torch.tensor(0.0))
        fan_outs = [
            {
                (src, name, dst): settings.fan_out(_name_of(src, name, dst), hop)
                for src, name, dst in self.graph.canonical_etypes
            }
            for hop in range(settings.layers)
        ]
        # Not fused: DGL 1.1.3's fused sampler gives blocks with fewer sources than destinations
        # where a type has no in-edges, as leaves have none.
        self.sampler = dgl.dataloading.NeighborSampler(fan_outs[::-1], fused=False)
        self.first = {name: graph.offset(name) for name in ("member", "job")}

    def sample(self, batch: Labels) -> Blocks:
        """Blocks for both ends of a batch's labels."""
        ends = {
            name: np.unique(ids - self.first[name], return_inverse=True)
            for name, ids in (("member", batch.seeds.member_S), ("job", batch.seeds.job_S))
        }
        seeds = {name: torch.from_numpy(unique) for name, (unique, _) in ends.items()}
        _, _, blocks = self.sampler.sample_blocks(self.graph, seeds)
        place = {name: torch.from_numpy(inverse) for name, (_, inverse) in ends.items()}
        return Blocks(blocks, place["member"], place["job"])

    def forward(self, _: object, sample: Blocks) -> tuple[Tensor, Tensor]:
        first = sample.blocks[0]
        h = {
            name: self.text[name][first.srcnodes[name].data[dgl.NID]]
            if name in self.text
            else self.embedded[name](first.srcnodes[name].data[dgl.NID])
            for name in first.ntypes
        }
        for layer, block in zip(self.layers, sample.blocks, strict=True):
            h = layer(block, h)
        found = {name: functional.normalize(out(h[name]), dim=1) for name, out in self.out.items()}
        return found["member"][sample.member_S], found["job"][sample.job_S]


def hetero(graph: JobGraph) -> Any:
    """A job graph as DGL's heterogeneous graph, relations by name."""
    edges = {}
    for relation in graph.relations:
        ends = relation.src_type, relation.name.replace(">", "_"), relation.dst_type
        dst_E: Ints = np.repeat(np.arange(len(relation.indptr_N1) - 1), np.diff(relation.indptr_N1))
        src_E = relation.src_E - graph.offset(relation.src_type)
        edges[ends] = torch.from_numpy(src_E), torch.from_numpy(dst_E)
    sizes = {name: len(nodes) for name, nodes in graph.nodes.items()}
    built = require_int64(dgl.heterograph(edges, num_nodes_dict=sizes))
    return built.formats("csc")


def _name_of(src: str, name: str, dst: str) -> str:
    """The relation's own name again, which fan-outs go by."""
    return name.removesuffix(f"_{dst}") + f">{dst}"
