"""
Gradients of a large batch in the memory of a small one (GradCache, arXiv 2101.06983).

A contrastive loss needs all vectors of a batch at once, but not all graphs: the vectors are made
without graphs, the loss gives the gradient of each vector, and each micro-batch then runs again,
with its graph, to hand its vectors' gradients on. The same gradients, one forward pass more.

Shapes: U texts, D width.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Embed = Callable[[int], Tensor]
"""Number of a micro-batch to its vectors; called twice, it gives the same."""
Terms = Callable[[Tensor], Iterable[Tensor]]
"""Vectors U × D, in the order of the texts, to the terms whose sum is the loss."""


def plain(embed: Embed, parts: Sequence[Sequence[int]], terms: Terms) -> float:
    """Add the loss's gradients to `.grad` with the graph of the whole batch; return the loss.

    Args:
        parts: the rows of each micro-batch, all rows together once.
    """
    made_UD = torch.cat([embed(number) for number in range(len(parts))])
    loss = torch.stack(list(terms(made_UD[_order(parts).argsort()]))).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def cached(embed: Embed, parts: Sequence[Sequence[int]], terms: Terms) -> float:
    """The same as `plain`, with the graph of one micro-batch at a time."""
    order_U = _order(parts)
    loss, grad_UD = _at_vectors(_made(embed, parts)[order_U.argsort()], terms)
    sizes = [len(part) for part in parts]
    for number, grad in enumerate(torch.split(grad_UD[order_U], sizes)):
        torch.autograd.backward(embed(number), grad)
    return loss


@torch.no_grad()
def _made(embed: Embed, parts: Sequence[Sequence[int]]) -> Tensor:
    return torch.cat([embed(number) for number in range(len(parts))])


def _at_vectors(vectors_UD: Tensor, terms: Terms) -> tuple[float, Tensor]:
    """The loss and its gradient at each vector; one term's graph at a time."""
    leaf_UD = vectors_UD.requires_grad_()
    loss = 0.0
    for term in terms(leaf_UD):
        term.backward()  # type: ignore[no-untyped-call]
        loss += float(term.detach())
    assert leaf_UD.grad is not None
    return loss, leaf_UD.grad


def _order(parts: Sequence[Sequence[int]]) -> Tensor:
    """U: the row of each vector as the micro-batches give them."""
    return torch.tensor([row for part in parts for row in part])
