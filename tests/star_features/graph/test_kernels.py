"""The attention kernel is one softmax over a row's edges, and its gradient is that formula's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from star_features.graph import kernels
from star_features.graph.kernels import EdgesByRow, attention


def case(seed, sources=7, rows=5, edges=20, types=3, heads=2, width=3, dtype=torch.float64):
    """Random edges and tensors."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, most, edges) for most in (sources, rows, types))
    by_row = EdgesByRow.of(*drawn, rng.random(edges, dtype=np.float32) * 3, rows)
    torch.manual_seed(seed)
    whole = heads, width
    shapes = (sources, *whole), (rows, *whole), *[(types, *whole)] * 2, *[(types, heads)] * 2
    return [torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes], by_row


def by_formula(tensors, edges):
    """Row by row and head by head, as the docstring of the module says it."""
    value, own, source, row, kind, age = tensors
    heads = kind.shape[1]
    parts = []
    for r in range(len(own)):
        mine = np.flatnonzero(edges.row_E == r)
        for h in range(heads):
            t, years = edges.type_E[mine], torch.from_numpy(edges.age_E[mine]).to(value.dtype)
            read = value[edges.src_E[mine], h]
            score = (read * source[t, h]).sum(1) + row[t, h] @ own[r, h] + kind[t, h]
            score = score + years * age[t, h]
            weight = functional.softmax(functional.leaky_relu(score, 0.2), dim=0)
            parts.append(weight @ read)
    return torch.stack(parts).reshape(own.shape)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.sampled_from([1, 2, 4]))
def test_the_kernel_is_the_formula(seed, edges, heads):
    tensors, by_row = case(seed, edges=edges, heads=heads)
    torch.testing.assert_close(attention(*tensors, by_row), by_formula(tensors, by_row))


def test_the_gradient_is_the_formulas(monkeypatch):
    tensors, by_row = case(3)
    assert torch.autograd.gradcheck(lambda *t: attention(*t, by_row), tensors)
    weights = torch.randn_like(tensors[1])
    wanted = torch.autograd.grad((by_formula(tensors, by_row) * weights).sum(), tensors)
    monkeypatch.setattr(kernels, "_parts", lambda rows: [(0, 2), (2, rows)])
    shared = torch.autograd.grad((attention(*tensors, by_row) * weights).sum(), tensors)
    for got, expected in zip(shared, wanted, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_row_without_edges_reads_zeros_and_large_scores_stay_finite():
    tensors, _ = case(0, rows=3, types=1, heads=1, width=2, dtype=torch.float32)
    edges = (np.array(a) for a in ([0, 1], [1, 1], [0, 0]))
    by_row = EdgesByRow.of(*edges, np.zeros(2, np.float32), 3)
    with torch.no_grad():
        tensors[4].fill_(500.0)
        read = attention(*tensors, by_row)
    assert read[[0, 2]].eq(0).all()
    assert read.isfinite().all()
    assert read[1].ne(0).any()


def test_no_edges_at_all_is_zeros_and_sends_nothing_back():
    tensors, by_row = case(0, edges=0)
    read = attention(*tensors, by_row)
    read.sum().backward()
    assert read.eq(0).all()
    assert all(t.grad.eq(0).all() for t in tensors)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_at_most_the_last_bits(threads, monkeypatch):
    tensors, by_row = case(5, sources=50, rows=400, edges=4_000, width=8, dtype=torch.float32)
    alone = attention(*tensors, by_row)
    monkeypatch.setattr(kernels, "SMALL", 10)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert len(kernels._parts(400)) == threads
        torch.testing.assert_close(attention(*tensors, by_row), alone, atol=0, rtol=0)
    finally:
        torch.set_num_threads(before)
