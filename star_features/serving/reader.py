"""
The ranker's reader: what `get_online_features` reads, straight into arrays.

    reader = FeatureReader(store, "ranker")
    reader = FeatureReader.over_http("http://features:6566", "ranker")   # the same, of `star serve`
    request = reader.read(member_id, job_ids)

Any number of threads may share one reader.

Shapes: N jobs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from star_features.serving.decode import expect_spaces
from star_features.serving.request import Entities, RankerRequest, refuse_mixed_pairs
from star_features.serving.source import Source
from star_features.serving.store_source import StoreSource

if TYPE_CHECKING:
    from feast import FeatureStore


class FeatureReader:
    """Reads one member and many jobs.

    Args:
        store: an open Feast store, or another source of the same answers.
        service: the service that describes members and jobs. Both sides come from this one row
            of the registry, so a release moves them together.
        expect: stable name -> the space id this ranker was trained in; anything else is refused.
            Without it only a mixed pair (`member_X` and `job_X` of two versions) is.
    """

    def __init__(
        self,
        store: "FeatureStore | Source",
        service: str = "ranker",
        *,
        expect: Mapping[str, str] | None = None,
    ) -> None:
        self.source: Source = store if isinstance(store, Source) else StoreSource(store)
        self.service = service
        self.expect = dict(expect or {})
        self.source.check(service)

    @classmethod
    def over_http(
        cls,
        url: str,
        service: str = "ranker",
        *,
        expect: Mapping[str, str] | None = None,
        token: str | None = None,
        timeout_seconds: float = 10.0,
    ) -> "FeatureReader":
        """A reader of the feature server that `star serve` started; needs no Feast here.

        Args:
            url: where it listens, such as `http://features:6566`.
            token: sent as a bearer token, where the server asks who reads.
            timeout_seconds: of one request, before it fails.
        """
        from star_features.serving.over_http import HttpSource

        source = HttpSource(url, token=token, timeout_seconds=timeout_seconds)
        return cls(source, service, expect=expect)

    def read(self, member_id: str, job_ids: Sequence[str]) -> RankerRequest:
        """Read one member and N jobs, in their order; an id may occur twice.

        An entity that the store does not know has zeros, `present_N` false and no features.

        Raises:
            SpaceMismatch: one signal, or a pair of them, would mix two spaces.
            StoreError: the store holds something else than the view promises, or is out of reach.
        """
        return self._request(*self.source.read(self.service, member_id, job_ids))

    async def read_async(self, member_id: str, job_ids: Sequence[str]) -> RankerRequest:
        """`read`, while the event loop goes on."""
        return self._request(*await self.source.read_async(self.service, member_id, job_ids))

    def _request(self, member: Entities, jobs: Entities) -> RankerRequest:
        expect_spaces({**member.signals, **jobs.signals}, self.expect)
        refuse_mixed_pairs(member.signals, jobs.signals)
        return RankerRequest(member, jobs)
