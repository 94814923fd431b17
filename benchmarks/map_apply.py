"""
What a map costs where it is used: on write, against writing the same rows; on read, nothing.

    python -m benchmarks.map_apply [--quick]

On SQLite, Redis and Postgres, 256 -> 200 and 1,024 -> 200 wide:

- apply: vectors of the new space through a map, and into the Arrow column that is written
- write: the same rows online, by the writer that `star materialize` uses; the floor is the bare
  driver, packed float32 under one key
- history: the same rows appended to a Parquet history, as `star compat apply` does
- read: one member and 500 jobs from the mapped views and from native ones, in turn, through the
  same reader and services that differ in the view behind a stable name

`--quick`: a tenth of the rows, fewer rounds.
"""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureService, FeatureStore
from numpy.typing import NDArray

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report
from benchmarks.online_stores import FAST, floor_of, rows, servers
from benchmarks.small_feast import embedding_view, entity, small_store
from star_features.compat.fit import FitSettings, fit
from star_features.compat.maps import Map
from star_features.online.writer import write_batches
from star_features.serving import FeatureReader
from star_features.spaces import unit
from star_features.store.history import History, as_lists

NEW, OLD = "{}_graph_v2@000000000002", "{}_graph_v1@3f9a1c20b7d4"
NATIVE, MAPPED = "graph_v1", "graph_v1_from_v2"
TARGET = 200
SIDES = ("member", "job")
JOBS_READ = 500
APPLY_AT_MOST, READ_AT_MOST = 0.05, 1.02


def main() -> None:
    options = arguments(__doc__)
    count = 10_000 if options.quick else 100_000
    rounds, reads = (3, 200) if options.quick else (7, 1000)
    table: list[list[object]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, servers(list(FAST), Path(folder)) as places:
        for width in (256, 1024):
            for kind, place in places.items():
                world = World(
                    kind, place, Path(folder) / f"{kind}-{width}", count, width, options.seed
                )
                table.append([kind, width, *world.write(rounds, claims), world.read(reads, claims)])
                world.close()
    columns = ["store", "width", "apply ms", "write s", "floor s", "history s", "read / native"]
    report(f"{count:,} rows to {TARGET} wide", columns, table, claims, options.seed)


class World:
    """One store with the two views of each side, and the new vectors that fill one of them."""

    def __init__(
        self, kind: str, place: dict[str, Any], root: Path, count: int, width: int, seed: int
    ) -> None:
        root.mkdir(parents=True)
        self.kind, self.width, self.root = kind, width, root
        self.rng = np.random.default_rng(seed)
        self.ids = [f"job-{n}" for n in range(count)]
        self.new_ND = self._vectors(count, width)
        self.map = self._fitted()
        self.store = self._store(place)
        self.floor = floor_of(kind, place)

    def _vectors(self, count: int, width: int) -> NDArray[np.float32]:
        return unit(self.rng.standard_normal((count, width)).astype(np.float32))

    def _fitted(self) -> Map:
        pairs = self.new_ND[:4000], self._vectors(4000, TARGET)
        settings = FitSettings(methods=("ridge",), strengths=(1e-2,))
        return fit([pairs], source=NEW.format("job"), target=OLD.format("job"), settings=settings)

    def _store(self, place: dict[str, Any]) -> FeatureStore:
        online = {"type": FAST[self.kind], **place}
        store = small_store(self.root, online=online, project=f"apply{self.width}")
        sides = [entity(side) for side in SIDES]
        views = {
            (side.name, name): embedding_view(
                side, f"{side.name}_{name}", self.root / f"{side.name}_{name}.parquet", TARGET
            )
            for side in sides
            for name in (NATIVE, MAPPED)
        }
        services = [
            FeatureService(
                name=name,
                features=[views[side, name].with_name(f"{side}_star") for side in SIDES],
            )
            for name in (NATIVE, MAPPED)
        ]
        store.apply([*sides, *views.values(), *services])
        return store

    def write(self, rounds: int, claims: dict[str, Claim]) -> list[float]:
        """Seconds of each step, and the share that applying the map is of writing."""
        made: dict[str, pa.Table] = {}

        def apply() -> None:
            made["lists"] = as_lists(self.map(self.new_ND, space=NEW.format("job")))

        apply()
        table = rows("job_id", self.ids, self.map(self.new_ND, space=NEW.format("job")))
        batches = table.to_batches()
        mapped_ND = self.map(self.new_ND, space=NEW.format("job"))
        turn = iter(range(rounds + 1))

        def append() -> None:
            history = History.of_vectors(self.root / f"history-{next(turn)}", f"job_{MAPPED}")
            history.append(table.append_column("input_hash", pa.array(self.ids)))

        contestants: dict[str, Callable[[], object]] = {
            "apply": apply,
            "write": lambda: write_batches(self.store, f"job_{MAPPED}", batches),
            # So that both tables have been written over as often when they are read.
            "(native)": lambda: write_batches(self.store, f"job_{NATIVE}", batches),
            "floor": lambda: self.floor.write(self.ids, mapped_ND),
            "history": append,
        }
        taken = interleaved(contestants, rounds)
        name = f"{self.kind}_{self.width}"
        for against in ("write", "history", "floor"):
            wanted = APPLY_AT_MOST if against == "write" else None
            share = median_ratio(taken["apply"], taken[against])
            claims[f"apply_over_{against}_{name}"] = Claim(
                share, "of its time", wanted, at_most=True
            )
        seconds = [median(taken[step]) for step in contestants if step != "(native)"]
        return [seconds[0] * 1000, *seconds[1:]]

    def read(self, rounds: int, claims: dict[str, Claim]) -> float:
        """Time of a read from the mapped views over that of one from native views."""
        old_ND = self.map(self.new_ND, space=NEW.format("job"))
        for name in (NATIVE, MAPPED):
            write_batches(self.store, f"job_{name}", rows("job_id", self.ids, old_ND).to_batches())
            member = rows("member_id", ["m"], old_ND[:1])
            write_batches(self.store, f"member_{name}", member.to_batches())
        readers = {name: FeatureReader(self.store, name) for name in (NATIVE, MAPPED)}
        picks = [
            self.rng.choice(self.ids, JOBS_READ, replace=False).tolist() for _ in range(rounds + 20)
        ]
        turns = {name: iter(picks) for name in readers}  # the same jobs, in the same order

        def reading(name: str) -> Callable[[], object]:
            return lambda: readers[name].read("m", next(turns[name]))

        one_way = {name: reading(name) for name in (NATIVE, MAPPED)}
        other_way = dict(reversed(one_way.items()))
        interleaved(one_way, 20)
        gc.collect()
        gc.freeze()
        # Whoever reads a pick second finds its pages warm: half of the rounds go the other way.
        taken, again = interleaved(one_way, rounds // 2), interleaved(other_way, rounds // 2)
        both = {name: taken[name] + again[name] for name in one_way}
        ratio = (
            median_ratio(taken[MAPPED], taken[NATIVE]) + median_ratio(again[MAPPED], again[NATIVE])
        ) / 2
        claims[f"read_over_native_{self.kind}_{self.width}"] = Claim(
            ratio, f"x of {median(both[NATIVE]) * 1000:.2f} ms", READ_AT_MOST, at_most=True
        )
        return ratio

    def close(self) -> None:
        online = self.store._get_provider().online_store
        if hasattr(online, "disconnect"):
            online.disconnect()


if __name__ == "__main__":
    main()
