"""
From a fresh process to the first vectors: where the seconds go.

    python -m benchmarks.warm_start [--quick]

Each measurement is a process of its own, all kinds in turn, files warm; one member and 100 jobs,
200 wide, from SQLite. Seconds from before the first import:

- ours, HTTP: `FeatureReader.over_http` of a `star serve` that is running, without Feast
- ours: `import feast`, open the store, `FeatureReader`, first read
- ours, -O: the same under `python -O`, which spares Feast's classes being rewritten by typeguard
- Feast: `import feast`, open the store, first `get_online_features` of the member and of the jobs,
  `to_dict`

Then which packages `import feast` spends its seconds in. Four minutes; `--quick`: one round.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common import Claim, arguments, median_ratio, report
from benchmarks.feature_server import started, write_repo
from benchmarks.online_stores import FAST, open_stores, rows
from star_features.online.writer import write_batches
from star_features.progress import bar

JOBS = 100
PARTS = ("import", "open", "first", "second")
IMPORT_SECONDS_OF_FEAST = 0.1
TOP = 6

CLOCK = """
import json, sys, time
marks = [time.perf_counter()]
def mark(): marks.append(time.perf_counter())
jobs = [f"job-{n}" for n in range(100)]
"""
TELL = """
print(json.dumps([b - a for a, b in zip(marks, marks[1:])]))
"""
WAYS = {
    "ours, HTTP": """
from star_features.serving import FeatureReader
mark()
reader = FeatureReader.over_http({url!r})
mark()
reader.read("m", jobs); mark()
reader.read("m", jobs); mark()
""",
    "ours": """
from feast import FeatureStore
from star_features.serving import FeatureReader
mark()
reader = FeatureReader(FeatureStore({repo!r}))
mark()
reader.read("m", jobs); mark()
reader.read("m", jobs); mark()
""",
    "Feast": """
from feast import FeatureStore
mark()
store = FeatureStore({repo!r})
mark()
def read():
    for side, ids in (("member", ["m"]), ("job", jobs)):
        found = store.get_feature_service(f"ranker_{{side}}", allow_cache=True)
        entities = {{f"{{side}}_id": ids}}
        store.get_online_features(found, entities, full_feature_names=True).to_dict()
read(); mark()
read(); mark()
""",
}


def main() -> None:
    settings = arguments(__doc__)
    rounds = 1 if settings.quick else 7
    with tempfile.TemporaryDirectory() as folder:
        repos = filled(Path(folder), settings.seed)
        with started("star", repos["ours"]) as url:
            taken = measured(repos, url(), rounds, Path(folder) / "compiled")
        packages, modules = import_seconds(Path(folder) / "compiled")
    rows_ = [[who, *map(median, zip(*runs, strict=True))] for who, runs in taken.items()]
    for row in rows_:
        row.append(sum(row[1:4]))
    rows_ += [[f"  of import feast: {name}", seconds] for name, seconds in packages]
    columns = ["seconds", *PARTS, "to the first vectors"]
    padded = [[*row, *[""] * (len(columns) - len(row))] for row in rows_]
    report(
        "a fresh process", columns, padded, claims_of(taken) | modules_claim(modules), settings.seed
    )


def filled(folder: Path, seed: int) -> dict[str, Path]:
    """A repository folder for our class and one for Feast's, over one registry and one file."""
    place = {"path": str(folder / "online.db")}
    fast, _ = open_stores("sqlite", place, folder, 200)
    rng = np.random.default_rng(seed)
    for view, key, ids in (
        ("member_v1", "member_id", ["m"]),
        ("job_v1", "job_id", [f"job-{n}" for n in range(JOBS)]),
    ):
        vectors_ND = rng.standard_normal((len(ids), 200)).astype(np.float32)
        write_batches(fast, view, rows(key, ids, vectors_ND).to_batches())
    fast._get_provider().online_store.disconnect()
    return {
        name: write_repo(
            folder / name,
            registry=folder / "sqlite-200",
            online={"type": kind, **place},
            project="bench200",
        )
        for name, kind in (("ours", FAST["sqlite"]), ("Feast", "sqlite"))
    }


def measured(
    repos: dict[str, Path], url: str, rounds: int, compiled: Path
) -> dict[str, list[list[float]]]:
    codes = {
        who: CLOCK
        + way.format(url=url, repo=str(repos["Feast" if who == "Feast" else "ours"]))
        + TELL
        for who, way in WAYS.items()
    }
    taken: dict[str, list[list[float]]] = {who: [] for who in codes}
    with bar("fresh processes", total=(rounds + 1) * len(codes)) as shown:
        for number in range(rounds + 1):  # the first one reads and compiles the files
            for who, code in codes.items():
                options = ["-O"] if who.endswith("-O") else []
                seconds = json.loads(fresh(code, compiled, *options).stdout.splitlines()[-1])
                if number:
                    taken[who].append(seconds)
                shown.update()
    return taken


def fresh(code: str, compiled: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a piece of code in a new Python that keeps its compiled files in a folder of ours."""
    ours = {"PYTHONWARNINGS": "ignore", "PYTHONPYCACHEPREFIX": str(compiled)}
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=rest | ours,
    )


def import_seconds(compiled: Path) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """Own seconds of the packages that `import feast` loads, most first; and module counts."""
    own: Counter[str] = Counter()
    for line in fresh("import feast", compiled, "-X", "importtime").stderr.splitlines():
        if line.startswith("import time:") and "self [us]" not in line:
            micros, _, name = line.removeprefix("import time:").split("|")
            own[name.strip().split(".")[0]] += int(micros)
    counts = {
        name: int(fresh(f"import sys, {name}; print(len(sys.modules))", compiled).stdout)
        for name in ("feast", "star_features.serving")
    }
    top = [(name, micros / 1e6) for name, micros in own.most_common(TOP)]
    return [*top, ("all others", (sum(own.values()) / 1e6) - sum(s for _, s in top))], counts


def claims_of(taken: dict[str, list[list[float]]]) -> dict[str, Claim]:
    imports = {who: [run[0] for run in runs] for who, runs in taken.items()}
    firsts = {who: [run[2] for run in runs] for who, runs in taken.items()}
    whole = {who: [sum(run[:3]) for run in runs] for who, runs in taken.items()}
    return {
        "import_of_the_sdk_over_import_feast": Claim(
            median_ratio(imports["ours, HTTP"], imports["Feast"]),
            "times",
            IMPORT_SECONDS_OF_FEAST,
            at_most=True,
        ),
        "first_read_over_feasts_first_read": Claim(
            median_ratio(firsts["ours"], firsts["Feast"]), "times", 1.0, at_most=True
        ),
        "to_the_first_vectors_over_feasts": Claim(
            median_ratio(whole["ours"], whole["Feast"]), "times", 1.1, at_most=True
        ),
        "to_the_first_vectors_over_http_over_feasts": Claim(
            median_ratio(whole["ours, HTTP"], whole["Feast"]), "times", 0.2, at_most=True
        ),
        "to_the_first_vectors_optimised_over_feasts": Claim(
            median_ratio(whole["ours, -O"], whole["Feast"]), "times"
        ),
    }


def modules_claim(counts: dict[str, int]) -> dict[str, Claim]:
    return {f"modules_loaded_by_{name}": Claim(n, "modules") for name, n in counts.items()}


if __name__ == "__main__":
    main()
