"""
Asynchronous reads: a thread for each, against the drivers' own asyncio.

    python -m benchmarks.online_async [--quick]

One member and 500 jobs, 200 and 4,096 wide, asked by 1, 16 and 64 tasks of one event loop:

- thread: `FeatureReader.read_async`, which reads in a thread
- native: the same bytes asked for, decoded the same way, through redis.asyncio (one packed request
  on a pooled connection) and through psycopg's asynchronous pool
- blocking: the read within the loop, for SQLite, which has no asyncio of its own

Requests per second, p99, and how late the loop was (p99 of a task that sleeps a millisecond) while
it all went on. Two minutes; `--quick`: fewer requests, no 64 tasks.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Claim, arguments, median_ratio, report
from benchmarks.online_stores import FAST, open_stores, rows, servers
from star_features.online.columns import Columns, ViewRead
from star_features.online.wire import entity_keys
from star_features.online.writer import write_batches
from star_features.progress import bar
from star_features.serving import FeatureReader
from star_features.serving.decode import decode

JOBS = 500
Read = Callable[[Sequence[str]], Awaitable[object]]
Native = Callable[[Sequence[ViewRead]], Awaitable[list[Columns]]]


@dataclass(frozen=True)
class Crowd:
    """What many tasks met: requests per second, and seconds at p99 of a request and of lateness."""

    per_second: float
    p99: float
    late: float


def main() -> None:
    settings = arguments(__doc__)
    tasks = (1, 16) if settings.quick else (1, 16, 64)
    requests, rounds = (32, 2) if settings.quick else (192, 3)
    table: list[list[Any]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, servers(list(FAST), Path(folder)) as places:
        for kind, place in places.items():
            for width in (200, 4096):
                reader, ids = filled(kind, place, Path(folder), width, settings.seed)
                found = asyncio.run(compared(kind, reader, ids, tasks, requests, rounds))
                judge(kind, width, found, table, claims)
                reader.source.disconnect()
    columns = ["store", "width", "tasks", "who", "requests/s", "p99 ms", "loop late ms"]
    report("one member and 500 jobs, asynchronously", columns, table, claims, settings.seed)


def filled(
    kind: str, place: dict[str, Any], root: Path, width: int, seed: int
) -> tuple[FeatureReader, list[str]]:
    rng = np.random.default_rng(seed)
    fast, _ = open_stores(kind, place, root, width)
    ids = [f"job-{n}" for n in range(1500)]
    for view, key, some in (("member_v1", "member_id", ["m"]), ("job_v1", "job_id", ids)):
        vectors_ND = rng.standard_normal((len(some), width)).astype(np.float32)
        write_batches(fast, view, rows(key, some, vectors_ND).to_batches())
    return FeatureReader(fast), rng.choice(ids, JOBS, replace=False).tolist()


async def compared(
    kind: str,
    reader: FeatureReader,
    jobs: list[str],
    tasks: Sequence[int],
    requests: int,
    rounds: int,
) -> dict[tuple[int, str], list[Crowd]]:
    """Both ways in turn, round by round; both are connected before the clock starts."""
    most = max(tasks)
    async with Other(kind, reader, most) as other:
        ways = {"thread": lambda jobs: reader.read_async("m", jobs), other.name: other.read}
        found: dict[tuple[int, str], list[Crowd]] = {}
        for way in ways.values():
            await asyncio.gather(*(way(jobs) for _ in range(most)))
        with bar(f"{kind}", total=rounds * len(tasks) * len(ways)) as shown:
            for _ in range(rounds):
                for count in tasks:
                    for name, way in ways.items():
                        crowd = await crowded(way, jobs, count, requests)
                        found.setdefault((count, name), []).append(crowd)
                        shown.update()
    return found


async def crowded(way: Read, jobs: Sequence[str], tasks: int, requests: int) -> Crowd:
    taken: list[float] = []
    late: list[float] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - start - 0.001)

    async def ask() -> None:
        for _ in range(max(1, requests // tasks)):
            start = time.perf_counter()
            await way(jobs)
            taken.append(time.perf_counter() - start)

    watcher = asyncio.create_task(watch())
    start = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(tasks)))
    whole = time.perf_counter() - start
    done.set()
    await watcher
    p99, lateness = (float(np.quantile(of, 0.99)) for of in (taken, late))
    return Crowd(len(taken) / whole, p99, lateness)


def judge(
    kind: str,
    width: int,
    found: dict[tuple[int, str], list[Crowd]],
    table: list[list[Any]],
    claims: dict[str, Claim],
) -> None:
    for (tasks, name), crowds in found.items():
        middle = [
            float(np.median([getattr(crowd, what) for crowd in crowds]))
            for what in ("per_second", "p99", "late")
        ]
        table.append([kind, width, tasks, name, middle[0], middle[1] * 1e3, middle[2] * 1e3])
        if name != "thread":
            thread = [crowd.per_second for crowd in found[tasks, "thread"]]
            other = [crowd.per_second for crowd in crowds]
            claims[f"{kind}_{width}_{tasks}_tasks_thread_over_{name}"] = Claim(
                median_ratio(thread, other), "times the requests/s", 1.0
            )


class Other:
    """The other way to read, opened for the while."""

    def __init__(self, kind: str, reader: FeatureReader, most: int) -> None:
        self.kind, self.reader, self.most = kind, reader, most
        self.name = "blocking" if kind == "sqlite" else "native"
        self.store: Any = reader.source.store  # type: ignore[attr-defined]
        self.plan = reader.source.plan(reader.service)  # type: ignore[attr-defined]

    async def __aenter__(self) -> "Other":
        opened = {"sqlite": self._blocking, "redis": self._redis, "postgres": self._postgres}
        self.columns, self.close = await opened[self.kind]()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def read(self, jobs: Sequence[str]) -> object:
        asked = [(side, view) for side in (self.plan.member, self.plan.job) for view in side.views]
        ids = {"member_id": ["m"], "job_id": list(jobs)}
        reads = [
            ViewRead(view.table, view.features, entity_keys(side.join_key, ids[side.join_key]))
            for side, view in asked
        ]
        member, job = await self.columns(reads)
        return decode(self.plan.member, ["m"], [member]), decode(self.plan.job, jobs, [job])

    async def _blocking(self) -> tuple[Native, Callable[[], Awaitable[None]]]:
        online = self.store._get_provider().online_store

        async def columns(reads: Sequence[ViewRead]) -> list[Columns]:
            await asyncio.sleep(0)
            read: list[Columns] = online.read_columns(self.store.config, reads)
            return read

        async def close() -> None:
            pass

        return columns, close

    async def _redis(self) -> tuple[Native, Callable[[], Awaitable[None]]]:
        from redis.asyncio import BlockingConnectionPool

        from star_features.online.redis import _asks, _columns

        host, _, port = self.store.config.online_store.connection_string.partition(":")
        pool = BlockingConnectionPool(
            max_connections=self.most, timeout=60, host=host, port=int(port)
        )
        project = self.store.config.project.encode()

        async def columns(reads: Sequence[ViewRead]) -> list[Columns]:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.send_packed_command(b"".join(_asks(r, project) for r in reads))
                replies = [
                    [await connection.read_response(disable_decoding=True) for _ in read.keys]
                    for read in reads
                ]
            finally:
                await pool.release(connection)
            return [_columns(read, got) for read, got in zip(reads, replies, strict=True)]

        return columns, pool.disconnect

    async def _postgres(self) -> tuple[Native, Callable[[], Awaitable[None]]]:
        from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
        from psycopg.types.numeric import Int8BinaryLoader
        from psycopg_pool import AsyncConnectionPool

        from star_features.online import postgres

        settings = self.store.config.online_store
        pool = AsyncConnectionPool(
            conninfo=_get_conninfo(settings),
            min_size=settings.min_conn,
            max_size=settings.max_conn,
            kwargs={**_get_conn_kwargs(settings), "autocommit": True},
            open=False,
        )
        await pool.open()

        async def columns(reads: Sequence[ViewRead]) -> list[Columns]:
            tables = tuple(f"{self.store.config.project}_{read.table}" for read in reads)
            params = [part for read in reads for part in (read.keys, list(read.features))]
            async with pool.connection() as db:
                cursor = db.cursor(binary=True)
                cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)
                await cursor.execute(postgres._read_statement(tables), params, prepare=True)
                found = await cursor.fetchall()
            return postgres._sorted_out(reads, found)

        return columns, pool.close


if __name__ == "__main__":
    main()
