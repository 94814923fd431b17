"""
The only module that imports dgl (1.1.3, the last that runs on current torch): its loader, which
draws batches in this process. DGL's attention kernels took two to three times as long as ours
(`kernels`, benchmarks/graph_train.py).

Graphs are int64 throughout: DGL silently corrupts blocks of int32 graphs from the second batch on.
The two variables below are the exception to "no environment": without them DGL is 20 to 60 times
slower on a busy machine, and asks for its backend in a file of the user's home folder.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DGLBACKEND", "pytorch")

import dgl
import dgl.dataloading
import numpy as np
import torch
from torch import Tensor

from star_features.errors import DataError
from star_features.graph.job_graph import Ints
from star_features.graph.temporal import View

T = TypeVar("T")


def require_int64(graph: dgl.DGLGraph) -> dgl.DGLGraph:
    """Return the graph if its ids are int64; raise DataError otherwise."""
    if graph.idtype != torch.int64:
        raise DataError(
            "DGL graph",
            f"its ids are {graph.idtype}",
            "Wanted torch.int64 (graph.long()): int32 graphs corrupt sampled blocks.",
        )
    return graph


def as_dgl(view: View) -> dgl.DGLGraph:
    """All edges of a view as one homogeneous DGL graph over global node ids."""
    src, dst = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for relation in view.relations:
        low, high = view.span(relation.dst_type)
        src.append(relation.src_E)
        dst.append(np.repeat(np.arange(low, high), np.diff(relation.indptr_N1)))
    ends = torch.from_numpy(np.concatenate(src)), torch.from_numpy(np.concatenate(dst))
    return require_int64(dgl.graph(ends, num_nodes=int(view.bounds[-1])))


@dataclass(frozen=True)
class _Carried(Generic[T]):
    """A drawn batch as DGL's loader wants it: something that can be sent to a device."""

    batch: T

    def to(self, device: torch.device, **_: object) -> "_Carried[T]":
        return self


class _Draw(dgl.dataloading.Sampler, Generic[T]):  # type: ignore[misc]
    """A DGL sampler around a plain function of seed indices."""

    def __init__(self, draw: Callable[[Ints], T]) -> None:
        super().__init__()
        self.draw = draw

    def sample(self, graph: dgl.DGLGraph, indices: Tensor) -> _Carried[T]:
        require_int64(graph)
        return _Carried(self.draw(indices.numpy()))


def batches(
    graph: dgl.DGLGraph, order_S: Ints, batch_size: int, draw: Callable[[Ints], T]
) -> Iterator[T]:
    """Run `draw` on consecutive slices of `order_S`, through DGL's loader, in this process.

    Workers do not pay at this size: moving a block between processes costs more than drawing it.
    """
    loader = dgl.dataloading.DataLoader(
        require_int64(graph),
        torch.from_numpy(order_S),
        _Draw(draw),
        batch_size=batch_size,
        shuffle=False,
        drop_last=False,
        num_workers=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dataloader CPU affinity")
        drawn = iter(loader)
    for carried in drawn:
        yield carried.batch
