"""Real server processes on free ports: `star serve`, and stock `feast serve`, over one store."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from benchmarks.servers import free_port
from star_features.serving import FeatureReader

YAML = """\
project: p
provider: local
registry: {{registry_type: sql, path: "sqlite:///{folder}/registry.db"}}
online_store:
  type: star_features.online.sqlite.FastSqliteOnlineStore
  path: {folder}/online.db
offline_store: {{type: star_features.offline.store.StarOfflineStore}}
entity_key_serialization_version: 3
"""
COMMANDS = {
    "star": [
        "-m",
        "pipelines",
        "serve",
        "--home",
        "{home}",
        "--repo",
        "{home}",
        "--port",
        "{port}",
    ],
    "feast": ["-m", "feast.cli.cli", "-c", "{home}", "serve", "--port", "{port}"],
}
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def urls(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Both servers over one home, started together; each must stop without an error."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(filled, home, dirs_exist_ok=True)
    (home / "feature_store.yaml").write_text(YAML.format(folder=home))
    with started("star", home) as star, started("feast", home) as feast:
        yield {"star": star(), "feast": feast()}


@contextmanager
def started(name: str, home: Path) -> Iterator[Callable[[], str]]:
    """A server; called, it waits until that answers and gives its URL."""
    port = free_port()
    words = [word.format(home=home, port=port) for word in COMMANDS[name]]
    log = home / f"{name}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=home, env=os.environ, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        yield lambda: answering(url, process, log)
    finally:
        process.terminate()
        code = process.wait(PATIENCE_SECONDS)
    assert (code, "Traceback" in log.read_text()) == (0, False), log.read_text()


def answering(url: str, process: Any, log: Path) -> str:
    for _ in range(PATIENCE_SECONDS * 4):
        assert process.poll() is None, log.read_text()
        try:
            if urllib3.request("GET", url + "/health", retries=False).status == 200:
                return url
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.25)
    raise AssertionError(log.read_text())


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
