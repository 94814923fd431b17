"""
Market: a simulated job market on real texts, to run on without data of one's own.

    star market --members 3000 --seed 0

Written where anyone's tables could be: the other stages do not know that it is simulated.
"""

from dataclasses import asdict

from pipelines.home import Home
from pipelines.receipts import Facts, Stage, find_receipt
from star_features.errors import UsageError


def stage(home: Home, members: int, seed: int, jobs: int | None = None) -> Stage:
    """The stage that writes `market/`: tables, and what the simulation knows in `truth/`.

    Raises:
        UsageError: the home holds another simulated world.
    """
    settings = {"members": members, "seed": seed, "jobs": jobs}
    last = find_receipt(home, "market")
    if last and last.settings != settings:
        raise UsageError(
            f"{home.path} holds the world of {last.settings}, and {settings} was asked for.\n"
            "One home holds one data set. Use another one: STAR_HOME=.star-other star demo …"
        )
    return Stage(
        name="market",
        settings=settings,
        after=[],
        outputs=[home.market / "dataset.toml", home.truth],
        work=lambda: _work(home, members, seed, jobs),
    )


def _work(home: Home, members: int, seed: int, jobs: int | None) -> Facts:
    from star_features.market.generate import generate
    from star_features.market.settings import MarketSettings

    receipt = generate(home.market, MarketSettings(members=members, seed=seed, jobs=jobs))
    return {name: value for name, value in asdict(receipt).items() if name != "out"}
