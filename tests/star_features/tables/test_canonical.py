"""Later stages read the canonical folder through `Tables`."""

import subprocess
import sys

import pytest

from star_features.errors import DataError, MissingStage
from star_features.tables.canonical import Tables
from star_features.tables.read import read_dataset


@pytest.fixture
def tables(dataset, tmp_path) -> Tables:
    read_dataset(dataset(), tmp_path / "out")
    return Tables(tmp_path / "out")


def test_tables_that_were_never_written_name_the_command_to_run(tmp_path):
    with pytest.raises(MissingStage, match="star ingest"):
        Tables(tmp_path)


def test_only_the_chosen_columns_are_read(tables):
    assert tables.members(["text"]).column_names == ["text"]
    assert tables.count("interactions") == 3


def test_batches_are_small_and_together_the_whole_table(tables):
    batches = list(tables.batches("interactions", ["kind"], rows=2))
    assert [batch.num_rows for batch in batches] == [2, 1]
    assert [kind for batch in batches for kind in batch.column(0).to_pylist()] == (
        tables.interactions(["kind"]).column(0).to_pylist()
    )


def test_a_table_that_does_not_exist_is_named_with_those_that_do(tables):
    with pytest.raises(DataError, match="members, jobs, interactions, edges, quarantine"):
        tables.nodes("skill")


def test_reading_canonical_tables_needs_neither_pandera_nor_duckdb():
    code = "import sys, star_features.tables.canonical\n"
    code += "print('pandera' in sys.modules, 'duckdb' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
