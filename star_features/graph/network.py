"""
The network: one projection per node type, attention vectors per edge type, one softmax over all
in-edges of a row, residual, and a unit vector at the end.

A whole `HeteroGraphConv` of one GATConv per edge type was measured at 1.8 to 3.9 times the time
and 2.5 times the parameters (docs: dgl 1.1.3, 2 cores); this form is the reason.

Shapes: U sources of a hop, R rows, E edges, H heads, D width of a head, W = H × D, T edge types.
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from star_features.graph.job_graph import Ints
from star_features.graph.kernels import EdgesByRow, attention
from star_features.graph.settings import GraphSettings
from star_features.graph.temporal import Hop, Sample
from star_features.graph.vocabulary import UNKNOWN, Inputs, Reading, Vocabulary

SMALL = 0.1  # spread of new embeddings and attention vectors, beside text of spread 0.6


class Dense(nn.Linear):
    """A linear layer whose product can be taken in bfloat16, in training only."""

    narrow = False

    def forward(self, h_NW: Tensor) -> Tensor:
        if not (self.narrow and self.training):
            return functional.linear(h_NW, self.weight, self.bias)
        narrow_NW = functional.linear(h_NW.bfloat16(), self.weight.bfloat16())
        wide_NW = narrow_NW.to(h_NW.dtype)
        return wide_NW if self.bias is None else wide_NW + self.bias


class Rows(nn.Module):
    """One vector per known value, told as its difference from the unknown one's.

    Differences begin at zero, so a value that training never met reads as unknown does.
    """

    def __init__(self, known: int, width: int, unknown_rate: float) -> None:
        super().__init__()
        self.unknown = nn.Parameter(SMALL * torch.randn(width))
        self.known = nn.Parameter(torch.zeros(known + 1, width))
        self.unknown_rate = unknown_rate

    def forward(self, code_N: Ints) -> Tensor:
        """Vectors of these codes; in training a share is read as unknown, so that it learns."""
        codes_N = torch.from_numpy(code_N)
        keep_N = codes_N != UNKNOWN
        if self.training:
            keep_N &= torch.rand(len(codes_N)) >= self.unknown_rate
        return self.unknown + keep_N.unsqueeze(1) * functional.embedding(codes_N, self.known)


class NodeInput(nn.Module):
    """From what a node of one type brings with it to the network's width."""

    def __init__(self, node_type: str, vocabulary: Vocabulary, settings: GraphSettings) -> None:
        super().__init__()
        width, columns = settings.hidden, vocabulary.categories.get(node_type, {})
        text_width = vocabulary.text_widths.get(node_type, 0)
        ids = vocabulary.ids.get(node_type)

        def rows(known: tuple[str, ...]) -> Rows:
            return Rows(len(known), width, settings.unknown_rate)

        self.text = Dense(text_width, width, bias=False) if text_width else None
        self.no_text = nn.Parameter(torch.zeros(width)) if text_width else None
        self.bias = nn.Parameter(SMALL * torch.randn(width))
        self.columns = nn.ModuleList(rows(values) for values in columns.values())
        self.id = None if ids is None else rows(ids)

    def forward(self, inputs: Inputs) -> Tensor:
        h_NW = self.bias.expand(len(inputs.has_text_N), -1)
        if self.text is not None and self.no_text is not None and inputs.text_ND is not None:
            text_ND = torch.from_numpy(inputs.text_ND) * self.text.in_features**0.5
            missing_N1 = 1 - torch.from_numpy(inputs.has_text_N).unsqueeze(1)
            h_NW = h_NW + self.text(text_ND) + missing_N1 * self.no_text
        for column, rows in enumerate(self.columns):
            h_NW = h_NW + rows(inputs.category_NK[:, column])
        if self.id is not None and inputs.id_N is not None:
            h_NW = h_NW + self.id(inputs.id_N)
        return h_NW


class ByType(nn.Module):
    """One linear layer per node type, all starting alike; rows are sorted by node."""

    def __init__(self, types: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Dense(width_in, width_out) for _ in range(types))
        for layer in self.layers[1:]:
            layer.load_state_dict(self.layers[0].state_dict())

    def forward(self, h_RW: Tensor, ends_T: list[int]) -> Tensor:
        parts = [
            layer(part) for layer, part in zip(self.layers, torch.split(h_RW, ends_T), strict=True)
        ]
        return torch.cat(parts)


class Attention(nn.Module):
    """One hop: rows read their sources with attention by edge type and add them to themselves.

    Heads that begin with a relation each (a bias of 3 for its edge types) were tried on the demo
    world, against one softmax drowning a job's one company: no gain in AUC.
    """

    def __init__(self, vocabulary: Vocabulary, settings: GraphSettings) -> None:
        super().__init__()
        self.shape = settings.heads, settings.hidden // settings.heads
        types = max(1, len(vocabulary.edge_types))
        self.value = Dense(settings.hidden, settings.hidden, bias=False)
        self.own = ByType(len(vocabulary.node_types), settings.hidden, settings.hidden)
        self.source_THD = nn.Parameter(SMALL * torch.randn(types, *self.shape))
        self.row_THD = nn.Parameter(SMALL * torch.randn(types, *self.shape))
        self.kind_TH = nn.Parameter(torch.zeros(types, settings.heads))
        self.age_TH = nn.Parameter(torch.zeros(types, settings.heads)) if settings.use_age else None
        self.norm = nn.LayerNorm(settings.hidden)
        self.dropout = nn.Dropout(settings.dropout)

    def sources(self, h_UW: Tensor) -> Tensor:
        """What every source offers, once for all rows."""
        return cast(Tensor, self.value(h_UW))

    def rows(self, hop: Hop, value_UW: Tensor, h_RW: Tensor, ends: list[int]) -> Tensor:
        """The rows' next states, from the sources' offers and their own states."""
        own_RW = self.own(h_RW, ends)
        edges = EdgesByRow.of(hop.src_E, hop.row_E, hop.type_E, hop.age_E, len(h_RW))
        age_TH = torch.zeros_like(self.kind_TH) if self.age_TH is None else self.age_TH
        read_RHD = attention(
            value_UW.view(-1, *self.shape),
            own_RW.view(-1, *self.shape),
            self.source_THD,
            self.row_THD,
            self.kind_TH,
            age_TH,
            edges,
        )
        mixed_RW = functional.gelu(self.norm(own_RW + read_RHD.flatten(1)))
        return h_RW + cast(Tensor, self.dropout(mixed_RW))


class GraphModel(nn.Module):
    """The whole network; `settings` and `vocabulary` say what it reads."""

    def __init__(self, vocabulary: Vocabulary, settings: GraphSettings) -> None:
        super().__init__()
        self.vocabulary, self.settings = vocabulary, settings
        types = vocabulary.node_types
        self.inputs = nn.ModuleList(NodeInput(t, vocabulary, settings) for t in types)
        self._start_texts_alike()
        self.layers = nn.ModuleList(Attention(vocabulary, settings) for _ in range(settings.layers))
        self.out = ByType(len(types), settings.hidden, settings.output)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.offset = nn.Parameter(torch.tensor(0.0))
        for module in self.modules():
            if isinstance(module, Dense):
                module.narrow = settings.precision == "bfloat16"

    def _start_texts_alike(self) -> None:
        """Equal text projections: an untrained model compares members and jobs by text."""
        first: dict[int, nn.Linear] = {}
        for module in self.inputs:
            text = cast(NodeInput, module).text
            if text is not None:
                text.load_state_dict(first.setdefault(text.in_features, text).state_dict())

    def ends(self, reading: Reading, node_R: Ints) -> list[int]:
        """How many of these sorted nodes are of each of the model's types."""
        spans = [reading.view.span(t) for t in self.vocabulary.node_types]
        return [int(np.diff(np.searchsorted(node_R, span))[0]) for span in spans]

    def start(self, reading: Reading, node_U: Ints, known_U: NDArray[np.bool_]) -> Tensor:
        """States of sorted nodes before they have read anyone, with their content where known."""
        parts, begin = [], 0
        for module, node_type, count in zip(
            self.inputs, self.vocabulary.node_types, self.ends(reading, node_U), strict=True
        ):
            if count:  # a later graph may lack a whole type
                mine = slice(begin, begin + count)
                row_N = node_U[mine] - reading.view.span(node_type)[0]
                parts.append(module(reading.inputs[node_type].of(row_N, known_U[mine])))
            begin += count
        return torch.cat(parts)

    def finish(self, h_RW: Tensor, ends: list[int]) -> Tensor:
        """Unit vectors of the output width."""
        return functional.normalize(self.out(h_RW, ends), dim=1)

    def forward(self, reading: Reading, sample: Sample) -> tuple[Tensor, Tensor]:
        """Vectors of both ends of every seed of the sample."""
        h_UW = self.start(reading, sample.node_U, sample.known_U)
        for layer, hop in zip(self.layers, sample.hops, strict=True):
            reads = cast(Attention, layer)
            own_RW = h_UW.index_select(0, torch.from_numpy(hop.self_R))
            ends = self.ends(reading, hop.node_R)
            h_UW = reads.rows(hop, reads.sources(h_UW), own_RW, ends)
        vectors_RD = self.finish(h_UW, self.ends(reading, sample.hops[-1].node_R))
        return (
            vectors_RD.index_select(0, torch.from_numpy(sample.member_S)),
            vectors_RD.index_select(0, torch.from_numpy(sample.job_S)),
        )
