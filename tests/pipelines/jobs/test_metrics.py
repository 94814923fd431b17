"""Metrics and health over HTTP; and no text of anybody in what is measured, logged or listed."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.servers import free_port
from pipelines.home import Home
from pipelines.jobs.metrics import Endpoint, exposition
from pipelines.jobs.settings import Schedule
from star_features.errors import UsageError
from star_features.tables.canonical import Tables

ROOT = Path(__file__).parents[3]


def samples(text: str) -> dict[str, float]:
    """Value by name and labels."""
    return {
        f"{sample.name}{json.dumps(sample.labels)}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def served(small: Home) -> Iterator[tuple[str, dict[str, bool]]]:
    """The endpoint of the small home, and whether its loop turns."""
    loop = {"alive": True}
    port = free_port()
    endpoint = Endpoint(small, Schedule(), lambda: loop["alive"])
    server = endpoint.start(f"127.0.0.1:{port}")
    yield f"http://127.0.0.1:{port}", loop
    server.shutdown()
    server.server_close()


def test_metrics_say_what_is_there_and_what_is_pending(served) -> None:
    status, text = asked(f"{served[0]}/metrics")
    assert status == 200
    found = samples(text)
    assert found['star_vectors{"view": "member_text_v1"}'] == 40
    assert found['star_vectors_pending{"view": "member_text_v1"}'] == 0
    assert found['star_fresh_holes{"view": "job_graph_v1"}'] == 0
    assert found["star_journal_rows{}"] == 0
    views = [name for name in found if name.startswith("star_fresh_share{")]
    assert len(views) == len(list(filter(lambda n: n.startswith("star_vectors{"), found))) == 6


def test_health_follows_the_loop_and_readiness_the_ledger(served, small, monkeypatch) -> None:
    url, loop = served
    assert asked(f"{url}/healthz") == (200, "ok\n")
    assert asked(f"{url}/readyz") == (200, "ok\n")
    loop["alive"] = False
    assert asked(f"{url}/healthz")[0] == 503
    loop["alive"] = True
    monkeypatch.setenv("STAR_LEDGER", "postgresql+psycopg://me:secret@127.0.0.1:1/none")
    status, body = asked(f"{url}/readyz")
    assert status == 503
    assert "secret" not in body
    assert asked(f"{url}/else")[0] == 404


def test_an_address_that_cannot_be_listened_at_is_refused(small: Home) -> None:
    endpoint = Endpoint(small, Schedule(), lambda: True)
    for listen in ("nonsense", "127.0.0.1:none", "203.0.113.1:9"):
        with pytest.raises(UsageError, match="Wanted HOST:PORT"):
            endpoint.start(listen)


def test_nothing_that_is_printed_or_kept_quotes_a_profile(small: Home, tmp_path: Path) -> None:
    tables = Tables(small.tables)
    texts = tables.members(["text"])[0].to_pylist() + tables.jobs(["text"])[0].to_pylist()
    pieces = {text[start : start + 15] for text in texts if text for start in (0, 30, 60)}
    assert len(pieces) > 100
    where = ["--home", str(small.path), "--repo", str(small.repo)]
    printed = exposition(small, Schedule(), datetime.now(UTC))
    for words in (["jobs", "run", "encode"], ["jobs", "run", "verify"], ["jobs"], ["freshness"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", *words, *where],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        printed += done.stdout + done.stderr
    assert '"event": "job_done"' in printed
    with small.reading() as db:
        printed += str(db.exec_driver_sql("SELECT * FROM run").all())
    assert [piece for piece in pieces if piece in printed] == []
