"""The data sets that come with a dataset.toml of ours."""

from pathlib import Path

import pytest

from star_features.tables.canonical import Tables
from star_features.tables.read import read_dataset

ROOT = Path(__file__).parents[3]


def test_the_small_csv_example_keeps_its_good_rows_and_names_its_bad_ones(tmp_path):
    receipt = read_dataset(ROOT / "examples/small_csv", tmp_path / "out")
    tables = receipt.tables
    assert {name: (t.rows_in, t.kept) for name, t in tables.items()} == {
        "members": (43, 40), "jobs": (26, 25), "interactions": (255, 250), "edges": (0, 0),
    }  # fmt: skip
    assert tables["members"].categorical == tables["jobs"].categorical == ("level", "town")
    assert (receipt.has_times, receipt.has_labels) == (True, True)
    reasons = Tables(tmp_path / "out").quarantine(["reason"]).column(0).to_pylist()
    assert sorted(reasons) == [
        "bad_label", "duplicate_id", "empty_text", "null_id", "unknown_job", "unknown_member",
        "unparsable_time", "unparsable_time", "wrong_field_count",
    ]  # fmt: skip


@pytest.mark.shared_data
def test_real_applications_come_in_with_a_dataset_toml_alone(tmp_path):
    source = ROOT.parent / "shared/data/resume_applications"
    if not source.exists():
        pytest.skip("the shared data set resume_applications is not here")
    config = ROOT / "examples/resume_applications/dataset.toml"
    receipt = read_dataset(source, tmp_path / "out", config)
    assert {name: (t.rows_in, t.kept) for name, t in receipt.tables.items()} == {
        "members": (8482, 8482),
        "jobs": (6695, 6695),
        "interactions": (57946, 57946),
        "edges": (13844, 13840),
        "members+resume_education.csv": (8482, 8482),
        "jobs+company.csv": (2377, 2377),
    }
    assert not receipt.has_times
