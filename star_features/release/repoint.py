"""
Moving what readers read: every service of a release in one transaction of Feast's registry.

    views = registered(store)                                  # {"ranker": {"job_star": "…"}}
    repoint(store, {"ranker": {"job_star": "job_graph_v1_from_v2", "member_star": …}}, now)

`feast apply` writes one service after the other. Between two of them, and for good after a kill,
a client that reads members by one service and jobs by another would meet two versions. Here all
rows change in one transaction (SQL registry) or one file (file registry). `FeatureReader` takes
both sides from one row, so it never sees a half whoever wrote it.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from star_features.catalogue import ENTITIES
from star_features.errors import MissingStage
from star_features.store.services import reading

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

Views = Mapping[str, Mapping[str, str]]
"""By service and alias (`job_star`), a feature view's name."""


def registered(store: "FeatureStore") -> dict[str, dict[str, str]]:
    """What stands behind every alias of every service, as the registry says now."""
    return {
        service.name: {
            projection.name_to_use(): projection.name
            for projection in service.feature_view_projections
        }
        for service in store.registry.list_feature_services(store.project, allow_cache=False)
    }


def repoint(store: "FeatureStore", views: Views, now: datetime) -> list[str]:
    """
    Put these views behind these aliases, in every service of that name and its two sides.

    Returns the names of the services that changed; none when all stood there already.

    Raises:
        MissingStage: a service or a view is not registered yet.
    """
    changed = [new for old, new in _services(store, views) if _aliases(old) != _aliases(new)]
    if changed:
        _write(store, changed, now)
    return [service.name for service in changed]


def _services(
    store: "FeatureStore", views: Views
) -> list[tuple["FeatureService", "FeatureService"]]:
    """Each service of the release, as it is and as it shall be."""
    names = [
        (name, aliases)
        for service, aliases in views.items()
        for name in (service, *(f"{service}_{entity}" for entity in ENTITIES))
    ]
    return [(reading(store, name, {}), reading(store, name, aliases)) for name, aliases in names]


def _write(store: "FeatureStore", services: list["FeatureService"], now: datetime) -> None:
    from feast.infra.registry.sql import SqlRegistry

    registry = store.registry
    for service in services:
        service.last_updated_timestamp = now
    if isinstance(registry, SqlRegistry):
        _in_one_transaction(registry, store.project, services)
    else:
        # A file registry is written whole by the commit; a remote one row by row, and then the
        # service of both sides comes first, which is the one that a FeatureReader takes.
        for service in services:
            registry.apply_feature_service(service, store.project, commit=False)
        registry.commit()
    store.refresh_registry()


def _in_one_transaction(registry: Any, project: str, services: list["FeatureService"]) -> None:
    from feast.infra.registry.sql import feature_services
    from sqlalchemy import update

    _let_readers_read(registry.write_engine)
    table = feature_services
    with registry.write_engine.begin() as db:
        for service in services:
            this = (table.c.feature_service_name == service.name, table.c.project_id == project)
            row = {
                "feature_service_proto": service.to_proto().SerializeToString(),
                "last_updated_timestamp": int(service.last_updated_timestamp.timestamp()),
            }
            if db.execute(update(table).where(*this).values(row)).rowcount != 1:
                raise MissingStage(f"in Feast's registry: the service {service.name}", "star apply")


def _let_readers_read(engine: Any) -> None:
    """SQLite alone: a write-ahead log, so that readers who renew their caches and a release do
    not wait for each other; without it a few of them shut a release out for good."""
    from sqlalchemy.exc import OperationalError

    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as db, suppress(OperationalError):  # busy: the next release asks again
        db.exec_driver_sql("PRAGMA journal_mode=WAL")


def _aliases(service: "FeatureService") -> dict[str, str]:
    return {p.name_to_use(): p.name for p in service.feature_view_projections}
