"""
A service with other views behind its names, without touching the registry.

    old = reading(store, "ranker", {"job_star": "job_graph_v1"})
    training_set(store, labels, service=old)

For joins over the history that ask what a name meant at another time, or would mean after a
release; and what a release then writes for good (`star_features.release.repoint`).
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from star_features.catalogue import ENTITIES, SpacePair
from star_features.errors import MissingStage

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def reading(store: "FeatureStore", service: str, views: Mapping[str, str]) -> "FeatureService":
    """
    A service as it is registered, with these views behind these aliases (`job_star`).

    Raises:
        MissingStage: the service or a view is not registered.
    """
    from feast.errors import FeastObjectNotFoundException

    try:
        registered = store.registry.get_feature_service(service, store.project, allow_cache=False)
        return _with_views(store, registered, views)
    except FeastObjectNotFoundException as error:
        raise MissingStage(f"in Feast's registry: {error}", "star apply") from error


def aliases_of(pairs: Mapping[str, SpacePair]) -> dict[str, str]:
    """By alias, the view: both sides of each stable name."""
    return {f"{e}_{name}": pair.view(e) for name, pair in pairs.items() for e in ENTITIES}


def _with_views(
    store: "FeatureStore", service: "FeatureService", views: Mapping[str, str]
) -> "FeatureService":
    """All else of it is as it was."""
    moved = copy.copy(service)
    moved.feature_view_projections = [
        _projection(store, projection, views.get(projection.name_to_use(), projection.name))
        for projection in service.feature_view_projections
    ]
    return moved


def _projection(store: "FeatureStore", old: Any, name: str) -> Any:
    """The same features of another view, under the same alias."""
    if name == old.name:
        return old
    view = store.registry.get_any_feature_view(name, store.project, allow_cache=False)
    projection = view.with_name(old.name_to_use()).projection
    wanted = {feature.name for feature in old.features}
    projection.features = [field for field in projection.features if field.name in wanted]
    return projection
