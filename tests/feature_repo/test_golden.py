"""The compiled feature repository is a file: its diff is the review of a change in definitions."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
REPO = HERE.parents[1] / "feature_repo"
SCHEMA = {
    "tables": {
        "members": {"categorical": ["seniority", "place"]},
        "jobs": {"categorical": ["seniority", "place", "category"]},
    }
}


def compiled(home: Path, *repo: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(HERE / "compile_repo.py"), *map(str, repo)],
        env=os.environ | {"STAR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_tables(home: Path) -> None:
    (home / "tables").mkdir()
    (home / "tables" / "schema.json").write_text(json.dumps(SCHEMA))


def test_the_compiled_feature_repository_is_the_reviewed_one(tmp_path: Path) -> None:
    """After a wanted change: replace golden.txt by what this test prints, and review its diff."""
    with_tables(tmp_path)
    assert compiled(tmp_path) == (HERE / "golden.txt").read_text()


def test_a_home_without_tables_still_compiles_and_has_no_attribute_views(tmp_path: Path) -> None:
    lines = compiled(tmp_path).splitlines()
    assert any(line.startswith("view job_graph_v1:") for line in lines)
    assert not [line for line in lines if "attributes" in line]


def test_every_space_of_the_catalogue_has_its_view(tmp_path: Path) -> None:
    from star_features.catalogue import Catalogue

    catalogue = Catalogue.load(REPO / "spaces.toml")
    views = {
        line.split()[1].rstrip(":") for line in compiled(tmp_path).splitlines() if "view" in line
    }
    assert set(catalogue.spaces()) <= views


def test_an_upgrade_adds_its_views_and_moves_both_sides_of_one_stable_name(tmp_path: Path) -> None:
    """What a reviewer sees of a new version, of its mapped pair, and of moving the rankers."""
    repo = tmp_path / "repo"
    shutil.copytree(HERE.parents[1] / "feature_repo", repo)
    spaces = (repo / "spaces.toml").read_text().replace('star = "graph.v1"', f'star = "{MOVED}"')
    (repo / "spaces.toml").write_text(spaces + UPGRADE)
    with_tables(tmp_path)
    before = set((HERE / "golden.txt").read_text().splitlines())
    after = set(compiled(tmp_path, repo).splitlines())
    new = {line for line in after - before if not line.startswith("service")}
    assert {line.split()[1].rstrip(":") for line in new} == {
        f"{side}_graph_{name}" for side in ("member", "job") for name in ("v2", "v1_from_v2")
    }
    mapped = "{'filled_by': 'v2', 'metric': 'cosine', 'width': '200'}"
    assert len([line for line in new if f"tags {mapped}" in line]) == 2
    assert {line.replace("v1_from_v2 as", "v1 as") for line in after - new} == before
    assert len(before - after) == 4


MOVED = "graph.v1_from_v2"
UPGRADE = """
[graph.v2]
width = 256
text = "v1"
[mapped.graph.v1]
from = "v2"
"""


def feast(folder: Path, *words: str) -> str:
    """Feast's own command line in the repository's folder, with nothing of ours around it."""
    env = {name: value for name, value in os.environ.items() if name != "STAR_HOME"}
    command = [sys.executable, "-m", "feast.cli.cli", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_feasts_own_commands_work_in_the_folder_on_a_fresh_machine(tmp_path: Path) -> None:
    """What the README says: apply, list, and the web interface answers."""
    folder = tmp_path / "feature_repo"
    shutil.copytree(REPO, folder, ignore=shutil.ignore_patterns("__pycache__"))
    feast(folder, "apply")
    assert (tmp_path / ".star" / "registry.db").exists()
    assert "job_graph_v1" in feast(folder, "feature-views", "list")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "feast.cli.cli", "ui", "--host", "127.0.0.1"]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(
        [*command, "--port", str(port)], cwd=folder, stdout=quiet, stderr=quiet
    )
    try:
        assert "<html" in answer(f"http://127.0.0.1:{port}/", server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def answer(address: str, server: "subprocess.Popen[bytes]") -> str:
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                return str(page.read().decode())
        except OSError:
            time.sleep(0.2)
    raise AssertionError("no answer")
