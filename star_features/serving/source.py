"""
Where a reader's bytes come from: a Feast store in this process, or a feature server over HTTP.

The asynchronous read is the other one in a thread, for all stores. The event loop goes on just as
well beside redis-py's and psycopg's own asyncio, but those take two to four times as long over
hundreds of wide vectors: every piece that arrives is a turn of the loop and a copy
(`benchmarks/online_async.py`). SQLite has no other way.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from star_features.serving.request import Entities

READS_AT_ONCE = 64


class Source(ABC):
    """What a `FeatureReader` reads from. Any number of threads may share one.

    Args:
        reads_at_once: threads that asynchronous reads share, started as they are needed; one read
            more waits its turn. Threads of its own: the event loop's would be few, and others'.
    """

    def __init__(self, reads_at_once: int = READS_AT_ONCE) -> None:
        self._threads = ThreadPoolExecutor(reads_at_once, thread_name_prefix="star-read")

    @abstractmethod
    def check(self, service: str) -> None:
        """Raise what a read of this service would raise for want of the service."""

    @abstractmethod
    def read(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        """One member and many jobs, in one round trip; an id may occur twice."""

    @abstractmethod
    def disconnect(self) -> None:
        """Close the connections; the next read opens new ones."""

    async def read_async(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        """`read`, while the event loop goes on. Cancelled, it is not waited for any longer."""
        import asyncio  # a tenth of a second that who reads without it is spared

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.read, service, member_id, job_ids)
