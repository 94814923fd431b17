"""
Readers during promotions and rollbacks: does anybody meet members of one version with jobs of
another?

    python -m benchmarks.promotion [--quick]

Four reader processes read one member and five jobs, again and again, each renewing its registry
every 50 ms, while two views are promoted and rolled back every 20 ms by a process that is killed
(SIGKILL) and started again as it goes. Native and mapped vectors carry the same space id, so only
their numbers tell them apart: 1 and 2. On SQLite, Redis and Postgres. A reader goes on until it has
also met another version than before often enough.

- ours: services moved in one transaction (`release.repoint`), both sides read from one row
  (`FeatureReader`)
- Feast: services applied one after the other, as `feast apply` does, read by two calls of
  `get_online_features`, member, then jobs

100,000 reads by ours and 10,000 by Feast's client on each store; about ten minutes on two cores.
`--quick`: 2,000 and 400.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common import Claim, arguments, report
from benchmarks.servers import postgres_server, redis_server
from star_features.progress import bar

READERS = 4
RENEW_SECONDS = 0.05
MOVES = 8  # that each reader has to meet
LIFE_SECONDS = 3.0  # of a promoter, before it is killed
PATIENCE_SECONDS = 240.0
JOBS = [f"j{number}" for number in range(5)]
NATIVE, MAPPED = "graph_v1", "graph_v1_from_v2"
VALUES = {NATIVE: 1.0, MAPPED: 2.0}
SERVICES = ("ranker_member", "ranker_job", "ranker")
STORES = {
    "sqlite": "star_features.online.sqlite.FastSqliteOnlineStore",
    "redis": "star_features.online.redis.FastRedisOnlineStore",
    "postgres": "star_features.online.postgres.FastPostgreSQLOnlineStore",
}


@dataclass(frozen=True)
class Place:
    """Where a store and its registry are; enough for any process to open them."""

    kind: str
    root: Path
    online: dict[str, Any]
    registry: str

    @property
    def begun(self) -> Path:
        """There once a promoter has moved a version. A lock would die with the process it is in."""
        return self.root / "begun"

    def open(self) -> Any:
        from feast import FeatureStore, RepoConfig

        return FeatureStore(
            config=RepoConfig(
                project="p",
                provider="local",
                registry={
                    "registry_type": "sql",
                    "path": self.registry,
                    "cache_ttl_seconds": 600,
                    "sqlalchemy_config_kwargs": {"pool_pre_ping": True},
                },
                online_store={"type": STORES[self.kind], **self.online},
                offline_store={"type": "duckdb"},
                entity_key_serialization_version=3,
                repo_path=self.root,
            )
        )


@dataclass
class Seen:
    """What readers met.

    Attributes:
        moves: how often a reader met another version than before.
        refused: pairs that the reader would not hand over.
    """

    native: int = 0
    mapped: int = 0
    mixed: int = 0
    moves: int = 0
    refused: int = 0
    seconds: float = 0.0

    def add(self, other: "Seen") -> "Seen":
        names = self.__dataclass_fields__
        return Seen(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def reads(self) -> int:
        return self.native + self.mapped + self.mixed + self.refused


def main() -> None:
    settings = arguments(__doc__)
    ours, feasts = (2_000, 400) if settings.quick else (100_000, 10_000)
    rows: list[list[object]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, places(Path(folder)) as stores:
        for place in stores:
            fill(place)
            for who, reads in (("ours", ours), ("Feast", feasts)):
                seen = under_promotions(place, who, reads)
                rate = READERS * seen.reads / seen.seconds
                cells = (seen.reads, seen.moves, seen.refused, seen.mixed, round(rate))
                rows.append([place.kind, who, *cells])
                name = f"{place.kind}: mixed pairs, {who}, in {seen.reads:,} reads"
                target = 0.0 if who == "ours" else None
                claims[name] = Claim(seen.mixed, "pairs", target, at_most=True)
    columns = ["store", "readers", "reads", "versions met anew", "refused", "mixed", "reads/s"]
    report("4 readers during promotions and rollbacks", columns, rows, claims, settings.seed)


@contextmanager
def places(folder: Path) -> Iterator[list[Place]]:
    """The three stores; Postgres holds its registry too, as in production."""
    with redis_server(folder) as redis, postgres_server(folder) as postgres:
        url = "postgresql+psycopg://{user}:{password}@/{database}?host={host}&port={port}"
        roots = {kind: folder / kind for kind in STORES}
        for root in roots.values():
            root.mkdir()
        yield [
            Place("sqlite", roots["sqlite"], {"path": str(folder / "online.db")}, in_file(folder)),
            Place("redis", roots["redis"], redis, in_file(roots["redis"])),
            Place("postgres", roots["postgres"], postgres, url.format(**postgres)),
        ]


def in_file(folder: Path) -> str:
    return f"sqlite:///{folder}/registry.db"


def fill(place: Place) -> None:
    """Two pairs of views with their vectors, and the services over the native one.

    A registry in SQLite is put in write-ahead mode for both: without it so many readers shut
    Feast's own apply out for good, and there would be nothing to compare.
    """
    from feast import FeatureService

    from benchmarks.small_feast import embedding_view, entity
    from star_features.online.writer import write_batches

    store = place.open()
    sides = {"member": ["m"], "job": JOBS}
    views = {
        f"{side}_{pair}": embedding_view(
            entity(side), f"{side}_{pair}", place.root / f"{side}_{pair}.parquet", 8
        )
        for side in sides
        for pair in VALUES
    }
    member, job = (views[f"{side}_{NATIVE}"].with_name(f"{side}_star") for side in sides)
    services = [[member], [job], [member, job]]
    made = [FeatureService(name=n, features=f) for n, f in zip(SERVICES, services, strict=True)]
    store.apply([entity("member"), entity("job"), *views.values(), *made])
    if place.registry.startswith("sqlite"):
        with store.registry.write_engine.connect() as db:
            db.exec_driver_sql("PRAGMA journal_mode=WAL")
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    for side, ids in sides.items():
        for pair, value in VALUES.items():
            rows = {
                f"{side}_id": pa.array(ids),
                "vector": pa.array([np.full(8, value, np.float32)] * len(ids)),
                "space": pa.array([f"{side}_graph_v1@a"] * len(ids)),
                "event_timestamp": pa.concat_arrays([at] * len(ids)),
                "created": pa.concat_arrays([at] * len(ids)),
            }
            write_batches(store, f"{side}_{pair}", [pa.record_batch(rows)])


def under_promotions(place: Place, who: str, reads: int) -> Seen:
    """What READERS processes meet together in so many reads, while versions change."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "feast", "star_features.serving"])
    answers = context.Queue()
    readers = [
        context.Process(target=_reader, args=(place, who, reads // READERS, answers), daemon=True)
        for _ in range(READERS)
    ]
    for process in readers:
        process.start()
    seen, left = Seen(), len(readers)
    with bar(f"{place.kind}, {who}", READERS, "reader") as progress:
        while left:
            seen, left = _one_life(context, place, who, readers, answers, seen, left)
            progress.update(READERS - left - progress.n)
    for process in readers:
        process.join()
    return seen


def _one_life(
    context: Any, place: Place, who: str, readers: list[Any], answers: Any, seen: Seen, left: int
) -> tuple[Seen, int]:
    """Start a promoter, take in what readers say meanwhile, and kill it."""
    promoter = context.Process(target=_promoter, args=(place, who), daemon=True)
    place.begun.unlink(missing_ok=True)
    promoter.start()
    _wait_for(place.begun)
    deadline = time.monotonic() + LIFE_SECONDS
    while left and time.monotonic() < deadline:
        while not answers.empty():
            seen, left = seen.add(answers.get()), left - 1
        if any(process.exitcode for process in readers):
            raise RuntimeError("a reader died; its error stands above")
        if promoter.exitcode is not None:
            raise RuntimeError("a promotion failed; its error stands above")
        time.sleep(0.05)
    os.kill(promoter.pid, signal.SIGKILL)  # in the middle of whatever it did
    promoter.join()
    return seen, left


def _promoter(place: Place, who: str) -> None:
    """Promote and roll back for ever."""
    store = place.open()
    while True:
        for pair in (MAPPED, NATIVE):
            (_promote if who == "ours" else _apply)(store, pair)
            place.begun.touch()
            time.sleep(0.02)


def _promote(store: Any, pair: str) -> None:
    from star_features.release.repoint import repoint

    aliases = {f"{side}_star": f"{side}_{pair}" for side in ("member", "job")}
    repoint(store, {"ranker": aliases}, datetime.now(UTC))


def _apply(store: Any, pair: str) -> None:
    """As `feast apply` does: one service, one transaction, after the other."""
    from star_features.store.services import reading

    aliases = {f"{side}_star": f"{side}_{pair}" for side in ("member", "job")}
    for name in SERVICES:
        store.registry.apply_feature_service(reading(store, name, aliases), store.project)


def _reader(place: Place, who: str, reads: int, answers: Any) -> None:
    store = place.open()
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, done), daemon=True)
    renewing.start()
    read = _our_read(store) if who == "ours" else _feast_read(store)
    seen, last = Seen(), 0.0
    _wait_for(place.begun)
    start = time.perf_counter()
    while seen.reads < reads or seen.moves < MOVES:
        if time.perf_counter() - start > PATIENCE_SECONDS and seen.reads >= reads:
            break  # a machine too busy to promote: the figures say so
        met = read()
        if met is None:
            seen.refused += 1
            continue
        member, jobs = met
        if {member} != jobs:
            seen.mixed += 1
            continue
        seen.native += member == VALUES[NATIVE]
        seen.mapped += member == VALUES[MAPPED]
        seen.moves += member != last
        last = member
    seen.seconds = time.perf_counter() - start
    done.set()
    renewing.join()
    answers.put(seen)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _renew(store: Any, done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        store.refresh_registry()


def _our_read(store: Any) -> Any:
    from star_features.errors import SpaceMismatch
    from star_features.serving import FeatureReader

    reader = FeatureReader(store, "ranker")

    def read() -> tuple[float, set[float]] | None:
        try:
            request = reader.read("m", JOBS)
        except SpaceMismatch:
            return None
        jobs = request.jobs["job_star"].vectors_ND[:, 0]
        return float(request.member["member_star"].vectors_ND[0, 0]), set(jobs.tolist())

    return read


def _feast_read(store: Any) -> Any:
    def side(name: str, ids: list[str]) -> list[float]:
        service = store.get_feature_service(f"ranker_{name}", allow_cache=True)
        rows = [{f"{name}_id": key} for key in ids]
        answer = store.get_online_features(service, rows, full_feature_names=True).to_dict()
        return [vector[0] for vector in answer[f"{name}_star__vector"]]

    return lambda: (side("member", ["m"])[0], set(side("job", JOBS)))


if __name__ == "__main__":
    main()
