"""A typo in dataset.toml is found before anything is read."""

from pathlib import Path

import pytest

from star_features.errors import UsageError
from star_features.tables.config import Constant, load_config


def load(tmp_path: Path, text: str):
    path = tmp_path / "dataset.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "unknown", "known"),
    [
        ('time_zone = "UTC"', "time_zone", "timezone"),
        ('[members]\ntexts = "a"', "members.texts", "updated_at"),
        ('[[edges]]\nsrc = "a"', "edges.0.src", "src_id"),
        ('[nodes.skill]\nname = "a"', "nodes.skill.name", "text"),
        ('[jobs]\njoin = [{ file = "a", by = "b", on = "b" }]', "jobs.join.0.by", "key"),
    ],
)
def test_an_unknown_key_is_named_together_with_the_known_ones(tmp_path, text, unknown, known):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    line = next(line for line in str(caught.value).splitlines() if "unknown key" in line)
    assert f"unknown key {unknown}." in line
    assert known in line.split("Known here:")[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('timezone = "Mars/Olympus"', "no time zone"),
        ('[csv]\nencoding = "klingon"', "no known encoding"),
        ('[csv]\ndelimiter = ";;"', "csv.delimiter"),
        ('[members]\nlists = { a = "" }', "separator of a is empty"),
        ("[members", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_explained(tmp_path, text, says):
    with pytest.raises(UsageError, match=says):
        load(tmp_path, text)


def test_a_constant_may_be_any_toml_scalar(tmp_path):
    config = load(tmp_path, "[jobs]\nupdated_at = { value = 2024-01-01 }")
    assert config.jobs.updated_at == Constant(value="2024-01-01")


def test_a_config_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_config(tmp_path / "elsewhere.toml")
