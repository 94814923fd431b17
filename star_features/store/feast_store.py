"""
Opening the feature store: Feast's own configuration, resolved for one home folder.

    resolve_config(repo=Path("feature_repo"), home=Path(".star"))
    store = open_store(repo, home)

`feature_store.yaml` in the repository names the home as `../.star/`; the resolved copy in the home
folder names it absolutely, so that any process in any folder reaches the same files.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from star_features.errors import MissingStage

if TYPE_CHECKING:
    from feast import FeatureStore

PLACEHOLDER = "../.star/"


def config_path(home: Path) -> Path:
    return home / "feature_store.yaml"


def resolve_config(repo: Path, home: Path) -> Path:
    """Write the repository's configuration, with the home's own paths, into the home folder."""
    text = (repo / "feature_store.yaml").read_text()
    home.mkdir(parents=True, exist_ok=True)
    path = config_path(home)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    lines = [
        line if line.startswith("#") else line.replace(PLACEHOLDER, f"{home.resolve()}/")
        for line in text.splitlines(keepends=True)
    ]
    aside.write_text("".join(lines))
    os.replace(aside, path)
    return path


def online_files(home: Path) -> list[Path]:
    """The file of the online store, where it is one (SQLite)."""
    if not config_path(home).exists():
        return []
    online = yaml.safe_load(config_path(home).read_text()).get("online_store") or {}
    return [Path(online["path"])] if isinstance(online, dict) and "path" in online else []


def open_store(repo: Path, home: Path) -> "FeatureStore":
    """The Feast store of a home.

    Raises:
        MissingStage: `star apply` has not run in this home.
    """
    from feast import FeatureStore  # seconds to import: only those who read pay for it

    path = config_path(home)
    if not path.exists():
        raise MissingStage(path, "star apply")
    return FeatureStore(repo_path=str(repo), fs_yaml_file=path)
