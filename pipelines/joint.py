"""
Joint training in a home: what spaces.toml asks for, and what older models said of the same window.

    [graph.v2.compat]
    targets = ["v1"]    # versions that rankers still read
    weight = 2.0        # the dial; 0 trains v2 alone

Each target is read from its own model, with the text of its own version. Without a model of it
there is nothing to stay close to: train it first, or take it off the list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.home import Home
from pipelines.receipts import Facts
from star_features.catalogue import GraphVersion, SpacePair
from star_features.progress import track


def targets_of(wanted: GraphVersion) -> tuple[str, ...]:
    """The older versions that one is trained together with; none at weight 0."""
    return wanted.compat.targets if wanted.compat and wanted.compat.weight else ()


def asked(wanted: GraphVersion) -> Facts | None:
    """What spaces.toml asks for, as a model's report has it."""
    return wanted.compat.model_dump(mode="json") if wanted.compat and targets_of(wanted) else None


@dataclass(frozen=True)
class Older:
    """An older version: its model, the graph as it reads it, and the ids of its spaces."""

    model: Any
    graph: Any
    spaces: dict[str, str]


def joint_of(
    wanted: GraphVersion,
    graph: Any,
    labels: pa.Table,
    settings: Any,
    older: Callable[[str], Older],
) -> Any:
    """What older models said of the training window; None for a version that is trained alone."""
    from star_features.graph.joint import Joint, moments_of, target_of

    if wanted.compat is None or not targets_of(wanted):
        return None
    moments = moments_of(graph, labels, settings, wanted.compat)
    targets = []
    for name in track(wanted.compat.targets, "older versions", unit="version"):
        old = older(name)
        targets.append(target_of(name, old.spaces, old.model, old.graph, moments, wanted.compat))
    return Joint(wanted.compat, tuple(targets))


def trained_weight(home: Home, pair: SpacePair, target: str) -> Any:
    """Weight of the map into a space that the newer version was trained with; None without one."""
    folder = home.model(f"{pair.kind}_{pair.filled_by}")
    if pair.kind != "graph" or not (folder / "maps.safetensors").exists():
        return None
    from star_features.graph.artefact import load_maps

    found = load_maps(folder).get(target)
    return None if found is None else found[0]
