"""
Apply: register the definitions of `feature_repo/` with Feast, through Feast's own command line.

    star apply

A separate process, because Feast imports the repository's files by flat names, and because it
changes into the repository's folder.
"""

import os
import subprocess
import sys

from pipelines.home import Home
from pipelines.receipts import Facts, Stage
from star_features.errors import StoreError
from star_features.files import sha256
from star_features.store.feast_store import config_path, online_files, resolve_config


def stage(home: Home) -> Stage:
    """The stage that registers entities, views and services."""
    files = sorted([*home.repo.glob("*.py"), *home.repo.glob("*.toml"), *home.repo.glob("*.yaml")])
    return Stage(
        name="apply",
        settings={path.name: sha256(path) for path in files},
        after=["ingest"],  # its schema.json says which categorical features there are
        outputs=[config_path(home.path), *online_files(home.path)],
        work=lambda: _work(home),
    )


def _work(home: Home) -> Facts:
    config = resolve_config(home.repo, home.path)
    feast = [sys.executable, "-m", "feast.cli.cli", "-c", str(home.repo), "-f", str(config)]
    done = subprocess.run(
        [*feast, "apply"],
        env=os.environ | {"STAR_HOME": str(home.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StoreError(
            f"feast apply ended with exit code {done.returncode}:\n{done.stderr.strip()[-2000:]}\n"
            f"Wanted a registry that takes {home.repo}. By hand: "
            f"STAR_HOME={home.path} feast -c {home.repo} -f {config} apply"
        )
    created = [line for line in done.stdout.splitlines() if line.startswith(("Created", "Updated"))]
    return {"changes": created}
