"""
Writing vectors online, against `feast materialize` and the bare driver.

    python -m benchmarks.write [--quick]

100,000 x 200 and 10,000 x 4,096 on SQLite, Redis and Postgres, into an empty store:

- ours: `write_batches` of rows in memory, with space, times and the order of writes
- again: the same rows once more, over themselves
- from history: the newest rows of a Parquet history, read by DuckDB, then written
- materialize: Feast's own, from DuckDB over the same rows, at the best of two batch sizes
- floor: packed float32 under one key from the bare driver, upserts in batches of 1,000

`--quick`: a tenth of the rows, fewer rounds. Memory is the most that Python's own allocations and
Arrow's took beyond the rows themselves.
"""

import tempfile
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import Claim, arguments, interleaved, median_ratio, report
from benchmarks.online_stores import FAST, NOON, floor_of, open_stores, rows, servers
from star_features.online.writer import write_batches
from star_features.store.history import History
from star_features.store.newest import newest_batches

AT_MOST = {
    200: {"redis": 1.5, "postgres": 2.5, "sqlite": 4.0},
    4096: {"redis": 1.2, "postgres": 1.2, "sqlite": 2.0},
}
FASTER_THAN_MATERIALIZE = 3.0
VIEW = "job_v1"


def main() -> None:
    settings = arguments(__doc__)
    sizes = {200: 100_000, 4096: 10_000}
    table: list[list[Any]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder, servers(list(FAST), Path(folder)) as places:
        for width, full in sizes.items():
            n = full // 10 if settings.quick else full
            vectors_ND = np.random.default_rng(settings.seed).standard_normal((n, width))
            source = Source(Path(folder), width, vectors_ND.astype(np.float32))
            for kind, place in places.items():
                taken = source.write_to(kind, place, 2 if settings.quick else 3)
                _judge(kind, width, n, taken, table, claims)
            claims[f"memory_{width}_over_rows"] = Claim(source.memory(places["sqlite"]), "MiB")
    columns = ["store", "width", "floor s", "ours", "again", "history", "materialize", "rows/s"]
    report("writing: seconds, times the floor", columns, table, claims, settings.seed)


class Source:
    """The rows of one width: in memory, as a history, and as Feast's source."""

    def __init__(self, root: Path, width: int, vectors_ND: Any) -> None:
        self.root, self.width, self.vectors_ND = root, width, vectors_ND
        self.ids = [f"job-{n}" for n in range(len(vectors_ND))]
        self.rows = rows("job_id", self.ids, vectors_ND)
        self.history = History.of_vectors(root / f"history-{width}", VIEW)
        self.history.append(self.rows.append_column("input_hash", pa.array(self.ids)))

    def write_to(self, kind: str, place: dict[str, Any], rounds: int) -> dict[str, list[float]]:
        fast, stock = open_stores(kind, place, self.root, self.width)
        feasts = self.root / f"{kind}-{self.width}" / "job.parquet"
        pq.write_table(self.rows, feasts, compression="zstd")  # as the history is
        floor = floor_of(kind, place)
        views = [stock.get_feature_view(VIEW)]

        def emptied() -> None:
            floor.clear()
            for store in (fast, stock):
                online = store._get_provider().online_store
                online.teardown(store.config, views, [])
                online.update(store.config, [], views, [], [], False)

        def materialize(batch_rows: int) -> None:
            stock.config.materialization_config.online_write_batch_size = batch_rows
            day = timedelta(days=1)
            stock.materialize(NOON - day, NOON + day, [VIEW], disable_event_timestamp=False)

        batches = self.rows.to_batches()
        history = self.history
        contestants: dict[str, Callable[[], object]] = {
            "(empty 1)": emptied,
            "floor": lambda: floor.write(self.ids, self.vectors_ND),
            "ours": lambda: write_batches(fast, VIEW, batches),
            "again": lambda: write_batches(fast, VIEW, batches),
            "(empty 2)": emptied,
            "history": lambda: write_batches(fast, VIEW, newest_batches(history)),
            "(empty 3)": emptied,
            "materialize 10,000": lambda: materialize(10_000),
            "(empty 4)": emptied,
            "materialize 1,000": lambda: materialize(1_000),
        }
        taken = interleaved(contestants, rounds)
        fast._get_provider().online_store.disconnect()
        return taken

    def memory(self, place: dict[str, Any]) -> float:
        """MiB beyond the rows, at most, while they are written to SQLite."""
        fast, _ = open_stores("sqlite", place, self.root, self.width)
        batches = self.rows.to_batches()
        tracemalloc.start()
        write_batches(fast, VIEW, batches)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return float(most) / 2**20


def _judge(
    kind: str,
    width: int,
    n: int,
    taken: dict[str, list[float]],
    table: list[list[Any]],
    claims: dict[str, Claim],
) -> None:
    feast = min((taken["materialize 10,000"], taken["materialize 1,000"]), key=np.median)
    floor, ours = taken["floor"], taken["ours"]
    over = [median_ratio(t, floor) for t in (ours, taken["again"], taken["history"], feast)]
    table.append([kind, width, float(np.median(floor)), *over, float(n / np.median(ours))])
    claims[f"{kind}_{width}_over_floor"] = Claim(over[0], "x", AT_MOST[width][kind], at_most=True)
    claims[f"{kind}_{width}_faster_than_materialize"] = Claim(
        median_ratio(feast, taken["history"]), "x", FASTER_THAN_MATERIALIZE
    )


if __name__ == "__main__":
    main()
