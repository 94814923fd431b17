"""
The main job: from tables to a ranker's score, stage by stage, each skipped when nothing changed.

    star run --data DIR
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import apply, encode, graph, ingest, materialize, rank, training_set
from pipelines.home import Home
from pipelines.receipts import Receipt, Stage


def stages(home: Home, source: Path, config: Path | None = None) -> list[Callable[[], Stage]]:
    """All stages in order. Each is built when its turn comes: it may read what earlier ones made."""
    catalogue = home.catalogue()
    towers = [f"encode.{v}" for v in catalogue.text] + [f"graph.{v}" for v in catalogue.graph]
    return [
        lambda: ingest.stage(home, source, config),
        *(_bind(encode.stage, home, version) for version in catalogue.text),
        *(_bind(graph.stage, home, version) for version in catalogue.graph),
        lambda: apply.stage(home),
        lambda: materialize.stage(home, towers),
        lambda: training_set.stage(home, towers),
        lambda: rank.stage(home),
    ]


def run(
    home: Home, source: Path, config: Path | None = None, on_start: Callable[[str], None] = print
) -> Iterator[Receipt]:
    """Run every stage in order, yielding each receipt as it comes.

    Args:
        on_start: called with a stage's name before it works or is skipped.
    """
    for build in stages(home, source, config):
        stage = build()
        on_start(stage.name)
        yield stage.run(home)


def _bind(make: Callable[[Home, str], Stage], home: Home, version: str) -> Callable[[], Stage]:
    return lambda: make(home, version)
