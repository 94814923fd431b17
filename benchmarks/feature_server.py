"""
Feature servers as processes of their own, for benchmarks and tests.

    repo = write_repo(folder / "repo", registry=folder, online={"type": "sqlite", "path": "…"})
    with started("star", repo) as star, started("feast", repo) as feast:   # star serve, feast serve
        urls = star(), feast()                                            # once both answer
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.servers import free_port

COMMANDS = {
    "star": [
        "-m",
        "pipelines",
        "serve",
        "--home",
        "{repo}",
        "--repo",
        "{repo}",
        "--port",
        "{port}",
    ],
    "feast": ["-m", "feast.cli.cli", "-c", "{repo}", "serve", "--port", "{port}"],
}
PATIENCE_SECONDS = 600


def write_repo(
    repo: Path, *, registry: Path, online: dict[str, Any], project: str = "p", **more: Any
) -> Path:
    """A folder with nothing but feature_store.yaml, over a registry that is filled already."""
    repo.mkdir(parents=True, exist_ok=True)
    settings = {
        "project": project,
        "provider": "local",
        "registry": {"registry_type": "sql", "path": f"sqlite:///{registry}/registry.db"},
        "online_store": online,
        "offline_store": {"type": "star_features.offline.store.StarOfflineStore"},
        "entity_key_serialization_version": 3,
        **more,
    }
    (repo / "feature_store.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return repo


@contextmanager
def started(name: str, repo: Path, *options: str) -> Iterator[Callable[[], str]]:
    """A server; called, it waits until that answers, and gives its URL.

    Raises:
        RuntimeError: it stopped, or did not stop as it should.
    """
    port = free_port()
    words = [word.format(repo=repo, port=port) for word in [*COMMANDS[name], *options]]
    log = repo / f"{name}-{port}.log"
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=repo, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        yield lambda: _answering(url, process, log)
    finally:
        process.terminate()
        code = process.wait(PATIENCE_SECONDS)
    if code or "Traceback" in log.read_text():
        raise RuntimeError(f"{name} ended with {code}:\n{log.read_text()}")


def _answering(url: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    import urllib3

    for _ in range(PATIENCE_SECONDS * 4):
        if process.poll() is not None:
            break
        try:
            if urllib3.request("GET", url + "/health", retries=False).status == 200:
                return url
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.25)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()}")
