"""A snapshot's vectors: the graph as of one day, and nobody's later content but one's own."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import torch

from pipelines.graph import Moment, _snapshot
from star_features.graph.build import build_graph
from star_features.graph.network import GraphModel
from star_features.graph.settings import GraphSettings
from star_features.graph.vocabulary import vocabulary_of
from star_features.spaces import VectorTable

US = pa.timestamp("us", "UTC")
EDITS = [1, 11, 12, 20]  # days of January; the moment is the tenth, the next one the seventeenth


def january(day):
    return datetime(2026, 1, day, tzinfo=UTC)


def members():
    times = pa.array([january(d) for d in EDITS], US)
    return pa.table({"member_id": ["old", "new", "newer", "next week"], "updated_at": times})


def vectors_of(changed=None):
    """Every member's vector and time; all four have taken job j on the second of January."""
    text_ND = np.eye(4, dtype=np.float32)
    if changed is not None:
        text_ND[changed] = 0.5
    ids = members()["member_id"]
    graph = build_graph(
        members(),
        pa.table({"job_id": ["j"], "updated_at": pa.array([january(1)], US)}),
        {"member": VectorTable("member_text_v1@t", np.array(ids.to_pylist()), text_ND)},
        interactions=pa.table(
            {
                "member_id": ids,
                "job_id": ["j"] * 4,
                "kind": ["view"] * 4,
                "at": pa.array([january(2)] * 4, US),
            }
        ),
    )
    settings = GraphSettings(hidden=8, heads=2, output=6, fan_outs=(3, 3))
    torch.manual_seed(0)
    model = GraphModel(vocabulary_of(graph, settings), settings).eval()
    moment = Moment(january(10), january(17), np.datetime64("2026-01-10", "us"))
    rows = _snapshot(model, graph, "member", members(), moment, {"sha256": "0" * 64})
    times = rows["event_timestamp"].to_pylist()
    return np.stack(rows["vector"].to_pylist()), dict(
        zip(rows["id"].to_pylist(), times, strict=True)
    )


def test_a_snapshot_has_all_who_are_there_before_the_next_one_each_at_their_time():
    assert vectors_of()[1] == {"old": january(10), "new": january(11), "newer": january(12)}


def test_a_later_text_is_in_ones_own_vector_and_in_nobody_elses():
    before, _ = vectors_of()
    for row in (1, 2):
        after, _ = vectors_of(changed=row)
        same = np.abs(after - before).max(axis=1) == 0
        assert same.tolist() == [i != row for i in range(3)]
    np.testing.assert_array_equal(vectors_of(changed=3)[0], before)
