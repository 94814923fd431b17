"""
Consumers: who reads which stable names, in which language, and what that costs them.

    register(home, Registered("ranker", "ranker", ["star"], {"star": "graph.v1"}, scorer))
"""

from pipelines.home import Home
from pipelines.release.desk import at_desk
from star_features.catalogue import SpacePair
from star_features.errors import UsageError
from star_features.ledger.consumers import Registered, add, consumers, remove
from star_features.release.scorer import load_scorer


def register(home: Home, consumer: Registered, *, check: bool = True) -> Registered:
    """
    Register a consumer; where it does not say what it reads or was trained on, as it is now.

    Args:
        check: load it first, so that a scorer that cannot be loaded is not found out at the gate.

    Raises:
        UsageError: the service or a stable name is unknown, or the scorer cannot be loaded.
    """
    with at_desk(home) as desk:
        pairs = desk.catalogue.stable_pairs(consumer.service)
        names = consumer.features or [*pairs]
        if unknown := set(names) - set(pairs) or set(consumer.pairs) - set(names):
            raise UsageError(
                f"{consumer.name}: no stable name {', '.join(sorted(unknown))} in the service "
                f"{consumer.service}; known: {', '.join(pairs)}"
            )
        trained = {name: SpacePair(pairs[name].kind, pairs[name].version) for name in names}
        for name, pair in consumer.pairs.items():
            trained[name] = SpacePair.parse(pair)
            desk.catalogue.version(trained[name].kind, trained[name].version)
        if check:
            load_scorer(consumer.scorer, home.path)
        whole = Registered(
            consumer.name,
            consumer.service,
            list(names),
            {name: str(pair) for name, pair in trained.items()},
            consumer.scorer,
            consumer.settings,
        )
        with desk.ledger.begin() as db:
            add(db, whole, desk.now_us)
        return whole


def forget(home: Home, name: str) -> None:
    """Remove a consumer from the register."""
    with at_desk(home) as desk, desk.ledger.begin() as db:
        remove(db, name)


def known(home: Home) -> list[Registered]:
    """Everybody who is registered, by name."""
    with at_desk(home) as desk, desk.ledger.read() as db:
        return consumers(db)
