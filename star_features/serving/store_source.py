"""
Reading in this process: a Feast store's online bytes, straight into arrays.

What a service asks for is resolved when the registry changes, not at every request, and stored
bytes are copied once. With a store that is not one of `star_features.online`, the same arrays come
through Feast's own `online_read`.

Shapes: N jobs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from star_features.online.columns import Columns, ViewRead, as_micros
from star_features.online.wire import NEVER, entity_keys
from star_features.serving.decode import decode
from star_features.serving.plan import ServicePlan, resolve
from star_features.serving.request import Entities
from star_features.serving.source import Source

if TYPE_CHECKING:
    from feast import FeatureStore


class StoreSource(Source):
    """Reads services of an open Feast store."""

    def __init__(self, store: "FeatureStore") -> None:
        super().__init__()
        self.store = store
        self._online: Any = store._get_provider().online_store
        self._resolved: dict[str, tuple[object, ServicePlan]] = {}

    def check(self, service: str) -> None:
        self.plan(service)

    def read(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        plan = self.plan(service)
        distinct = list(dict.fromkeys(job_ids))
        columns = self._columns(plan, [member_id], distinct)
        cut = len(plan.member.views)
        jobs = columns[cut:]
        if len(distinct) != len(job_ids):
            place = {job: row for row, job in enumerate(distinct)}
            rows = [place[job] for job in job_ids]
            jobs = [_taken(read, rows) for read in jobs]
        return decode(plan.member, [member_id], columns[:cut]), decode(plan.job, job_ids, jobs)

    def disconnect(self) -> None:
        """The fast stores' connections; Feast's own stores keep theirs."""
        getattr(self._online, "disconnect", lambda: None)()

    def plan(self, service: str) -> ServicePlan:
        """The service as the registry has it now; looked up again when its cache is renewed."""
        registry = self.store.registry
        valid = getattr(registry, "is_cache_valid", lambda: False)()
        stamp = getattr(registry, "cached_registry_proto_created", None)
        known = self._resolved.get(service)
        if known and valid and known[0] == stamp:
            return known[1]
        # The stamp is from before: where the cache is renewed meanwhile, the next request looks
        # the service up once more, instead of keeping an older one under the newer stamp.
        plan = resolve(self.store, service)
        self._resolved[service] = (stamp, plan)
        return plan

    def _columns(self, plan: ServicePlan, members: list[str], jobs: list[str]) -> list[Columns]:
        """Every view of both sides, in one round trip where the store has columns."""
        asked = [
            (view, keys)
            for side, ids in ((plan.member, members), (plan.job, jobs))
            for keys in [entity_keys(side.join_key, ids)]
            for view in side.views
        ]
        reads = [ViewRead(view.table, view.features, keys) for view, keys in asked]
        config = self.store.config
        if hasattr(self._online, "read_columns"):
            columns: list[Columns] = self._online.read_columns(config, reads)
            return columns
        return [
            _through_feast(self._online, config, view.view, read)
            for (view, _), read in zip(asked, reads, strict=True)
        ]


def _through_feast(online: Any, config: Any, view: Any, read: ViewRead) -> Columns:
    """Columns from a store that only speaks Feast's interface."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    keys = [deserialize_entity_key(key) for key in read.keys]
    rows = online.online_read(config, view, keys, list(read.features))
    values = [
        [row[name].SerializeToString() if row and name in row else None for _, row in rows]
        for name in read.features
    ]
    times = [NEVER if at is None or not row else as_micros(at) for at, row in rows]
    return Columns(values, np.asarray(times, dtype=np.int64))


def _taken(read: Columns, rows: list[int]) -> Columns:
    return Columns([[column[row] for row in rows] for column in read.values], read.event_us_N[rows])
