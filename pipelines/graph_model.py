"""
A graph model in its folder: trained once, loaded ever after, with the facts that name it.

    model, facts = train_once(graph, labels, settings, folder, checkpoint)
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.receipts import Facts


def train_once(
    graph: Any,
    labels: pa.Table,
    settings: Any,
    folder: Path,
    checkpoint: Path,
    joint: Callable[[], Any] = lambda: None,
) -> tuple[Any, Facts]:
    """Train and save the model unless its folder is whole; load it, with the facts that name it.

    Args:
        joint: gives the older versions to train together with, if it comes to training.
    """
    from star_features.graph.artefact import save_model
    from star_features.graph.train import train_jointly

    if not (folder / "manifest.json").exists():
        trained = train_jointly(graph, labels, settings, joint(), checkpoint)
        save_model(folder, trained.model, trained.report, trained.maps)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return load_trained(folder)


def load_trained(folder: Path) -> tuple[Any, Facts]:
    """A saved model, with the facts that name it."""
    from star_features.graph.artefact import identity_of, load_model, read_manifest

    model, report = load_model(folder)
    return model, report.to_json() | {"sha256": identity_of(read_manifest(folder))}
