"""
Audit: source, ledger, history and online store of every view, compared; and mended if asked.

    star audit [--view job_text_v1] [--sample 1000] [--repair]

`--repair` mends exactly what was found: files, history, ledger and online store by themselves; what
must be computed anew by the ordinary stages, which leave alone what is right. Done twice, it finds
nothing the second time. docs/audit-and-erase.md says what is found, and how.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.audit_sources import views
from pipelines.home import Home
from pipelines.receipts import Facts, find_receipt, only_one
from pipelines.recording import now_us, opened
from star_features.audit.bench import Bench
from star_features.audit.judge import Asked, ViewReport, audit_view, confirm
from star_features.audit.mend import Mender
from star_features.catalogue import ENTITIES
from star_features.errors import UsageError
from star_features.ledger.ledger import Ledger
from star_features.progress import track
from star_features.store.feast_store import config_path, fingerprint, open_store
from star_features.tables.canonical import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

SHOWN = 1_000
"""Findings of each view that are named one by one."""
ROUNDS = 3
"""A mapped view can be judged only once the view that fills it is right."""


@dataclass
class Audit:
    """
    What an audit found, and what a repair did.

    Attributes:
        views: a report for each view that was audited.
        skipped: by view, why it was not.
        named: by view, the first findings: id, kind, layer and cure.
        mended: by view, what was done, over all rounds.
        before: how many findings there were before anything was mended.
    """

    views: list[ViewReport] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    named: dict[str, list[tuple[str, str, str, str]]] = field(default_factory=dict)
    mended: dict[str, Counter[str]] = field(default_factory=dict)
    before: int = 0
    online: bool = True
    sample: int | None = None

    @property
    def findings(self) -> int:
        return sum(report.findings.total() for report in self.views)

    def to_json(self) -> Facts:
        """What `star audit --json` prints; it names entities, so mind where it goes."""
        return {
            "sound": self.findings == 0,
            "findings": self.findings,
            "findings_before_repair": self.before,
            "sample": self.sample,
            "online": self.online,
            "views": {report.view: self._view(report) for report in self.views},
            "skipped": self.skipped,
        }

    def _view(self, report: ViewReport) -> Facts:
        counts = [
            {"kind": kind, "layer": layer, "cure": cure, "count": count}
            for (kind, layer, cure), count in sorted(report.findings.items())
        ]
        named = [
            {"id": id, "kind": kind, "layer": layer, "cure": cure}
            for id, kind, layer, cure in self.named.get(report.view, [])
        ]
        mended = dict(self.mended.get(report.view, {}))
        facts = {"entities": report.entities, "findings": counts, "named": named}
        return facts | ({"mended": mended} if mended else {})


def run(
    home: Home,
    *,
    only: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
    repair: bool = False,
    all_orphans: bool = False,
) -> Audit:
    """Audit every view, or only some; of all entities, or of a sample drawn by the seed.

    Args:
        all_orphans: remove orphans however many they are.

    Raises:
        UsageError: no view of that name; or, to repair, another process works in this home.
    """
    _refuse_unknown(home, only)
    audit = _look(home, only, sample, seed)
    audit.before = audit.findings
    for _ in range(ROUNDS if repair and audit.findings else 0):
        mended = _repair(home, only, sample, seed, all_orphans)
        again = _look(home, only, sample, seed)
        again.before, again.mended = audit.before, _sum(audit.mended, mended)
        stuck = again.findings == audit.findings and again.named == audit.named
        audit = again
        if not audit.findings or stuck:
            break
    return audit


def _look(home: Home, only: Sequence[str], sample: int | None, seed: int) -> Audit:
    with _open(home) as (ledger, bench, store):
        found = views(home, ledger, bench, only)
        audit = Audit(skipped=found.skipped, online=store is not None, sample=sample)
        for asked, report in _reports(home, ledger, bench, store, found.asked, sample, seed):
            audit.views.append(report)
            if report.findings:
                audit.named[asked.view] = bench.named(asked.view, SHOWN)
        return audit


def _repair(
    home: Home, only: Sequence[str], sample: int | None, seed: int, all_orphans: bool
) -> dict[str, Counter[str]]:
    """One round: look again, under the lock of the home, and mend what is found."""
    mended: dict[str, Counter[str]] = {}
    with _open(home) as (ledger, bench, store):
        with only_one(home):
            found = views(home, ledger, bench, only)
            place = fingerprint(home.path) if store else ""
            mender = Mender(bench, ledger, store, place, now_us(), home.path / "damaged")
            reports = list(_reports(home, ledger, bench, store, found.asked, sample, seed))
            wrong = [(asked, report) for asked, report in reports if report.findings]
            for asked, report in wrong:
                held = 0 if all_orphans else mender.hold_back(asked, report)
                mended[asked.view] = mender.mend(asked, report)
                if held:
                    mended[asked.view]["orphans held back: --all-orphans removes them"] = held
        _erase(home, bench)
        for name, stage in _stages(home, [a.view for a, r in wrong if _wants(r, "compute")]):
            stage()
            mended.setdefault(name, Counter())["computed anew by its stage"] += 1
        with only_one(home):
            for asked, _ in wrong:
                mended[asked.view] += mender.finish(asked)
    return mended


def _reports(
    home: Home,
    ledger: Ledger,
    bench: Bench,
    store: "FeatureStore | None",
    asked: Sequence[Asked],
    sample: int | None,
    seed: int,
) -> Iterator[tuple[Asked, ViewReport]]:
    """Every view judged, and what was found there looked at again."""
    drawn = {} if sample is None else _drawn(home, bench, sample, seed)
    for one in track(asked, "audit", len(asked), "view"):
        report = audit_view(bench, ledger, store, one, drawn.get(one.entity))
        yield one, confirm(bench, ledger, store, one, report)


def _drawn(home: Home, bench: Bench, sample: int, seed: int) -> dict[str, list[str]]:
    """`sample` entities of each kind, the same for every view."""
    tables, drawn = Tables(home.tables), dict[str, list[str]]()
    for entity in ENTITIES:
        file = str(tables.path(f"{entity}s")).replace("'", "''")
        rows = bench.db.execute(
            f"SELECT {entity}_id FROM read_parquet('{file}') "
            f"ORDER BY md5(concat_ws('|', $seed, {entity}_id)) LIMIT $sample",
            {"seed": seed, "sample": sample},
        )
        drawn[entity] = [row[0] for row in rows.fetchall()]
    return drawn


def _erase(home: Home, bench: Bench) -> None:
    """Whoever was erased and is still, or again, somewhere."""
    from pipelines import erase

    for entity in ENTITIES:
        named = "SELECT DISTINCT id FROM finding WHERE cure = 'erase' AND starts_with(view, $view)"
        rows = bench.db.execute(f"{named} ORDER BY id", {"view": f"{entity}_"})
        if ids := [row[0] for row in rows.fetchall()]:
            erase.run(home, entity, ids, why="found by an audit", anyway=True)


def _stages(home: Home, wanted: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What computes these views anew, in the order of a run; each with one of its views."""
    from pipelines import compat, encode, graph

    if not wanted:
        return
    yield wanted[0], lambda: _refresh(home)
    catalogue = home.catalogue()
    for pair in [*catalogue.native_pairs(), *catalogue.mapped_pairs()]:
        mine = [view for view in wanted if view in [pair.view(entity) for entity in ENTITIES]]
        if not mine:
            continue
        if pair.filled_by:
            stage = compat.map_stage(home, pair)
        else:
            job = encode if pair.kind == "text" else graph
            stage = job.stage(home, pair.version)
        yield mine[0], lambda stage=stage: stage.run(home, force=True)  # type: ignore[misc]


def _refresh(home: Home) -> None:
    """Tables with what events told since, and the categorical features that follow from them."""
    from pipelines import ingest

    last = find_receipt(home, "ingest")
    if last is None or not Path(last.settings["source"]).exists():
        return
    config = last.settings["config"]
    ingest.stage(home, Path(last.settings["source"]), Path(config) if config else None).run(
        home, force=True
    )


def _wants(report: ViewReport, cure: str) -> bool:
    return any(found == cure for _, _, found in report.findings)


def _sum(before: dict[str, Counter[str]], more: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    names = {*before, *more}
    return {name: before.get(name, Counter()) + more.get(name, Counter()) for name in sorted(names)}


def _refuse_unknown(home: Home, only: Collection[str]) -> None:
    known = [*home.catalogue().views(), *(f"{entity}_attributes" for entity in ENTITIES)]
    if unknown := sorted(set(only) - set(known)):
        raise UsageError(f"no view {', '.join(unknown)}; known: {', '.join(known)}")


@contextmanager
def _open(home: Home) -> Iterator[tuple[Ledger, Bench, "FeatureStore | None"]]:
    """The ledger, a bench, and the online store where one was applied."""
    store = open_store(home.repo, home.path) if config_path(home.path).exists() else None
    folder = home.path / f".audit.{os.getpid()}.tmp"
    with opened(home) as ledger, Bench(folder) as bench:
        yield ledger, bench, store
