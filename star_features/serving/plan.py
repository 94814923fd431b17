"""
What a Feast service asks the online store for, resolved once instead of at every request.

One service names the views of both sides, members and jobs: one row of the registry, so that a
release which repoints it moves both at once, for every reader, whatever its cache holds. Two
services, each with a row of its own, could be read one before and one after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from star_features.errors import SpaceMismatch, UsageError

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

VECTOR, SPACE = "vector", "space"
MEMBER_KEY, JOB_KEY = "member_id", "job_id"


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
class SidePlan:
    """All views of one side of a service, and the one join key they share."""

    join_key: str
    views: tuple[ViewPlan, ...]


@dataclass(frozen=True)
class ServicePlan:
    """Both sides of a service."""

    service: str
    member: SidePlan
    job: SidePlan


def resolve(store: "FeatureStore", service: str) -> ServicePlan:
    """Look a service and its views up in the registry.

    Raises:
        UsageError: there is no such service; a view has other keys than member_id or job_id, or
            is no feature view; or nothing describes one of the sides.
        SpaceMismatch: the two sides of a stable name are views of two pairs.
    """
    definition = _definition(store, service)
    known: Mapping[str, Any] = {v.name: v for v in store.list_feature_views(allow_cache=True)}
    sides: dict[str, list[ViewPlan]] = {MEMBER_KEY: [], JOB_KEY: []}
    for projection in definition.feature_view_projections:
        if projection.name not in known:
            raise UsageError(
                f"{service} reads {projection.name}, which is no feature view; a reader takes"
                " feature views only. Read this service with store.get_online_features"
            )
        view = known[projection.name].with_projection(projection)
        keys = list(view.join_keys)
        if len(keys) != 1 or keys[0] not in sides:
            raise UsageError(
                f"{service} reads {projection.name}, keyed by {', '.join(keys) or 'nothing'}; "
                f"wanted {MEMBER_KEY} or {JOB_KEY}"
            )
        sides[keys[0]].append(_view_plan(store, view, projection))
    if empty := [key for key, views in sides.items() if not views]:
        raise UsageError(
            f"{service} holds nothing keyed by {' and '.join(empty)}; wanted one service with the "
            "views of members and of jobs, such as ranker"
        )
    _refuse_two_pairs(sides[MEMBER_KEY], sides[JOB_KEY])
    return ServicePlan(
        service, *(SidePlan(key, tuple(sides[key])) for key in (MEMBER_KEY, JOB_KEY))
    )


def _definition(store: "FeatureStore", service: str) -> Any:
    from feast.errors import FeastObjectNotFoundException

    try:
        return store.get_feature_service(service, allow_cache=True)
    except FeastObjectNotFoundException as error:
        names = ", ".join(sorted(s.name for s in store.list_feature_services())) or "none"
        raise UsageError(
            f"no feature service {service!r}; known: {names}.\nRegister it first: star apply"
        ) from error


def _view_plan(store: "FeatureStore", view: "FeatureView", projection: Any) -> ViewPlan:
    from star_features.online.columns import online_name

    names = [field.name for field in projection.features]
    front = [name for name in (VECTOR, SPACE) if VECTOR in names and name in names]
    rest = [name for name in names if name not in front]
    return ViewPlan(
        name=projection.name_to_use(),
        table=online_name(store.config, view),
        view=view,
        features=(*front, *rest),
        width=int(view.tags["width"]) if "width" in view.tags else None,
    )


def _refuse_two_pairs(member: list[ViewPlan], job: list[ViewPlan]) -> None:
    """Native vectors of one side beside mapped ones of the other share a space, but are no pair."""
    from star_features.catalogue import VIEW

    of_job = {_unprefixed(plan.name): plan.view.name for plan in job if plan.is_signal}
    for plan in member:
        mine, theirs = plan.view.name, of_job.get(_unprefixed(plan.name), "")
        ours = plan.is_signal and VIEW.match(mine) and VIEW.match(theirs)
        if ours and _unprefixed(theirs) != _unprefixed(mine):
            raise SpaceMismatch(got=theirs, wanted=f"the pair of {mine}")


def _unprefixed(name: str) -> str:
    return name.partition("_")[2]
