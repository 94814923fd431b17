"""
The one shape of every benchmark.

    python -m benchmarks.NAME [--quick] [--seed N]

A readable table, then as the last line one JSON object:

    {"claims": {name: {"value": .., "target": .., "unit": .., "met": true}}, "seed": .., ...}

Runs of all contestants are interleaved, so that a machine that slows down slows all of them; a
claim is the median over the rounds of a ratio taken within a round.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Claim:
    """One number that we promise; `target` None where it is only reported."""

    value: float
    unit: str
    target: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "value": round(self.value, 6),
            "target": self.target,
            "unit": self.unit,
            "met": self.met,
        }


def arguments(doc: str | None) -> argparse.Namespace:
    """`--quick` and `--seed`, with the script's docstring as the help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the same, smaller: within a minute")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(
    contestants: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, one after the other within a round."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            taken[name].append(seconds(run))
    return taken


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median over the rounds of `over / under`."""
    return median(o / u for o, u in zip(over, under, strict=True))


def report(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    claims: Mapping[str, Claim],
    seed: int,
) -> None:
    """Print the table, the claims in words, and the JSON line."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(width=100)
    console.print(table)
    for name, claim in claims.items():
        console.print(f"{name}: {_cell(claim.value)} {claim.unit}{_verdict(claim)}")
    as_json = {name: claim.as_json() for name, claim in claims.items()}
    print(json.dumps({"claims": as_json, "seed": seed, "machine": machine()}), flush=True)


def resident(name: str) -> int:
    """One of the kernel's counts of this process's memory, in KiB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def machine() -> dict[str, Any]:
    """What ran it; no host name."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _verdict(claim: Claim) -> str:
    if claim.target is None:
        return ""
    relation = "at most" if claim.at_most else "at least"
    return f" (wanted {relation} {claim.target:g}: {'met' if claim.met else 'NOT MET'})"
