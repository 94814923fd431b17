"""
Where a reader's bytes come from: a Feast store in this process, or a feature server over HTTP.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from star_features.serving.request import Entities


@runtime_checkable
class Source(Protocol):
    """What a `FeatureReader` reads from."""

    def check(self, service: str) -> None:
        """Raise what a read of this service would raise for want of the service."""
        ...

    def read(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        """One member and many jobs, in one round trip; an id may occur twice."""
        ...

    async def read_async(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        """`read`, while the event loop goes on."""
        ...
