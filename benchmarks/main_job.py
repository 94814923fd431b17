"""
The main job: is each feature group worth its price, and what does it take?

    python -m benchmarks.main_job [--quick]

Three simulated worlds (seeds 0, 1, 2), each from tables to a ranker's AUC on later interactions.
Peers are the ranker with less to read; the floor of what may be missed is the attainable AUC, that
of the simulation's own probabilities. `--quick`: one world of 1,000 members.
"""

import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import mean

from benchmarks.common import Claim, arguments, report
from pipelines import market
from pipelines.home import Home
from pipelines.receipts import Receipt
from pipelines.run import stages
from star_features.progress import track

ORDER = ("categorical", "+ text", "+ text + graph", "attainable")
MEMBERS, QUICK_MEMBERS = 3_000, 1_000


def world(folder: Path, members: int, seed: int) -> list[Receipt]:
    """The receipts of the whole main job on one simulated world."""
    home = Home.find(folder)
    receipts = [market.stage(home, members, seed).run(home)]
    for build in stages(home, home.market):
        receipts.append(build().run(home))
    return receipts


def gaps(auc: dict[str, dict[str, float]], part: str) -> dict[str, float]:
    """How much each row of ORDER gains over the one before it."""
    return {
        f"{after} over {before}": auc[after][part] - auc[before][part]
        for before, after in pairwise(ORDER)
    }


def main() -> None:
    options = arguments(__doc__)
    seeds = [options.seed] if options.quick else [options.seed + i for i in range(3)]
    members = QUICK_MEMBERS if options.quick else MEMBERS
    found: dict[int, list[Receipt]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in track(seeds, "worlds", unit="world"):
            found[seed] = world(Path(folder) / str(seed), members, seed)
    auc = {seed: receipts[-1].facts["auc"] for seed, receipts in found.items()}
    rows: list[list[object]] = [
        [f"seed {seed}", name, *(round(value, 4) for value in row.values())]
        for seed, table in auc.items()
        for name, row in table.items()
    ]
    took = [sum(receipt.seconds for receipt in receipts) for receipts in found.values()]
    claims = {
        f"least gain of {name}": Claim(
            min(gaps(table, "all")[name] for table in auc.values()), "AUC", 1e-9
        )
        for name in gaps(auc[seeds[0]], "all")
    }
    for part in ("cold members", "cold jobs"):
        gain = mean(t["+ text + graph"][part] - t["categorical"][part] for t in auc.values())
        claims[f"mean gain on {part}"] = Claim(gain, "AUC")
    claims["seconds of the whole job"] = Claim(mean(took), "s")
    slices = list(auc[seeds[0]]["categorical"])
    report("Ranker AUC, simulated worlds", ["world", "features", *slices], rows, claims, seeds[0])


if __name__ == "__main__":
    main()
