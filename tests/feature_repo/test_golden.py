"""The compiled feature repository is a file: its diff is the review of a change in definitions."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCHEMA = {
    "tables": {
        "members": {"categorical": ["seniority", "place"]},
        "jobs": {"categorical": ["seniority", "place", "category"]},
    }
}


def compiled(home: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(HERE / "compile_repo.py")],
        env=os.environ | {"STAR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_compiled_feature_repository_is_the_reviewed_one(tmp_path: Path) -> None:
    """After a wanted change: replace golden.txt by what this test prints, and review its diff."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "schema.json").write_text(json.dumps(SCHEMA))
    assert compiled(tmp_path) == (HERE / "golden.txt").read_text()


def test_a_home_without_tables_still_compiles_and_has_no_attribute_views(tmp_path: Path) -> None:
    lines = compiled(tmp_path).splitlines()
    assert any(line.startswith("view job_graph_v1:") for line in lines)
    assert not [line for line in lines if "attributes" in line]


def test_every_space_of_the_catalogue_has_its_view(tmp_path: Path) -> None:
    from star_features.catalogue import Catalogue

    catalogue = Catalogue.load(HERE.parents[1] / "feature_repo" / "spaces.toml")
    views = {
        line.split()[1].rstrip(":") for line in compiled(tmp_path).splitlines() if "view" in line
    }
    assert set(catalogue.spaces()) <= views
