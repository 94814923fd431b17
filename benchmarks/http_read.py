"""
One member and hundreds of jobs over HTTP: packed bytes against Feast's JSON.

    python -m benchmarks.http_read [--quick]

One server process of each kind over the same SQLite store, one client, requests in turn:

- packed: `FeatureReader.over_http` of `star serve`
- JSON: `feast serve`, stock, with Feast's own store class; `get-online-features` of the member and
  of the jobs, the vectors as arrays in the end
- JSON, fast store: the same of `feast serve` over our store class
- in process: `FeatureReader` over our store, for what the wire costs

200 and 4,096 wide, 100 and 500 jobs; then requests per second and p99 of 1, 4 and 16 threads,
packed against JSON. Eight minutes; `--quick`: 200 wide and 500 jobs only, fewer rounds.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, seconds
from benchmarks.feature_server import started, write_repo
from benchmarks.online_stores import FAST, open_stores, rows
from star_features.online.writer import write_batches
from star_features.progress import bar
from star_features.serving import FeatureReader

JOBS = 1000
FASTER_THAN_JSON = {200: 4.0, 4096: 8.0}
SERVERS = {"packed": ("star", FAST["sqlite"]), "JSON": ("feast", "sqlite")}
SERVERS["JSON, fast store"] = ("feast", FAST["sqlite"])
NO_RECYCLING = ["--max-requests", "0"]  # feast serve: else a worker ends after a thousand requests


def main() -> None:
    settings = arguments(__doc__)
    counts = (500,) if settings.quick else (100, 500)
    widths = (200,) if settings.quick else (200, 4096)
    rounds = 5 if settings.quick else 30
    table: list[list[Any]] = []
    claims: dict[str, Claim] = {}
    crowd_table: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for width in widths:
            with ExitStack() as stack:
                ways = opened(Path(folder), width, settings.seed, stack)
                for count in counts:
                    judge(width, count, ways, rounds, table, claims)
                if width == 200:
                    crowd_table += crowds(ways, 64 if settings.quick else 640, claims)
    columns = ["width", "jobs", "who", "median ms", "p99 ms"]
    report("over HTTP", columns, table + crowd_table, claims, settings.seed)


def opened(
    folder: Path, width: int, seed: int, stack: ExitStack
) -> dict[str, Callable[[list[str]], object]]:
    """A way to read for each contestant, its server answering."""
    place = {"path": str(folder / f"online-{width}.db")}
    fast, _ = open_stores("sqlite", place, folder, width)
    rng = np.random.default_rng(seed)
    ids = [f"job-{n}" for n in range(JOBS)]
    for view, key, some in (("member_v1", "member_id", ["m"]), ("job_v1", "job_id", ids)):
        vectors_ND = rng.standard_normal((len(some), width)).astype(np.float32)
        write_batches(fast, view, rows(key, some, vectors_ND).to_batches())
    starting = {}
    for name, (command, kind) in SERVERS.items():
        repo = write_repo(
            folder / f"{name}-{width}",
            registry=folder / f"sqlite-{width}",
            online={"type": kind, **place},
            project=f"bench{width}",
        )
        options = NO_RECYCLING if command == "feast" else []
        starting[name] = stack.enter_context(started(command, repo, *options))
    with bar("servers start", total=len(starting)) as shown:
        urls = {}
        for name, url in starting.items():
            urls[name] = url()
            shown.update()
    packed = FeatureReader.over_http(urls["packed"])
    within = FeatureReader(fast)
    return {
        "packed": lambda jobs: packed.read("m", jobs),
        **{name: feasts_way(urls[name]) for name in SERVERS if name != "packed"},
        "in process": lambda jobs: within.read("m", jobs),
    }


def feasts_way(url: str) -> Callable[[list[str]], object]:
    """Feast's own route, as a client would ask it, with one pool of open connections."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=64)

    def ask(side: str, ids: list[str]) -> object:
        body = {"feature_service": f"ranker_{side}", "entities": {f"{side}_id": ids}}
        answer = pool.request("POST", f"{url}/get-online-features", json=body).json()
        place = answer["metadata"]["feature_names"].index("vector")
        return np.asarray(answer["results"][place]["values"], dtype=np.float32)

    return lambda jobs: (ask("member", ["m"]), ask("job", jobs))


def judge(
    width: int,
    count: int,
    ways: dict[str, Callable[[list[str]], object]],
    rounds: int,
    table: list[list[Any]],
    claims: dict[str, Claim],
) -> None:
    rng = np.random.default_rng(count)
    with bar(f"{width}-d, {count} jobs", total=rounds + 1) as shown:

        def asked(way: Callable[[list[str]], object]) -> Callable[[], object]:
            return lambda: way([f"job-{n}" for n in rng.choice(JOBS, count, replace=False)])

        contestants = {name: asked(way) for name, way in ways.items()}
        interleaved(contestants, 1)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, once in interleaved(contestants, 1).items():
                taken[name] += once
            shown.update()
    for name, times in taken.items():
        milliseconds = [float(np.quantile(times, q)) * 1e3 for q in (0.5, 0.99)]
        table.append([width, count, name, *milliseconds])
    case = f"{width}_{count}"
    claims[f"packed_faster_than_json_{case}"] = Claim(
        median_ratio(taken["JSON"], taken["packed"]), "times", FASTER_THAN_JSON[width]
    )
    claims[f"packed_over_in_process_{case}"] = Claim(
        median_ratio(taken["packed"], taken["in process"]), "times"
    )


def crowds(
    ways: dict[str, Callable[[list[str]], object]], requests: int, claims: dict[str, Claim]
) -> list[list[Any]]:
    """Requests per second and p99 of several threads asking one server process."""
    jobs = [f"job-{n}" for n in range(100)]
    table: list[list[Any]] = []
    for threads in (1, 4, 16):
        for name in ("packed", "JSON"):
            whole, taken = crowded(ways[name], jobs, threads, requests)
            p50, p99 = (float(np.quantile(taken, q)) * 1e3 for q in (0.5, 0.99))
            table.append([200, 100, f"{name}, {threads} threads", p50, p99])
            claims[f"{name}_{threads}_threads_requests"] = Claim(requests / whole, "1/s")
    return table


def crowded(
    way: Callable[[list[str]], object], jobs: list[str], threads: int, requests: int
) -> tuple[float, list[float]]:
    """Seconds of all requests together, and of each."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        taken = list(pool.map(lambda _: seconds(lambda: way(jobs)), range(requests)))
        return time.perf_counter() - start, taken


if __name__ == "__main__":
    main()
