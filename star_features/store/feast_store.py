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
from star_features.spaces import digest

if TYPE_CHECKING:
    from feast import FeatureStore

PLACEHOLDER = "../.star/"
PLACES = (
    *("type", "path", "host", "port", "database", "db_schema", "connection_string"),
    *("redis_type", "sentinel_master", "region", "table_name_template", "keyspace", "project_id"),
)
"""The settings of Feast's online stores that say where the rows are."""


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


def fingerprint(home: Path) -> str:
    """Which online store this home writes to: a digest of where it is, and of no secret.

    Another one holds nothing of what this one holds, whatever the ledger says of this one.

    Raises:
        MissingStage: `star apply` has not run in this home.
    """
    path = config_path(home)
    if not path.exists():
        raise MissingStage(path, "star apply")
    settings = yaml.safe_load(os.path.expandvars(path.read_text()))
    online = settings.get("online_store") or {}
    where = dict(online) if isinstance(online, dict) else {"type": online}
    where = {key: value for key, value in where.items() if key in PLACES}
    if "connection_string" in where:  # redis: host:port,ssl=true,password=…
        parts = str(where["connection_string"]).split(",")
        where["connection_string"] = [p for p in parts if not p.startswith(("password", "user"))]
    return digest({"project": settings.get("project"), **where}, 16)


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
