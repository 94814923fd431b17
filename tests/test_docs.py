"""Documentation that cannot fall behind: every key, command and path that it should name."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from pipelines.cli.main import app
from star_features.tables import config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    f"{group}{info.name or info.callback.__name__}"
    for group, infos in [
        ("", app.registered_commands),
        *((f"{g.name} ", g.typer_instance.registered_commands) for g in app.registered_groups),
    ]
    for info in infos
)


def readme_commands() -> list[str]:
    """Every line of the README's bash blocks; test_upgrade.py types those of the upgrade."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line]


def test_the_page_on_input_names_every_key_of_dataset_toml() -> None:
    page = (ROOT / "docs" / "input.md").read_text()
    models = [m for m in vars(config).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    keys = {
        key for model in models for key in model.model_fields if model.__module__ == config.__name__
    }
    assert {key for key in keys if f"`{key}`" not in page} <= {
        *("members", "jobs", "interactions", "edges", "nodes", "csv", "limits"),  # sections
        "value",
        "on",
    }


def test_the_readme_names_every_command() -> None:
    assert [name for name in COMMANDS if f"star {name}" not in README] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 5


def test_every_path_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_toml_of_the_readme_is_that_of_the_example() -> None:
    shown = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert shown
    import tomllib

    wanted = tomllib.loads((ROOT / "examples/small_csv/dataset.toml").read_text())
    got = tomllib.loads(shown[1])
    for section, keys in got.items():
        assert keys.items() <= wanted[section].items()


def test_the_commands_of_the_readme_run_as_written(tmp_path: Path) -> None:
    """The example's commands in order, in a folder of their own; `make` targets are CI's job."""
    star = [line for line in readme_commands() if ".venv/bin/star" in line]
    assert len(star) >= 4
    for line in star:
        home, command = line.split(" ", 1)
        assert home == "STAR_HOME=.star-small"
        words = shlex.split(command.replace(".venv/bin/star", f"{sys.executable} -m pipelines"))
        done = subprocess.run(
            [*words, "--home", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_python_of_the_readme_runs_on_a_home(small, tmp_path: Path) -> None:
    shown = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown
    code = shown[1].replace('Path(".star")', f"Path({str(small.path)!r})")
    code = code.replace('Path(".star/', f'Path("{small.path}/')
    code = code.replace('Path("feature_repo")', f"Path({str(small.repo)!r})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "jobs without a graph vector" in done.stdout
    assert len(re.findall(r"0\.\d+", done.stdout)) == 5
