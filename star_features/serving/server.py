"""
Feast's feature server with one route more: vectors as packed bytes, where a client asks for them.

    run(store, host="127.0.0.1", port=6566)                   # star serve
    add_vectors(feast.feature_server.get_app(store), store)   # in a server of your own

`POST /get-online-vectors` takes `{"service": "ranker", "member": "m1", "jobs": ["j1", ...]}` and
answers as `star_features.serving.packed` says. Everything else is Feast's own server: its routes,
metrics, authentication and permissions, which hold for this route too.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from feast import metrics
from feast.feature_server import FeastServeApplication
from feast.permissions.action import AuthzedAction
from feast.permissions.security_manager import (
    assert_permissions,
    get_security_manager,
    is_auth_necessary,
)
from feast.permissions.server.rest import inject_user_details
from feast.permissions.server.utils import (
    ServerType,
    init_auth_manager,
    init_security_manager,
    str_to_auth_manager_type,
)
from pydantic import BaseModel, ConfigDict

from star_features.errors import SpaceMismatch, StarError, UsageError
from star_features.serving.over_http import ROUTE, error_body
from star_features.serving.packed import MEDIA_TYPE, pack
from star_features.serving.plan import ServicePlan
from star_features.serving.store_source import StoreSource

if TYPE_CHECKING:
    from feast import FeatureStore

MOST_JOBS = 10_000
STATUS: dict[type[StarError], int] = {UsageError: 400, SpaceMismatch: 409}


class VectorsRequest(BaseModel):
    """One member and the jobs to rank for them, as a service describes both."""

    model_config = ConfigDict(extra="forbid")
    service: str
    member: str
    jobs: list[str]


def add_vectors(app: FastAPI, store: "FeatureStore") -> None:
    """Add the route for packed vectors to Feast's application over `store`."""
    source = StoreSource(store)

    def read(asked: VectorsRequest) -> bytes:
        """Read and pack in one worker thread: the event loop only passes bytes on."""
        if len(asked.jobs) > MOST_JOBS:
            raise UsageError(f"{len(asked.jobs)} jobs in one request; wanted {MOST_JOBS} at most")
        plan = source.plan(asked.service)
        if is_auth_necessary(get_security_manager()):
            service = store.get_feature_service(asked.service, allow_cache=True)
            assert_permissions(resource=service, actions=[AuthzedAction.READ_ONLINE])
        with _watched(plan, len(asked.jobs) + 1):
            return pack(*source.read(asked.service, asked.member, asked.jobs))

    @app.post(ROUTE, dependencies=[Depends(inject_user_details)], response_class=Response)
    async def get_online_vectors(asked: VectorsRequest) -> Response:
        try:
            return Response(await run_in_threadpool(read, asked), media_type=MEDIA_TYPE)
        except StarError as error:
            return JSONResponse(error_body(error), STATUS.get(type(error), 503))


def run(
    store: "FeatureStore",
    *,
    host: str = "127.0.0.1",
    port: int = 6566,
    workers: int = 1,
    registry_ttl_seconds: int = 60,
    access_log: bool = False,
    key: str = "",
    certificate: str = "",
) -> None:
    """Serve until the process is told to stop, as `feast serve` does.

    Args:
        workers: processes, each with a store of its own.
        registry_ttl_seconds: how soon a release is seen.
        key: path of the key for TLS; with `certificate`, or neither.
    """
    if bool(key) != bool(certificate):
        raise UsageError("TLS takes both a key and a certificate: --key FILE --cert FILE")
    kind = str_to_auth_manager_type(store.config.auth_config.type)
    init_security_manager(auth_type=kind, fs=store)
    init_auth_manager(
        auth_type=kind, server_type=ServerType.REST, auth_config=store.config.auth_config
    )
    VectorServer(
        store,
        metrics_enabled=_start_metrics(store),
        bind=f"{host}:{port}",
        workers=workers,
        registry_ttl_sec=registry_ttl_seconds,
        accesslog="-" if access_log else None,
        keyfile=key or None,
        certfile=certificate or None,
    ).run()


class VectorServer(FeastServeApplication):  # type: ignore[misc]
    """Feast's server over gunicorn, with our route in each worker."""

    def load(self) -> FastAPI:
        """What a worker serves: made after the fork, so that no two share a connection."""
        app: FastAPI = super().load()
        add_vectors(app, self._store)
        # Most objects are what was imported: no collection need look at them again.
        gc.collect()
        gc.freeze()
        return app


@contextmanager
def _watched(plan: ServicePlan, entities: int) -> Iterator[None]:
    """Feast's metrics and audit log of a read, as of its own route."""
    views = [*plan.member.views, *plan.job.views]
    features = sum(len(view.features) for view in views)
    begun, status = time.monotonic(), "error"
    with metrics.track_request_latency(ROUTE, str(features), str(len(views))):
        metrics.track_online_features_entities(entities)
        try:
            yield
            status = "success"
        finally:
            manager = get_security_manager()
            user = manager.current_user if manager else None
            metrics.emit_online_audit_log(
                requestor_id=user.username if user else "anonymous",
                entity_keys=[plan.member.join_key, plan.job.join_key],
                entity_count=entities,
                feature_views=[view.view.name for view in views],
                feature_count=features,
                status=status,
                latency_ms=(time.monotonic() - begun) * 1000,
            )


def _start_metrics(store: "FeatureStore") -> bool:
    """Feast's Prometheus endpoint, where feature_store.yaml turns it on."""
    settings: Any = getattr(store.config.feature_server, "metrics", None)
    if not getattr(settings, "enabled", False):
        return False
    metrics.start_metrics_server(
        store,
        metrics_config=metrics.build_metrics_flags(settings),
        start_resource_monitoring=False,  # each worker starts its own
        start_freshness_monitoring=False,
    )
    return True
