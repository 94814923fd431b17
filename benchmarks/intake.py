"""
A large world: generating it and taking it in, in bounded memory.

    python -m benchmarks.intake [--quick]

100,000 members, 20,000 jobs, 3 million interactions, each step in a process of its own whose peak
memory the operating system counts. Floor of the intake: copying the same Parquet files through
pyarrow, batch by batch, without looking at a row. `--quick`: 10,000 members.
"""

import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.common import Claim, arguments, report, seconds
from star_features.market.generate import generate
from star_features.market.settings import MarketSettings
from star_features.tables.read import read_dataset

LIMIT = 4.0  # GiB


def copy(source: Path, out: Path) -> None:
    """Every table's rows, read and written again."""
    out.mkdir()
    for path in source.glob("*.parquet"):
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(out / path.name, file.schema_arrow) as to,
        ):
            for batch in file.iter_batches():
                to.write_batch(batch)


def _child(work: Callable[[], object], answer: Connection) -> None:
    took = seconds(work)
    answer.send((took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def alone(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and peak GiB of `work` in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work, there))
    process.start()
    found: tuple[float, float] = here.recv()
    process.join()
    return found


def main() -> None:
    options = arguments(__doc__)
    members = 10_000 if options.quick else 100_000
    settings = MarketSettings(members=members, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder:
        world, tables, copied = (Path(folder) / name for name in ("world", "tables", "copied"))
        steps = {
            "generate the world": alone(lambda: generate(world, settings)),
            "take it in": alone(lambda: read_dataset(world, tables)),
            "floor: copy the files": alone(lambda: copy(world, copied)),
        }
        count = pq.read_metadata(tables / "interactions.parquet").num_rows
    rows: list[list[object]] = [[name, *figures] for name, figures in steps.items()]
    floor = steps["floor: copy the files"][0]
    claims = {
        "peak of generating": Claim(steps["generate the world"][1], "GiB", LIMIT, at_most=True),
        "peak of the intake": Claim(steps["take it in"][1], "GiB", LIMIT, at_most=True),
        "intake over copying": Claim(steps["take it in"][0] / floor, "times"),
        "interactions": Claim(float(count), "rows"),
    }
    report(f"{members:,} members", ["step", "seconds", "peak GiB"], rows, claims, options.seed)


if __name__ == "__main__":
    main()
