"""
Receipts: what a stage read, made and took; and the rule by which it is skipped.

A stage's key is the digest of its name, its settings and the runs of the stages it reads from. A
stage whose key equals its last receipt's, and whose outputs are all there, is skipped. The receipt
is removed before the work begins and written when it is done, so a stage that was killed half-way
simply runs again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import star_features
from pipelines.home import Home
from star_features.catalogue import BETWEEN
from star_features.errors import MissingStage, UsageError
from star_features.files import read_json, write_json
from star_features.spaces import digest

Facts = dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    """One finished run of one stage.

    Attributes:
        stage: its name; `command_of` says which command runs it.
        key: digest of everything that decides its output.
        facts: what it made: rows, widths, space ids, figures.
        seconds: how long it took; the first run's, when this one was skipped.
        skipped: this run found nothing to do.
    """

    stage: str
    key: str
    facts: Facts
    settings: Facts
    seconds: float
    finished: str
    code: str = star_features.__version__
    skipped: bool = field(default=False, compare=False)

    @property
    def run(self) -> str:
        """Which run this was: changes when the stage runs again, even with the same key."""
        return digest([self.key, self.finished])


@dataclass(frozen=True)
class Stage:
    """A stage, ready to run.

    Attributes:
        after: the stages it reads from; each must have a receipt.
        outputs: paths that must exist for its receipt to count.
        whole: asked where its receipt would count: is what it made still there?
    """

    name: str
    settings: Mapping[str, Any]
    after: Sequence[str]
    outputs: Sequence[Path]
    work: Callable[[], Facts]
    whole: Callable[[], bool] = lambda: True

    def key(self, home: Home) -> str:
        before = [read_receipt(home, name).run for name in self.after]
        return digest([self.name, star_features.__version__, dict(self.settings), before])

    def run(self, home: Home, force: bool = False) -> Receipt:
        """Run the stage, or skip it when its inputs have not changed."""
        with only_one(home):
            return self._run(home, force)

    def _run(self, home: Home, force: bool) -> Receipt:
        key = self.key(home)
        last = find_receipt(home, self.name)
        there = last and last.key == key and all(path.exists() for path in self.outputs)
        if last and there and not force and self.whole():
            return Receipt(**(asdict(last) | {"skipped": True}))
        # From here on the outputs are no longer what the last receipt says.
        _path(home, self.name).unlink(missing_ok=True)
        started = time.perf_counter()
        facts = self.work()
        receipt = Receipt(
            stage=self.name,
            key=key,
            facts=facts,
            settings=dict(self.settings),
            seconds=round(time.perf_counter() - started, 2),
            finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        write_json(_path(home, self.name), asdict(receipt), sort_keys=False)
        return receipt


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Hold the home while a stage works: two at once would write the same files.

    Raises:
        UsageError: another process is working in this home.
    """
    home.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.path / ".lock")
    try:
        lock.acquire(timeout=home.patience_s)
    except Timeout:
        raise UsageError(
            f"another star is working in {home.path}: wait for it, or use another STAR_HOME"
        ) from None
    try:
        yield
    finally:
        lock.release()


def find_receipt(home: Home, stage: str) -> Receipt | None:
    """The last receipt of a stage, or None."""
    path = _path(home, stage)
    return Receipt(**read_json(path)) if path.exists() else None


def read_receipt(home: Home, stage: str) -> Receipt:
    """The last receipt of a stage; raises MissingStage with the command to run."""
    receipt = find_receipt(home, stage)
    if receipt is None:
        raise MissingStage(f"the result of `{command_of(stage)}`", command_of(stage))
    return receipt


def command_of(stage: str) -> str:
    """The command that runs a stage: `star graph --version v2` of `graph.v2`."""
    name, _, rest = stage.partition(".")
    kind, _, versions = rest.partition(".")
    old, _, new = versions.partition(BETWEEN)
    if name == "fit":
        return f"star compat fit {kind} {new} {old}"
    if name == "map":
        return f"star compat apply {kind} {old} --from {new}"
    return f"star {name} --version {rest}" if rest else f"star {name}"


def _path(home: Home, stage: str) -> Path:
    return home.receipts / f"{stage}.json"
