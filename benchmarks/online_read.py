"""
Reading one member and hundreds of jobs, against Feast's own read and the bare driver.

    python -m benchmarks.online_read [--quick]

Contestants, on the same data and in the same run, on SQLite, Redis and Postgres:

- SDK: `FeatureReader.read` over our store: vectors, space, presence and times, in arrays
- mapped: the same of views that are filled through a map
- to_dict: Feast's `get_online_features(...).to_dict()` with Feast's own store, member, then jobs
- proto: the same response, its float lists taken from the proto into numpy
- to_dict, ours: Feast's call over our store class
- floor: packed float32 under one key from the bare driver, pipelined, `np.frombuffer`, member, then
  jobs; *at once* (Redis) is one MGET for all, which a row of several features cannot have

Then 1, 4 and 16 threads on one reader, 200 wide and 100 jobs: requests per second and p99; and how
much the process grows over 100,000 requests of 10 jobs.

Half an hour on two quiet cores. `--quick`: 200 and 4,096 wide, 500 jobs, fewer rounds and requests,
within a minute.
"""

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, seconds
from benchmarks.online_stores import FAST, Floor, floor_of, open_stores, rows, servers
from star_features.online.writer import write_batches
from star_features.progress import bar
from star_features.serving import FeatureReader

AT_MOST = {200: 2.2, 4096: 1.5}
FASTER_THAN_TO_DICT = 4.0
GROWTH_MIB = 16.0


def main() -> None:
    settings = arguments(__doc__)
    widths = (200, 4096) if settings.quick else (200, 1024, 4096)
    counts = (500,) if settings.quick else (100, 500)
    rounds = 8 if settings.quick else 40
    table: list[list[Any]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, servers(list(FAST), Path(folder)) as places:
        for kind, place in places.items():
            for width in widths:
                world = World(kind, place, Path(folder), width, settings.seed)
                for count in counts:
                    world.measure(count, rounds, table, claims)
                if width == 200:
                    world.crowd(200 if settings.quick else 2000, claims)
                    world.grow(3000 if settings.quick else 100_000, claims)
    columns = ["store", "width", "jobs", "who", "median ms", "p99 ms", "times the floor"]
    report("one member and N jobs", columns, table, claims, settings.seed)


class World:
    """One store, filled once, with its contestants."""

    def __init__(self, kind: str, place: dict[str, Any], root: Path, width: int, seed: int) -> None:
        self.kind, self.width = kind, width
        self.rng = np.random.default_rng(seed)
        self.ids = [f"job-{n}" for n in range(5000 if width < 1024 else 1500)]
        self.fast, self.stock = open_stores(kind, place, root, width)
        self.floor = self._filled(floor_of(kind, place))
        self.reader = FeatureReader(self.fast)
        self.mapped = FeatureReader(self.fast, "ranker_mapped")

    def _filled(self, floor: Floor) -> Floor:
        for side, ids in (("member", ["m"]), ("job", self.ids)):
            vectors_ND = self.rng.standard_normal((len(ids), self.width)).astype(np.float32)
            batches = rows(f"{side}_id", ids, vectors_ND).to_batches()
            for version in ("v1", "v1_from_v2"):
                write_batches(self.fast, f"{side}_{version}", batches)
            floor.write(ids, vectors_ND)
        return floor

    def measure(
        self, count: int, rounds: int, table: list[list[Any]], claims: dict[str, Claim]
    ) -> None:
        name = f"{self.kind}_{self.width}_{count}"
        picks = [
            self.rng.choice(self.ids, count, replace=False).tolist() for _ in range(rounds + 3)
        ]
        contestants = self._contestants(picks)
        taken: dict[str, list[float]] = {who: [] for who in contestants}
        with bar(name, total=rounds + 3) as shown:
            for number in range(rounds + 3):
                if number == 3:  # warm: connections, statements, registry
                    gc.collect()
                    gc.freeze()
                once = interleaved(contestants, 1)
                for who in contestants if number >= 3 else ():
                    taken[who] += once[who]
                shown.update()
        for who, times in taken.items():
            middle, p99 = (float(np.quantile(times, q)) * 1000 for q in (0.5, 0.99))
            over = median_ratio(times, taken["floor"])
            table.append([self.kind, self.width, count, who, middle, p99, over])
        for who in ("SDK", "mapped"):
            claims[f"{name}_{who}_over_floor"] = Claim(
                median_ratio(taken[who], taken["floor"]), "x", AT_MOST.get(self.width), at_most=True
            )
        claims[f"{name}_to_dict_over_sdk"] = Claim(
            median_ratio(taken["to_dict"], taken["SDK"]), "x", FASTER_THAN_TO_DICT
        )

    def crowd(self, requests: int, claims: dict[str, Claim]) -> None:
        """Requests per second, and p99, of several threads on one reader."""
        jobs = self.rng.choice(self.ids, 100, replace=False).tolist()
        for threads in (1, 4, 16):
            with ThreadPoolExecutor(threads) as pool:
                start = time.perf_counter()
                taken = list(
                    pool.map(
                        lambda _: seconds(lambda: self.reader.read("m", jobs)), range(requests)
                    )
                )
                whole = time.perf_counter() - start
            name = f"{self.kind}_{threads}_threads"
            claims[f"{name}_requests"] = Claim(requests / whole, "1/s")
            claims[f"{name}_p99"] = Claim(float(np.quantile(taken, 0.99)) * 1000, "ms")

    def grow(self, requests: int, claims: dict[str, Claim]) -> None:
        """MiB that the process grows by over many small requests, after a first tenth of them."""
        self._read_some(requests // 10)
        before = resident_mib()
        self._read_some(requests)
        claims[f"{self.kind}_growth_over_{requests}_requests"] = Claim(
            resident_mib() - before, "MiB", GROWTH_MIB, at_most=True
        )

    def _read_some(self, requests: int) -> None:
        with bar(f"{self.kind}, requests", total=requests) as shown:
            for number in range(requests):
                at = number % (len(self.ids) - 10)
                self.reader.read("m", self.ids[at : at + 10])
                if number % 1000 == 999:
                    shown.update(1000)

    def _contestants(self, picks: list[list[str]]) -> dict[str, Callable[[], object]]:
        """Each reads its own next pick when it is called, so that all read the same ones."""
        ways: dict[str, Callable[[list[str]], object]] = {
            "floor": lambda jobs: (self.floor.read(["m"]), self.floor.read(jobs)),
            "SDK": lambda jobs: self.reader.read("m", jobs),
            "mapped": lambda jobs: self.mapped.read("m", jobs),
            "proto": lambda jobs: [_from_proto(r) for r in _feast(self.stock, jobs)],
            "to_dict": lambda jobs: [r.to_dict() for r in _feast(self.stock, jobs)],
            "to_dict, ours": lambda jobs: [r.to_dict() for r in _feast(self.fast, jobs)],
        }
        if at_once := self.floor.at_once:
            ways["at once"] = lambda jobs: (at_once(["m"]), at_once(jobs))
        turns = {who: iter(picks) for who in ways}
        return {who: partial(_next, way, turns[who]) for who, way in ways.items()}


def _next(way: Callable[[list[str]], object], turns: Iterator[list[str]]) -> object:
    return way(next(turns))


def _feast(store: Any, jobs: list[str]) -> list[Any]:
    return [
        store.get_online_features(
            store.get_feature_service(f"ranker_{name}", allow_cache=True),
            {f"{name}_id": ids},
            full_feature_names=True,
        )
        for name, ids in (("member", ["m"]), ("job", jobs))
    ]


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _from_proto(response: Any) -> object:
    names = list(response.proto.metadata.feature_names.val)
    place = next(n for n, name in enumerate(names) if name.endswith("__vector"))
    values = response.proto.results[place].values
    return np.asarray([value.float_list_val.val for value in values], dtype=np.float32)


if __name__ == "__main__":
    main()
