"""
The main job: from tables to a ranker's score, stage by stage, each skipped when nothing changed.

    star run --data DIR
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipelines import apply, compat, encode, graph, ingest, materialize, rank, training_set
from pipelines.home import Home
from pipelines.receipts import Stage


def stages(home: Home, source: Path, config: Path | None = None) -> list[Callable[[], Stage]]:
    """All stages in order. Build each when its turn comes: it may read what earlier ones made."""
    native, mapped = home.living()
    towers = {"text": encode.stage, "graph": graph.stage}
    return [
        partial(ingest.stage, home, source, config),
        *(partial(towers[pair.kind], home, pair.version) for pair in native),
        *(
            partial(build, home, pair)
            for pair in mapped
            for build in (compat.fit_stage, compat.map_stage)
        ),
        partial(apply.stage, home),
        partial(materialize.stage, home, home.towers()),
        partial(training_set.stage, home, home.towers()),
        partial(rank.stage, home),
    ]
