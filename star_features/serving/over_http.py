"""
Reading from a feature server that `star serve` started: vectors travel as packed bytes.

    reader = FeatureReader.over_http("http://features:6566")

Imports neither Feast nor pyarrow. Connections are kept open and shared by all threads.
"""

import json
from collections.abc import Sequence
from typing import Any

from star_features.errors import SpaceMismatch, StoreError, UsageError
from star_features.serving.packed import MEDIA_TYPE, unpack
from star_features.serving.request import Entities
from star_features.serving.source import READS_AT_ONCE, Source

ROUTE = "/get-online-vectors"


class HttpSource(Source):
    """Reads services of a feature server.

    Args:
        url: where it listens, such as `http://features:6566`.
        token: sent as a bearer token.
        timeout_seconds: of one request, before it fails.
    """

    def __init__(
        self, url: str, *, token: str | None = None, timeout_seconds: float = 10.0
    ) -> None:
        import urllib3

        super().__init__()
        self.url = url.rstrip("/") + ROUTE
        headers = {"Content-Type": "application/json", "Accept": MEDIA_TYPE}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # Reading twice is reading once: a connection that the server closed is opened again.
        self._pool = urllib3.PoolManager(
            maxsize=READS_AT_ONCE,
            headers=headers,
            timeout=urllib3.Timeout(timeout_seconds),
            retries=urllib3.Retry(connect=1, read=1, redirect=0, status=0, allowed_methods=None),
        )

    def check(self, service: str) -> None:
        self.read(service, "", [])

    def read(
        self, service: str, member_id: str, job_ids: Sequence[str]
    ) -> tuple[Entities, Entities]:
        import urllib3

        body = json.dumps({"service": service, "member": member_id, "jobs": list(job_ids)})
        try:
            answer = self._pool.request("POST", self.url, body=body)
        except urllib3.exceptions.HTTPError as error:
            raise StoreError(
                f"the feature server at {self.url} cannot be reached: {error}\n"
                "Is it running? star serve"
            ) from error
        if answer.status != 200:
            raise _error_of(answer.status, answer.data, self.url)
        return unpack(answer.data)

    def disconnect(self) -> None:
        self._pool.clear()


def error_body(error: Exception) -> dict[str, Any]:
    """An error of ours as the server sends it."""
    if isinstance(error, SpaceMismatch):
        return {"error": "SpaceMismatch", "got": error.got, "wanted": error.wanted}
    return {"error": type(error).__name__, "message": str(error)}


def _error_of(status: int, body: bytes, url: str) -> Exception:
    """The error that the server met, as if it had been met here."""
    try:
        said = json.loads(body)
    except ValueError:
        said = body[:200].decode(errors="replace")
    if isinstance(said, dict) and said.get("error") == "SpaceMismatch":
        return SpaceMismatch(got=said["got"], wanted=said["wanted"])
    if isinstance(said, dict) and said.get("error") == "UsageError":
        return UsageError(said["message"])
    if status in (404, 405):
        return StoreError(
            f"{url} answered {status}: it is no feature server of star-features.\n"
            "Wanted one that was started by: star serve"
        )
    told = said.get("message", said) if isinstance(said, dict) else said
    return StoreError(f"the feature server at {url} answered {status}: {told}")
