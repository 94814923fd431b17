"""
The point-in-time join against Feast's own DuckDB store and against ASOF joins written by hand.

    python -m benchmarks.pit_join [--quick]

Members and jobs, each with an embedding view; labels name one of each at a random time. Histories
lie as `star_features.store.history` writes them, 20 versions an entity. All contestants return the
whole result as one Arrow table. By hand, in DuckDB, for the same two views: *plain* joins ASOF with
the vectors in the row; *keys first* joins ASOF on keys and times, then fetches the vectors by file
and row number. A claim against "by hand" is against the faster of the two in the same round.

Each contestant runs in a process of its own, files warm, and asks twice: *first* is what a job that
builds one training set waits for, and pays for memory it never had; *again* is with memory at hand.

Memory at depth: peak of a fresh process that streams the result (`to_arrow_batches`), on a history
and on one eight times as deep, same entities and labels; the same for Feast's store, which has no
stream. Ours joins with two threads and memory_limit 512MB; Feast's store has no such settings.
"""

import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.common import Claim, arguments, median_ratio, report, seconds
from star_features.store.history import TIME, History, as_lists

OURS = "star_features.offline.store.StarOfflineStore"
NAMES = {"ours": OURS, "Feast": "duckdb"}
PLAIN, KEYS_FIRST = "by hand, plain", "by hand, keys first"
CONTESTANTS = (*NAMES, PLAIN, KEYS_FIRST)
COLUMNS = ("first", "again", "peak")
SETTINGS = {OURS: {"memory_limit": "512MB", "threads": 2}, "duckdb": {}}
MONTHS = np.arange("2023-01", "2024-01", dtype="datetime64[M]")
ENTITIES = ("member", "job")


@dataclass(frozen=True)
class Shape:
    """One case: width, rows of each view, versions of an entity, labels, rounds."""

    width: int
    rows: int
    depth: int
    labels: int
    rounds: int

    @property
    def entities(self) -> int:
        return self.rows // self.depth


FULL = (Shape(200, 500_000, 20, 50_000, 2), Shape(1024, 200_000, 20, 50_000, 2))
QUICK = (Shape(200, 60_000, 20, 15_000, 1), Shape(1024, 24_000, 20, 6_000, 1))
DEEP = Shape(200, 40_000, 10, 20_000, 1)
QUICK_DEEP = Shape(200, 6_000, 10, 3_000, 1)


def write_history(root: Path, entity: str, shape: Shape, seed: int) -> None:
    """One part a month, rows in any order, as a year of nightly runs leaves them."""
    history = History.of_vectors(root, f"{entity}_graph_v1")
    for number, month in enumerate(MONTHS):
        rng = np.random.default_rng([seed, number, ENTITIES.index(entity)])
        rows = shape.rows // len(MONTHS)
        times_N = times(rng, rows, month, month + 1)
        columns = {
            history.key: names(entity, rng.integers(0, shape.entities, rows)),
            "vector": as_lists(rng.standard_normal((rows, shape.width), dtype=np.float32)),
            "space": pa.repeat(f"{entity}_graph_v1@bench", rows),
            "input_hash": pa.repeat("bench", rows),
            "event_timestamp": times_N,
            "created": times_N,
        }
        path = history.folder / f"month={month}" / f"part-{number:020x}.parquet"
        history._write(path, pa.table(columns).cast(history.schema))


def label_frame(shape: Shape, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 99])
    columns = {
        f"{entity}_id": names(entity, rng.integers(0, shape.entities, shape.labels))
        for entity in ENTITIES
    }
    at = times(rng, shape.labels, MONTHS[0], MONTHS[-1] + 1)
    frame: pd.DataFrame = pa.table(columns | {"event_timestamp": at}).to_pandas()
    return frame


def times(rng: np.random.Generator, count: int, first: Any, end: Any) -> pa.Array:
    low, high = (int(np.datetime64(month, "us").astype(np.int64)) for month in (first, end))
    return pa.array(rng.integers(low, high, count), pa.int64()).cast(pa.timestamp("us")).cast(TIME)


def names(entity: str, numbers_N: Any) -> pa.Array:
    return pa.array([f"{entity}{number:08d}" for number in numbers_N], pa.string())


def open_store(root: Path, offline: str) -> Any:
    """Feast over the histories under `root`, with the offline store of that name."""
    from benchmarks.small_feast import embedding_view, entity, small_store

    store = small_store(root, offline={"type": offline} | SETTINGS[offline])
    for name in map(entity, ENTITIES):
        view = f"{name.name}_graph_v1"
        store.apply([name, embedding_view(name, view, root / view / "**" / "*.parquet")])
    return store


def asked(store: Any, labels: pd.DataFrame) -> Any:
    features = [f"{e}_graph_v1:{name}" for e in ENTITIES for name in ("vector", "space")]
    return store.get_historical_features(labels, features, full_feature_names=True)


def by_hand(root: Path, labels: pd.DataFrame, *, keys_first: bool) -> pa.Table:
    """Both views as one would write them in DuckDB."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone='UTC'")
        db.execute("SET enable_progress_bar=false")
        db.register("labels", labels)
        db.execute("CREATE TEMP TABLE l0 AS SELECT * FROM labels")
        seen = "".join(_seen(root, entity, keys_first) for entity in ENTITIES)
        columns = ", ".join(f"{e}.vector AS {e}_vector, {e}.space AS {e}_space" for e in ENTITIES)
        return db.execute(f"SELECT l0.*, {columns} FROM l0{seen}").to_arrow_table()


def _seen(root: Path, entity: str, keys_first: bool) -> str:
    stored = f"read_parquet('{root}/{entity}_graph_v1/*/*.parquet', hive_partitioning=false)"
    asof = f"p.{entity}_id = h.{entity}_id AND p.event_timestamp >= h.event_timestamp"
    if not keys_first:
        asof = asof.replace("p.", "l0.").replace("h.", f"{entity}.")
        return f" ASOF LEFT JOIN {stored} AS {entity} ON {asof}"
    places = f"SELECT {entity}_id, event_timestamp, file_index, file_row_number FROM {stored}"
    picks = (
        f"SELECT p.rowid AS label, file_index, file_row_number FROM l0 AS p"
        f" ASOF JOIN ({places}) AS h ON {asof}"
    )
    vectors = (
        f"SELECT label, vector, space FROM ({picks}) AS picked JOIN"
        f" (SELECT file_index, file_row_number, vector, space FROM {stored}) AS stored"
        " USING (file_index, file_row_number)"
    )
    return f" LEFT JOIN ({vectors}) AS {entity} ON {entity}.label = l0.rowid"


def peak(root: str, offline: str, shape: Shape, seed: int) -> float:
    """MiB that a fresh process takes at most for the whole result, beyond what it had before."""
    job = asked(open_store(Path(root), offline), label_frame(shape, seed))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    if offline == OURS:
        for _ in job.to_arrow_batches():
            pass
    else:
        job.to_arrow()
    return resident("VmHWM") - before


def resident(line: str) -> float:
    """MiB in memory, now (VmRSS) or at most (VmHWM); Linux only."""
    status = Path("/proc/self/status").read_text().split(f"{line}:")[1]
    return int(status.split()[0]) / 1024


def peaks(shallow: Shape, seed: int) -> dict[str, dict[int, float]]:
    """Peak memory beyond the imports by store and depth, each in a process of its own."""
    found: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    for factor in (1, 8):
        shape = replace(shallow, rows=shallow.rows * factor, depth=shallow.depth * factor)
        with tempfile.TemporaryDirectory() as folder:
            for entity in ENTITIES:
                write_history(Path(folder), entity, shape, seed)
            for name, offline in NAMES.items():
                found[name][shape.depth] = fresh(peak, folder, offline, shape, seed)
    return found


@dataclass(frozen=True)
class Run:
    """One contestant in one process: seconds of its first request and of a second one, MiB."""

    first: float
    again: float
    peak: float


def request(name: str, root: Path, labels: pd.DataFrame) -> Callable[[], object]:
    if name in NAMES:
        store = open_store(root, NAMES[name])
        return lambda: asked(store, labels).to_arrow()
    return lambda: by_hand(root, labels, keys_first=name.endswith("keys first"))


def run(name: str, root: str, shape: Shape, seed: int) -> Run:
    """What a fresh process sees: imports and opening are done before the clock starts."""
    go = request(name, Path(root), label_frame(shape, seed))
    before = resident("VmRSS")
    first, top = seconds(go), resident("VmHWM")
    return Run(first, seconds(go), top - before)


def runs(shape: Shape, seed: int) -> dict[str, list[Run]]:
    """Every contestant in every round, each in a process of its own, one after the other."""
    found: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as root:
        for entity in ENTITIES:
            write_history(Path(root), entity, shape, seed)
        for _ in range(shape.rounds):
            for name in CONTESTANTS:
                found[name].append(fresh(run, name, root, shape, seed))
    return found


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def time_claims(shape: Shape, found: dict[str, list[Run]]) -> dict[str, Claim]:
    """Against Feast and against the faster of the two by hand; first request and second."""
    claims: dict[str, Claim] = {}
    goal = 7.0 if shape.width == 1024 else 3.0
    for which in ("first", "again"):
        taken = {name: [getattr(one, which) for one in runs] for name, runs in found.items()}
        hand = [min(pair) for pair in zip(taken[PLAIN], taken[KEYS_FIRST], strict=True)]
        faster = median_ratio(taken["Feast"], taken["ours"])
        over = median_ratio(taken["ours"], hand)
        claims |= {
            f"faster_than_feast_{shape.width}_{which}": Claim(faster, "times", goal),
            f"time_over_by_hand_{shape.width}_{which}": Claim(over, "times", 1.2, at_most=True),
        }
    return claims


def memory_claims(of_depth: dict[str, dict[int, float]]) -> dict[str, Claim]:
    growth = {name: max(mib.values()) / min(mib.values()) for name, mib in of_depth.items()}
    return {
        "memory_at_8_times_the_depth": Claim(growth["ours"], "times", 1.25, at_most=True),
        "memory_at_8_times_the_depth_feast": Claim(growth["Feast"], "times"),
    }


def main() -> None:
    args = arguments(__doc__)
    rows: list[tuple[object, ...]] = []
    claims: dict[str, Claim] = {}
    for shape in QUICK if args.quick else FULL:
        found = runs(shape, args.seed)
        case = f"{shape.width}-d, {shape.rows:,} × {shape.labels:,} × 2"
        for name, of_name in found.items():
            middle = [median(getattr(one, what) for one in of_name) for what in COLUMNS]
            rows.append((case, name, *middle))
        claims |= time_claims(shape, found)
    of_depth = peaks(QUICK_DEEP if args.quick else DEEP, args.seed)
    for name, mib in of_depth.items():
        rows += [(f"streamed, {depth} versions", name, "", "", peak) for depth, peak in mib.items()]
    claims |= memory_claims(of_depth)
    columns = ("case", "who", "first s", "again s", "peak MiB")
    report("Point-in-time join", columns, rows, claims, args.seed)


if __name__ == "__main__":
    main()
