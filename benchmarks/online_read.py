"""
Reading one member and hundreds of jobs, against Feast's own read and the bare driver.

    python -m benchmarks.online_read [--quick]

Contestants, on the same data and in the same run, on SQLite, Redis and Postgres:

- SDK: `FeatureReader.read` over our store: vectors, space, presence and times, in arrays
- to_dict: Feast's `get_online_features(...).to_dict()` with Feast's own store, member, then jobs
- proto: the same response, its float lists taken from the proto into numpy
- floor: packed float32 under one key from the bare driver, `np.frombuffer`, member, then jobs

Then 1, 4 and 16 threads on one reader, 200 wide and 100 jobs: requests per second and p99; and how
much the process grows over many requests.

`--quick`: 200 and 4,096 wide, 500 jobs, fewer rounds and requests.
"""

import gc
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report, seconds
from benchmarks.online_stores import FAST, Floor, floor_of, open_stores, rows, servers
from star_features.online.writer import write_batches
from star_features.serving import FeatureReader

AT_MOST = {200: 2.2, 4096: 1.5}
FASTER_THAN_TO_DICT = 4.0
GROWTH_MIB = 16.0


def main() -> None:
    settings = arguments(__doc__)
    widths = (200, 4096) if settings.quick else (200, 1024, 4096)
    counts = (500,) if settings.quick else (100, 500)
    rounds = 12 if settings.quick else 40
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
    columns = ["store", "width", "jobs", "floor ms", "SDK", "proto", "to_dict", "SDK p99"]
    report("one member and N jobs: times the floor", columns, table, claims, settings.seed)


class World:
    """One store, filled once, with its contestants."""

    def __init__(self, kind: str, place: dict[str, Any], root: Path, width: int, seed: int) -> None:
        self.kind, self.width = kind, width
        self.rng = np.random.default_rng(seed)
        self.ids = [f"job-{n}" for n in range(5000 if width < 1024 else 1500)]
        fast, self.stock = open_stores(kind, place, root, width)
        self.floor = self._filled(fast, floor_of(kind, place))
        self.reader = FeatureReader(fast)

    def _filled(self, fast: Any, floor: Floor) -> Floor:
        for view, key, ids in (("member_v1", "member_id", ["m"]), ("job_v1", "job_id", self.ids)):
            vectors_ND = self.rng.standard_normal((len(ids), self.width)).astype(np.float32)
            write_batches(fast, view, rows(key, ids, vectors_ND).to_batches())
            floor.write(ids, vectors_ND)
        return floor

    def measure(
        self, count: int, rounds: int, table: list[list[Any]], claims: dict[str, Claim]
    ) -> None:
        picks = [
            self.rng.choice(self.ids, count, replace=False).tolist() for _ in range(rounds + 3)
        ]
        contestants = self._contestants(picks)
        interleaved(contestants, 3)  # warm: connections, statements, registry
        gc.collect()
        gc.freeze()
        taken = interleaved(contestants, rounds)
        floor, sdk = taken["floor"], taken["SDK"]
        over = {name: median_ratio(taken[name], floor) for name in ("SDK", "proto", "to_dict")}
        p99 = float(np.quantile(sdk, 0.99) / np.median(floor))
        milliseconds = float(np.median(floor) * 1000)
        table.append([self.kind, self.width, count, milliseconds, *over.values(), p99])
        name = f"{self.kind}_{self.width}_{count}"
        claims[f"{name}_over_floor"] = Claim(
            over["SDK"], "x", AT_MOST.get(self.width), at_most=True
        )
        claims[f"{name}_to_dict_over_sdk"] = Claim(
            median_ratio(taken["to_dict"], sdk), "x", FASTER_THAN_TO_DICT
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
        for start in range(requests):
            at = start % (len(self.ids) - 10)
            self.reader.read("m", self.ids[at : at + 10])

    def _contestants(self, picks: list[list[str]]) -> dict[str, Callable[[], object]]:
        turns = {name: iter(picks) for name in ("floor", "SDK", "proto", "to_dict")}

        def floor() -> object:
            return self.floor.read(["m"]), self.floor.read(next(turns["floor"]))

        return {
            "floor": floor,
            "SDK": lambda: self.reader.read("m", next(turns["SDK"])),
            "proto": lambda: [_from_proto(r) for r in self._feast(next(turns["proto"]))],
            "to_dict": lambda: [r.to_dict() for r in self._feast(next(turns["to_dict"]))],
        }

    def _feast(self, jobs: list[str]) -> list[Any]:
        return [
            self.stock.get_online_features(
                self.stock.get_feature_service(f"ranker_{name}", allow_cache=True),
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
