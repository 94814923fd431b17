"""
The tower's attention from DGL's own kernels (edge_softmax, u_mul_e_sum): a peer for ours.

    with mock.patch("star_features.graph.network.attention", attention_of_dgl): ...
"""

import dgl
import dgl.ops
import torch
from torch import Tensor
from torch.nn import functional

from star_features.graph.kernels import SLOPE, EdgesByRow


def attention_of_dgl(
    value_UHD: Tensor,
    own_RHD: Tensor,
    source_THD: Tensor,
    row_THD: Tensor,
    kind_TH: Tensor,
    age_TH: Tensor,
    edges: EdgesByRow,
) -> Tensor:
    """The same as `star_features.graph.kernels.attention`; scores by node and type first, as is
    cheapest here."""
    types = len(kind_TH)
    source_UtH = torch.einsum("uhd,thd->uth", value_UHD, source_THD)
    row_RtH = torch.einsum("rhd,thd->rth", own_RHD, row_THD)
    src_E, row_E = torch.from_numpy(edges.src_E), torch.from_numpy(edges.row_E)
    type_E = torch.from_numpy(edges.type_E)
    score_EH = (
        source_UtH.flatten(0, 1).index_select(0, src_E * types + type_E)
        + row_RtH.flatten(0, 1).index_select(0, row_E * types + type_E)
        + kind_TH.index_select(0, type_E)
        + torch.from_numpy(edges.age_E).unsqueeze(1) * age_TH.index_select(0, type_E)
    )
    score_EH1 = functional.leaky_relu(score_EH, SLOPE).unsqueeze(-1)
    block = dgl.create_block(
        (src_E, row_E), num_src_nodes=len(value_UHD), num_dst_nodes=len(own_RHD)
    )
    weight_EH1 = dgl.ops.edge_softmax(block, score_EH1)
    read_RHD: Tensor = dgl.ops.u_mul_e_sum(block, value_UHD, weight_EH1)
    return read_RHD
