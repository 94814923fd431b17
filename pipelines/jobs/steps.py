"""
The steps of a job. Each runs alone, is idempotent, and goes on where a killed one stopped.

    refresh    the tables are read anew; entities that are gone are buried and go offline
    encode     texts that changed, in every text version
    graph      a version without a model is trained, once; vectors as of each week and of now
    map        maps are fitted once; new rows are told in the languages of older versions
    write      definitions are applied, and what is pending goes online
    verify     what was written is read back: every row, or those written first and last
    publish    an event for each view that changed: whoever waits for a batch may read it now
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.home import Home
from pipelines.jobs.settings import Schedule
from pipelines.receipts import Facts, Receipt, Stage, find_receipt
from star_features.errors import MissingStage, UsageError


@dataclass(frozen=True)
class Turn:
    """What a step is given."""

    home: Home
    schedule: Schedule
    force: bool = False
    """Do it even where nothing changed."""


Step = Callable[[Turn], Facts]


def step_of(name: str) -> Step:
    """A step of ours by its name, or anybody's by `package.module:function`.

    Raises:
        UsageError: there is none.
    """
    if name in OURS:
        return OURS[name]
    module, _, function = name.partition(":")
    try:
        found: Step = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"no step {name!r} ({error}); known: {', '.join(OURS)}") from error
    return found


def refresh(turn: Turn) -> Facts:
    from pipelines import ingest

    last = find_receipt(turn.home, "ingest")
    data = turn.schedule.data or (last and last.settings["source"])
    config = turn.schedule.config or (last and last.settings["config"])
    if not data:
        raise MissingStage("a source of tables", "star ingest --data DIR")
    told = Path(config) if config else None
    stage = ingest.stage(turn.home, Path(data), told, all_gone=turn.force)
    return _facts([stage.run(turn.home, turn.force)])


def encode(turn: Turn) -> Facts:
    from pipelines import encode as job

    versions = turn.home.catalogue().text
    return _run(turn, (partial(job.stage, turn.home, version) for version in versions))


def graph(turn: Turn) -> Facts:
    from pipelines import graph as job

    versions = turn.home.catalogue().graph
    return _run(turn, (partial(job.stage, turn.home, version) for version in versions))


def map_(turn: Turn) -> Facts:
    from pipelines import compat

    pairs = turn.home.catalogue().mapped_pairs()
    fits = _run(turn, (partial(compat.fit_stage, turn.home, pair) for pair in pairs), force=False)
    return fits | _run(turn, (partial(compat.map_stage, turn.home, pair) for pair in pairs))


def write(turn: Turn) -> Facts:
    from pipelines import apply, materialize

    home = turn.home
    applied = _facts([apply.stage(home).run(home)])
    online = materialize.stage(home, home.towers(), look=True, everything=turn.force)
    return applied | _facts([online.run(home, turn.force)])


def verify(turn: Turn) -> Facts:
    from pipelines import materialize

    return materialize.verify(turn.home, every_row=turn.schedule.verify_all or turn.force)


def publish(turn: Turn) -> Facts:
    from pipelines.jobs.publish import publish as job

    return job(turn.home)


OURS: dict[str, Step] = {
    "refresh": refresh,
    "encode": encode,
    "graph": graph,
    "map": map_,
    "write": write,
    "verify": verify,
    "publish": publish,
}


def _run(turn: Turn, builds: Iterable[Callable[[], Stage]], force: bool | None = None) -> Facts:
    forced = turn.force if force is None else force
    return _facts([build().run(turn.home, forced) for build in builds])


def _facts(receipts: list[Receipt]) -> Facts:
    """Of each stage how long it took, or that it had nothing to do; and its counts."""
    return {receipt.stage: _told(receipt) for receipt in receipts}


def _told(receipt: Receipt) -> Any:
    if receipt.skipped:
        return "skipped"
    counts = {name: value for name, value in receipt.facts.items() if isinstance(value, int)}
    return {"seconds": receipt.seconds, **counts}
