"""The route for packed vectors: what it refuses, what it lets through, who may ask."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from feast import FeatureService, FeatureStore
from feast.permissions import security_manager
from feast.permissions.action import AuthzedAction
from feast.permissions.auth import auth_manager
from feast.permissions.permission import Permission
from feast.permissions.policy import RoleBasedPolicy
from feast.permissions.security_manager import SecurityManager
from feast.permissions.user import User

from star_features.errors import StoreError
from star_features.serving import FeatureReader
from star_features.serving.over_http import ROUTE
from star_features.serving.packed import unpack

FAST = "star_features.online.sqlite.FastSqliteOnlineStore"


def post(url: str, body: Any, **headers: str) -> Any:
    return urllib3.request("POST", url + ROUTE, json=body, headers=headers)


def asked(jobs: list[str], service: str = "ranker") -> dict[str, Any]:
    return {"service": service, "member": "m1", "jobs": jobs}


def test_the_body_is_safetensors_and_says_so(served: str) -> None:
    answer = post(served, asked(["j1", "j9"]))
    assert answer.headers["content-type"].endswith("+safetensors")
    _, jobs = unpack(answer.data)
    assert jobs["job_star"].vectors_ND.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (asked(["j1"]) | {"extra": 1}, 422, "extra"),
        (asked(["j"] * 10_001), 400, "10001 jobs"),
        (asked(["j1"], "nothing"), 400, "known: ranker"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(
    served: str, body: Any, status: int, message: str
) -> None:
    answer = post(served, body)
    assert (answer.status, message in answer.data.decode()) == (status, True)


def test_feasts_own_routes_go_on_beside_it(served: str) -> None:
    body = {"feature_service": "ranker_job", "entities": {"job_id": ["j3"]}}
    answer = urllib3.request("POST", served + "/get-online-features", json=body)
    assert answer.status == 200
    names = answer.json()["metadata"]["feature_names"]
    values = [result["values"][0] for result in answer.json()["results"]]
    assert dict(zip(names, values, strict=True))["vector"] == [3, 4]


def test_many_readers_at_once_each_get_their_own_answer(served: str) -> None:
    reader = FeatureReader.over_http(served)
    jobs = [f"j{n % 3 + 1}" for n in range(24)]
    expected = {"j1": [1, 0], "j2": [0, 1], "j3": [3, 4]}

    def read(job: str) -> Any:
        return reader.read("m1", [job]).jobs["job_star"].vectors_ND[0].tolist()

    async def all_at_once() -> list[Any]:
        requests = await asyncio.gather(*(reader.read_async("m1", [job]) for job in jobs))
        return [request.jobs["job_star"].vectors_ND[0].tolist() for request in requests]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, jobs)) == [expected[job] for job in jobs]
    assert asyncio.run(all_at_once()) == [expected[job] for job in jobs]


def test_a_server_that_is_not_there_names_the_command() -> None:
    with pytest.raises(StoreError, match="star serve"):
        FeatureReader.over_http("http://127.0.0.1:1")


def test_a_server_of_something_else_is_told_apart(served: str) -> None:
    with pytest.raises(StoreError, match="no feature server of star-features"):
        FeatureReader.over_http(served + "/static")


def test_only_who_may_read_a_service_reads_it(
    served: str, opened: Callable[[str], FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feast's authentication and permissions hold here too; a token is its user's role."""
    readers = Permission(
        name="readers",
        types=[FeatureService],
        policy=RoleBasedPolicy(["reader"]),
        actions=[AuthzedAction.READ_ONLINE],
    )
    store = opened(FAST)
    store.apply([readers])
    manager = SecurityManager(project="p", registry=store.registry)
    monkeypatch.setattr(security_manager, "_sm", manager)
    monkeypatch.setattr(auth_manager, "_auth_manager", RolesAsTokens())
    request = FeatureReader.over_http(served, token="reader").read("m1", ["j1"])
    assert request.jobs["job_star"].present_N.all()
    for token, status in ((None, 401), ("stranger", 403)):
        with pytest.raises(StoreError, match=f"answered {status}"):
            FeatureReader.over_http(served, token=token)


class RolesAsTokens(auth_manager.AuthManager):  # type: ignore[misc]
    """Whoever says `Bearer ROLE` has that role."""

    def __init__(self) -> None:
        pass

    @property
    def token_extractor(self) -> Any:
        def extract(request: Any) -> str:
            return str(request.headers.get("authorization", "")).removeprefix("Bearer ")

        return SimpleNamespace(extract_access_token=extract)

    @property
    def token_parser(self) -> Any:
        async def parse(access_token: str) -> User:
            return User("someone", [access_token])

        return SimpleNamespace(user_details_from_access_token=parse)
