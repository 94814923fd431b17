"""Real server processes on free ports: `star serve`, and stock `feast serve`, over one store."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from benchmarks.feature_server import started, write_repo
from star_features.serving import FeatureReader

FAST = "star_features.online.sqlite.FastSqliteOnlineStore"


@pytest.fixture(scope="module")
def urls(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Both servers over one home, started together; each must stop without an error."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(filled, home, dirs_exist_ok=True)
    write_repo(home, registry=home, online={"type": FAST, "path": str(home / "online.db")})
    with started("star", home) as star, started("feast", home) as feast:
        yield {"star": star(), "feast": feast()}


def feasts_answer(url: str) -> dict[str, Any]:
    body = {"feature_service": "ranker_job", "entities": {"job_id": ["j3", "j9"]}}
    answer = urllib3.request("POST", url + "/get-online-features", json=body).json()
    values = [result["values"] for result in answer["results"]]
    return dict(zip(answer["metadata"]["feature_names"], values, strict=True))


def test_star_serve_answers_with_arrays(urls: dict[str, str]) -> None:
    request = FeatureReader.over_http(urls["star"]).read("m1", ["j3", "j9", "j1"])
    assert request.jobs["job_star"].vectors_ND.tolist() == [[3, 4], [0, 0], [1, 0]]
    assert request.member["member_star"].space == "member_graph_v1@aa"
    assert request.missing == {"job_star": ["j9"]}


@pytest.mark.parametrize("name", ["star", "feast"])
def test_feasts_own_request_is_answered_by_both(urls: dict[str, str], name: str) -> None:
    answer = feasts_answer(urls[name])
    assert answer["vector"] == [[3, 4], None]
    assert answer["job_id"] == ["j3", "j9"]
