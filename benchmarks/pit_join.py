"""
The point-in-time join against Feast's own DuckDB store and against ASOF joins written by hand.

    python -m benchmarks.pit_join [--quick]

Members and jobs, each with an embedding view of 20 versions an entity; labels name one of each at a
random time. All contestants return the whole result as one Arrow table. By hand, in DuckDB, for the
same two views: *plain* joins ASOF with the vectors in the row; *keys first* joins ASOF on keys and
times, then fetches the vectors by file and row number. A claim against "by hand" is against the
faster of the two in the same round.

Each contestant runs in a process of its own, files warm, and asks twice: *first* is what a job that
builds one training set waits for, and pays for memory it never had; *again* is with memory at hand.
Whoever needs more than 12 GiB, or half an hour, did not finish, and says so in the table.

Then ten million rows by a million labels, streamed (`to_arrow_batches`), in 4 GiB; and the memory
of a stream on histories of 100 and of 400 versions an entity, same entities and labels, beside
that of Feast's store, which has no stream. Ours joins with two threads and memory_limit 512MB.

Under an hour on two quiet cores, and 20 GB of disk under the system's temporary folder, which
TMPDIR moves. `--quick`: under a minute, a fiftieth of the size.
"""

import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks.common import Claim, arguments, median_ratio, report, seconds
from benchmarks.pit_worlds import (
    CONTESTANTS,
    KEYS_FIRST,
    NAMES,
    OURS,
    PLAIN,
    Shape,
    asked,
    label_frame,
    open_store,
    request,
    write_histories,
)
from star_features.progress import bar

GIB = 1 << 30
ROOM_BYTES = 12 * GIB
PATIENCE_SECONDS = 1800
PRELOADED = ["feast", "star_features.offline.store", "benchmarks.pit_worlds"]
COLUMNS = ("first", "again", "peak")

FULL = (
    Shape(200, 1_000_000, 20, 100_000, 3),
    Shape(1024, 200_000, 20, 50_000, 3),
    Shape(1024, 1_000_000, 20, 100_000, 2),
)
QUICK = (Shape(200, 30_000, 20, 8_000), Shape(1024, 12_000, 20, 3_000))
HUGE = Shape(200, 10_000_000, 20, 1_000_000)
QUICK_HUGE = Shape(200, 100_000, 20, 10_000)
DEEP, DEEPER = Shape(200, 100_000, 100, 5_000), 4
QUICK_DEEP = Shape(200, 20_000, 100, 1_000)
HUGE_MIB = 4096.0


@dataclass(frozen=True)
class Run:
    """One contestant in one process: seconds of its first request and of a second one, MiB."""

    first: float
    again: float
    peak: float


@dataclass(frozen=True)
class Failed:
    """What ended a process that has no result."""

    why: str


def main() -> None:
    args = arguments(__doc__)
    os.environ["PYTHONWARNINGS"] = "ignore"  # of ibis, about DuckDB, at every request
    rows: list[tuple[object, ...]] = []
    claims: dict[str, Claim] = {}
    for shape in QUICK if args.quick else FULL:
        found = runs(shape, args.seed)
        rows += [(str(shape), name, *middle(of_name)) for name, of_name in found.items()]
        claims |= time_claims(shape, found)
    for part in (huge, deep):
        more, told = part(args.quick, args.seed)
        rows += more
        claims |= told
    columns = ("case", "who", "first s", "again s", "peak MiB")
    report("Point-in-time join", columns, rows, claims, args.seed)


def runs(shape: Shape, seed: int) -> dict[str, list[Run | Failed]]:
    """Every contestant in every round, each in a process of its own, one after the other.

    Who did not finish is not asked again.
    """
    found: dict[str, list[Run | Failed]] = {name: [] for name in CONTESTANTS}
    with (
        histories(shape, seed) as root,
        bar(str(shape), total=shape.rounds * len(CONTESTANTS), unit="run") as shown,
    ):
        for _ in range(shape.rounds):
            for name in CONTESTANTS:
                if not any(isinstance(one, Failed) for one in found[name]):
                    found[name].append(fresh(run, name, root, shape, seed))
                shown.update()
    return found


def run(name: str, root: str, shape: Shape, seed: int) -> Run:
    """What a fresh process sees: imports and opening are done before the clock starts."""
    go = request(name, Path(root), label_frame(shape, seed))
    before = forget_peak()
    first, top = seconds(go), resident("VmHWM")
    return Run(first, seconds(go), top - before)


def middle(found: list[Run | Failed]) -> list[object]:
    """The medians of a contestant's runs, or what ended them."""
    if failed := [one.why for one in found if isinstance(one, Failed)]:
        return [failed[0], "", ""]
    return [median(getattr(one, what) for one in found) for what in COLUMNS]


def time_claims(shape: Shape, found: dict[str, list[Run | Failed]]) -> dict[str, Claim]:
    """Against Feast and against the faster of the two by hand, where they finished."""
    claims: dict[str, Claim] = {}
    # The targets are for histories as long as these; on a few thousand rows fixed costs count.
    goal = (7.0 if shape.width == 1024 else 3.0) if shape.rows >= 200_000 else None
    case = f"{shape.width}_{shape.rows}"
    for which in ("first", "again"):
        taken = {
            name: [getattr(one, which) for one in of_name]
            for name, of_name in found.items()
            if all(isinstance(one, Run) for one in of_name)
        }
        if "Feast" in taken:
            faster = median_ratio(taken["Feast"], taken["ours"])
            claims[f"faster_than_feast_{case}_{which}"] = Claim(faster, "times", goal)
        if by_hand := [taken[name] for name in (PLAIN, KEYS_FIRST) if name in taken]:
            hand = [min(of_round) for of_round in zip(*by_hand, strict=True)]
            over = median_ratio(taken["ours"], hand)
            claims[f"time_over_by_hand_{case}_{which}"] = Claim(over, "times", 1.2, at_most=True)
    return claims


def huge(quick: bool, seed: int) -> tuple[list[tuple[object, ...]], dict[str, Claim]]:
    """Ten million rows by a million labels, streamed by ours and by nobody else."""
    shape = QUICK_HUGE if quick else HUGE
    with histories(shape, seed) as root:
        found = fresh(streamed, root, OURS, shape, seed, room=int(HUGE_MIB) << 20)
    if isinstance(found, Failed):
        return [(f"{shape}, streamed", "ours", found.why, "", "")], {
            "peak_of_the_huge_stream": Claim(float("inf"), "MiB", HUGE_MIB, at_most=True)
        }
    took, peak = found
    return [(f"{shape}, streamed", "ours", took, "", peak)], {
        "peak_of_the_huge_stream": Claim(peak, "MiB", HUGE_MIB, at_most=True),
        "labels_a_second_of_the_huge_stream": Claim(shape.labels / took, "1/s"),
    }


def deep(quick: bool, seed: int) -> tuple[list[tuple[object, ...]], dict[str, Claim]]:
    """Peak memory by store and depth of the history, each in a process of its own."""
    shallow = QUICK_DEEP if quick else DEEP
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    rows: list[tuple[object, ...]] = []
    for factor in (1, DEEPER):
        shape = replace(shallow, rows=shallow.rows * factor, depth=shallow.depth * factor)
        case = f"{shape}, {shape.depth} versions, streamed"
        with histories(shape, seed) as root:
            for name, offline in NAMES.items():
                got = fresh(streamed, root, offline, shape, seed)
                if isinstance(got, Failed):
                    rows.append((case, name, got.why, "", ""))
                    continue
                found[name].append(got[1])
                rows.append((case, name, got[0], "", got[1]))
    growth = {name: mib[1] / mib[0] for name, mib in found.items() if len(mib) == 2}
    targets = {"ours": 1.25, "Feast": None}
    return rows, {
        f"memory_at_{DEEPER}_times_the_depth_{name}": Claim(
            times, "times", targets[name], at_most=True
        )
        for name, times in growth.items()
    }


def streamed(root: str, offline: str, shape: Shape, seed: int) -> tuple[float, float]:
    """Seconds, and MiB taken at most, for the whole result, beyond what there was before."""
    job = asked(open_store(Path(root), offline), label_frame(shape, seed))
    before = forget_peak()

    def go() -> None:
        if offline != OURS:
            job.to_arrow()
            return
        with bar(f"{shape}, streamed", total=shape.labels, unit="label") as shown:
            for batch in job.to_arrow_batches():
                shown.update(batch.num_rows)

    return seconds(go), resident("VmHWM") - before


def forget_peak() -> float:
    """MiB in memory now; what was there at most before is forgotten."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(line: str) -> float:
    """MiB in memory, now (VmRSS) or at most (VmHWM); Linux only."""
    status = Path("/proc/self/status").read_text().split(f"{line}:")[1]
    return int(status.split()[0]) / 1024


@contextmanager
def histories(shape: Shape, seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        write_histories(Path(folder), shape, seed)
        yield folder


def fresh(function: Callable[..., Any], *arguments: Any, room: int = ROOM_BYTES) -> Any:
    """The function's result in a new process, or why there is none.

    Processes are forked from one that has only imported what they need, so all start alike.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    answer, pipe = context.Pipe(duplex=False)
    process = context.Process(target=told, args=(pipe, room, function, arguments))
    process.start()
    pipe.close()
    try:
        if not answer.poll(PATIENCE_SECONDS):
            return Failed(f"not after {PATIENCE_SECONDS} s")
        result = answer.recv()
        process.join(PATIENCE_SECONDS)
        return result
    except EOFError:
        process.join(PATIENCE_SECONDS)
        return Failed(f"ended by signal {-(process.exitcode or 0)}, in {room / GIB:g} GiB")
    finally:
        process.kill()
        process.join()


def told(pipe: Connection, room: int, function: Callable[..., Any], arguments: Any) -> None:
    """Call within so much memory of its own, and tell the result."""
    resource.setrlimit(resource.RLIMIT_DATA, (room, room))
    try:
        pipe.send(function(*arguments))
    except (MemoryError, duckdb.OutOfMemoryException):
        pipe.send(Failed(f"more than {room / GIB:g} GiB"))


if __name__ == "__main__":
    main()
