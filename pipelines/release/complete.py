"""
Is everything there that readers would meet after a release? Counted and compared before it.

    found = compare(desk, moves)          # one ViewState a view
    problems = [line for view in found for line in view.problems()]
"""

from typing import TYPE_CHECKING

from pipelines.compat import the_map
from pipelines.release.desk import Desk
from star_features.catalogue import ENTITIES, Entity, SpacePair
from star_features.ledger.vectors import count_absent
from star_features.progress import bar
from star_features.release.complete import ViewState, check_view
from star_features.release.pointers import Moves
from star_features.store.history import History
from star_features.store.mapped import count_unmapped

if TYPE_CHECKING:
    from feast import FeatureStore


def compare(desk: Desk, moves: Moves) -> list[ViewState]:
    """Both sides of every pair that readers would meet, and of the model behind it."""
    outgoing = {after: before for before, after in moves.values()}
    native = {SpacePair(after.kind, after.source) for after in outgoing}
    store = desk.store()
    return [
        _compare(desk, store, pair, outgoing.get(pair), entity)
        for pair in sorted({*outgoing, *native}, key=str)
        for entity in ENTITIES
    ]


def _compare(
    desk: Desk, store: "FeatureStore", pair: SpacePair, before: SpacePair | None, entity: Entity
) -> ViewState:
    history = History.of_vectors(desk.home.history, pair.view(entity))
    history.ensure()
    with bar(f"compare {history.view}", unit="row") as progress:
        return check_view(
            store,
            desk.ledger,
            history,
            desk.now_us,
            unmapped=_unmapped(desk, pair, entity, history),
            lost=_lost(desk, before, pair, entity),
            progress=progress.update,
        )


def _unmapped(desk: Desk, pair: SpacePair, entity: Entity, history: History) -> int:
    """Rows of the newer version that the mapped view does not tell yet through today's map."""
    if pair.filled_by is None:
        return 0
    native = SpacePair(pair.kind, pair.filled_by).view(entity)
    source = History.of_vectors(desk.home.history, native)
    _, name = the_map(desk.home, pair, entity)
    return count_unmapped(source, history, name=name.rpartition("@")[2])


def _lost(desk: Desk, before: SpacePair | None, pair: SpacePair, entity: Entity) -> int:
    """Entities that have a vector in what is read now, and would have none."""
    if before is None or before == pair:
        return 0
    return count_absent(desk.ledger, before.view(entity), pair.view(entity))
