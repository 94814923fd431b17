"""
The tower as its training sets it up, step by step in the hands of a benchmark.

    run = prepared(world, settings)
    model, optimiser = fresh(run)
    step(model, optimiser, run, run.training.take(index), sample)
"""

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from star_features.graph.dgl_graph import as_dgl
from star_features.graph.job_graph import Ints, JobGraph
from star_features.graph.labels import Labels, labels_of, split
from star_features.graph.network import GraphModel
from star_features.graph.objective import task_loss
from star_features.graph.run import Run
from star_features.graph.sampler import Pairs
from star_features.graph.settings import GraphSettings
from star_features.graph.vocabulary import read_graph, vocabulary_of


def prepared(graph: JobGraph, labels: pa.Table, settings: GraphSettings) -> Run:
    """All that a pass needs, as `train_graph` makes it."""
    known, at_S = labels_of(graph, labels, settings)
    training, validation = split(known, at_S, settings)
    reading = read_graph(graph, vocabulary_of(graph, settings))
    pairs = Pairs.of(reading.view)
    return Run(settings, reading, pairs, as_dgl(reading.view), training, validation)


def fresh(graph: JobGraph, run: Run) -> GraphModel:
    """An untrained model of a run."""
    torch.manual_seed(run.settings.seed)
    return GraphModel(vocabulary_of(graph, run.settings), run.settings)


def optimiser_of(model: nn.Module, settings: GraphSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )


def batches_of(run: Run, count: int, seed: int) -> list[Ints]:
    """Batches of labels that lie near each other in time, as a pass reads them."""
    size = run.settings.batch_size
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, max(1, len(run.training) - 4 * size), count)
    return [start + rng.permutation(min(4 * size, len(run.training)))[:size] for start in starts]


def step(
    model: nn.Module, optimiser: torch.optim.Optimizer, run: Run, batch: Labels, sample: object
) -> float:
    """Forward, back, and one step of the optimiser."""
    model.train()
    loss = task_loss(model, run, batch, model(run.reading, sample))  # type: ignore[arg-type]
    assert loss is not None
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss)
