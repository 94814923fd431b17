"""
What a Feast service asks the online store for, resolved once instead of at every request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from star_features.errors import UsageError

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

VECTOR, SPACE = "vector", "space"


@dataclass(frozen=True)
class ViewPlan:
    """One view of a service.

    Attributes:
        name: the stable name it goes by.
        table: its name in the online store.
        view: Feast's definition.
        features: what to read of it, `vector` and `space` first where it has them.
        width: of its vectors, where its `width` tag promises one.
    """

    name: str
    table: str
    view: "FeatureView"
    features: tuple[str, ...]
    width: int | None

    @property
    def is_signal(self) -> bool:
        return self.features[:2] == (VECTOR, SPACE)


@dataclass(frozen=True)
class ServicePlan:
    """All views of a service, and the one join key they share."""

    service: str
    join_key: str
    views: tuple[ViewPlan, ...]


def resolve(store: "FeatureStore", service: str) -> ServicePlan:
    """Look a service and its views up in the registry.

    Raises:
        UsageError: the service mixes entities, or holds something that is no feature view.
    """
    from star_features.online.columns import online_name

    definition = store.get_feature_service(service, allow_cache=True)
    plans: list[ViewPlan] = []
    keys: set[str] = set()
    known: Mapping[str, Any] = {v.name: v for v in store.list_feature_views(allow_cache=True)}
    for projection in definition.feature_view_projections:
        if projection.name not in known:
            raise UsageError(
                f"{service} reads {projection.name}, which is no feature view; a reader takes"
                " feature views only. Read this service with store.get_online_features"
            )
        view = known[projection.name].with_projection(projection)
        keys.update(view.join_keys)
        names = [field.name for field in projection.features]
        front = [name for name in (VECTOR, SPACE) if VECTOR in names and name in names]
        rest = [name for name in names if name not in front]
        plans.append(
            ViewPlan(
                name=projection.name_to_use(),
                table=online_name(store.config, view),
                view=view,
                features=(*front, *rest),
                width=int(view.tags["width"]) if "width" in view.tags else None,
            )
        )
    if len(keys) != 1:
        raise UsageError(
            f"{service} is keyed by {', '.join(sorted(keys)) or 'nothing'}; wanted one entity a"
            " service, such as ranker_member and ranker_job"
        )
    return ServicePlan(service, keys.pop(), tuple(plans))
