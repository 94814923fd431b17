"""Packed entities: what is unpacked is what was packed, and any safetensors reader may read it."""

import json
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import load

from star_features.errors import StoreError, UsageError
from star_features.serving import Entities, Signal
from star_features.serving.packed import pack, unpack

NOBODY = Entities([], {}, {})
NAMES = st.sampled_from(["job_star", "job_text", "ö"])
SCALARS = st.none() | st.text(max_size=3) | st.integers() | st.booleans() | st.lists(st.integers())


@st.composite
def entities(draw: st.DrawFn) -> Entities:
    count, width = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    signals = {
        name: Signal(
            draw(st.none() | st.just("job_graph_v1@a")),
            rng.standard_normal((count, width)).astype(np.float32),
            rng.random(count) < 0.5,
            rng.integers(-(2**63), 2**63 - 1, count),
            view=f"{name}_v1",
        )
        for name in draw(st.lists(NAMES, unique=True))
    }
    column = st.lists(SCALARS, min_size=count, max_size=count)
    features = draw(st.dictionaries(st.text(max_size=3), column, max_size=2))
    return Entities([f"j{n}" for n in range(count)], signals, features)


@settings(deadline=None, max_examples=25, derandomize=True, database=None)
@given(entities(), entities())
def test_what_is_unpacked_is_what_was_packed(member: Entities, jobs: Entities) -> None:
    found = unpack(pack(member, jobs))
    assert [plain(read) for read in found] == [plain(member), plain(jobs)]
    for read in found:
        for signal in read.signals.values():
            assert signal.vectors_ND.flags.writeable


def plain(read: Entities) -> Any:
    """Everything that an answer says, to be compared: order of the signals too."""
    signals = [
        (
            name,
            s.space,
            s.view,
            a.dtype,
            a.shape,
            a.tolist(),
            s.present_N.tolist(),
            s.event_us_N.tolist(),
        )
        for name, s in read.signals.items()
        for a in [s.vectors_ND]
    ]
    return list(read.ids), signals, dict(read.features)


def test_a_reader_of_safetensors_finds_the_vectors_by_name() -> None:
    signal = Signal("s", np.ones((2, 3), np.float32), np.array([True, False]), np.array([1, 2]))
    tensors = load(pack(NOBODY, Entities(["a", "b"], {"job_star": signal}, {})))
    assert sorted(tensors) == [
        f"jobs/job_star/{part}" for part in ("event_us", "present", "vectors")
    ]
    assert tensors["jobs/job_star/vectors"].tobytes() == np.ones(6, "<f4").tobytes()


def test_bytes_that_are_something_else_are_refused() -> None:
    whole = pack(NOBODY, NOBODY)
    for body in (b"", b"<html>", whole[:-1], json.dumps({"a": 1}).encode()):
        with pytest.raises(StoreError, match="no packed entities"):
            unpack(body)


def test_a_value_that_json_cannot_carry_is_refused() -> None:
    read = Entities(["a"], {}, {"v__seen": [datetime(2026, 1, 1, tzinfo=UTC)]})
    with pytest.raises(UsageError, match="ranker's own process"):
        pack(NOBODY, read)
