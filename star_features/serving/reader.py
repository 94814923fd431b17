"""
The ranker's reader: what `get_online_features` reads, straight into arrays.

    reader = FeatureReader(store, "ranker")
    request = reader.read(member_id, job_ids)

What a request asks for is resolved when the registry changes, not at every request, and stored
bytes are copied once. Any number of threads may share one reader. With a store that is not one of
`star_features.online`, the same arrays come through Feast's own `online_read`.

Shapes: N jobs.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from star_features.online.columns import Columns, ViewRead, as_micros
from star_features.online.wire import NEVER, entity_keys
from star_features.serving.decode import decode, expect_spaces
from star_features.serving.plan import ServicePlan, SidePlan, resolve
from star_features.serving.request import Entities, RankerRequest, refuse_mixed_pairs

if TYPE_CHECKING:
    from feast import FeatureStore


class FeatureReader:
    """Reads one member and many jobs.

    Args:
        store: an open Feast store.
        service: the service that describes members and jobs. Both sides come from this one row
            of the registry, so a release moves them together.
        expect: stable name -> the space id this ranker was trained in; anything else is refused.
            Without it only a mixed pair (`member_X` and `job_X` of two versions) is.
    """

    def __init__(
        self,
        store: "FeatureStore",
        service: str = "ranker",
        *,
        expect: Mapping[str, str] | None = None,
    ) -> None:
        self.store = store
        self.service = service
        self.expect = dict(expect or {})
        self._online: Any = store._get_provider().online_store
        self._resolved: tuple[object, ServicePlan] | None = None
        self._plan()

    def read(self, member_id: str, job_ids: Sequence[str]) -> RankerRequest:
        """Read one member and N jobs, in their order; an id may occur twice.

        An entity that the store does not know has zeros, `present_N` false and no features.

        Raises:
            SpaceMismatch: one signal, or a pair of them, would mix two spaces.
            StoreError: the store holds something else than the view promises.
        """
        plan = self._plan()
        for_member, for_job = plan.member, plan.job
        distinct = list(dict.fromkeys(job_ids))
        columns = self._columns(for_member, [member_id], for_job, distinct)
        cut = len(for_member.views)
        jobs = columns[cut:]
        if len(distinct) != len(job_ids):
            place = {job: row for row, job in enumerate(distinct)}
            rows = [place[job] for job in job_ids]
            jobs = [_taken(read, rows) for read in jobs]
        return self._request(
            decode(for_member, [member_id], columns[:cut]), decode(for_job, job_ids, jobs)
        )

    async def read_async(self, member_id: str, job_ids: Sequence[str]) -> RankerRequest:
        """`read`, beside the event loop: the loop goes on while a thread waits for the store."""
        return await asyncio.to_thread(self.read, member_id, job_ids)

    def _request(self, member: Entities, jobs: Entities) -> RankerRequest:
        expect_spaces({**member.signals, **jobs.signals}, self.expect)
        refuse_mixed_pairs(member.signals, jobs.signals)
        return RankerRequest(member, jobs)

    def _plan(self) -> ServicePlan:
        """The service as the registry has it now; looked up again when its cache is renewed."""
        registry = self.store.registry
        valid = getattr(registry, "is_cache_valid", lambda: False)()
        stamp = getattr(registry, "cached_registry_proto_created", None)
        if self._resolved and valid and self._resolved[0] == stamp:
            return self._resolved[1]
        # The stamp is from before: where the cache is renewed meanwhile, the next request looks
        # the service up once more, instead of keeping an older one under the newer stamp.
        plan = resolve(self.store, self.service)
        self._resolved = (stamp, plan)
        return plan

    def _columns(
        self,
        for_member: SidePlan,
        members: list[str],
        for_job: SidePlan,
        jobs: list[str],
    ) -> list[Columns]:
        """Every view of both sides, in one round trip where the store has columns."""
        member_keys = entity_keys(for_member.join_key, members)
        job_keys = entity_keys(for_job.join_key, jobs)
        asked = [(view, member_keys) for view in for_member.views]
        asked += [(view, job_keys) for view in for_job.views]
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
