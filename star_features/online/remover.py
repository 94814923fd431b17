"""
Removing entities from an online store: the rows of one feature view, by entity id.

    remove_entities(store, "job_graph_v1", ["j1", "j2"])     # 2, or fewer if not all were there

For the fast stores; Feast's own interface can remove a whole view only. Safe to run again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from star_features.errors import StoreError
from star_features.online.columns import ColumnarStore
from star_features.online.wire import entity_keys

if TYPE_CHECKING:
    from feast import FeatureStore


def remove_entities(store: "FeatureStore", view: str, ids: Sequence[str]) -> int:
    """Remove these entities' rows from the online table of a view; returns how many were there.

    Raises:
        StoreError: the store cannot be reached, or is none of the fast ones.
    """
    table = store.get_feature_view(view)
    online = columnar(store)
    return online.delete_rows(store.config, table, entity_keys(table.join_keys[0], ids))


def columnar(store: "FeatureStore") -> ColumnarStore:
    """The online store, if it is a fast one.

    Raises:
        StoreError: it is not.
    """
    online = store._get_provider().online_store
    if not isinstance(online, ColumnarStore):
        raise StoreError(
            f"the online store {type(online).__name__} can neither list nor remove single rows.\n"
            "Wanted in feature_store.yaml: type: star_features.online.sqlite.FastSqliteOnlineStore "
            "(or redis.FastRedisOnlineStore, postgres.FastPostgreSQLOnlineStore)"
        )
    return online
