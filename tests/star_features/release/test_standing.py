"""States that nobody recorded are read off [stable]; three places that differ are told apart."""

from pathlib import Path

import pytest

from star_features.catalogue import Catalogue
from star_features.release.standing import (
    Standing,
    disagreements,
    retired_versions,
    served_pairs,
    standing,
)

VERSIONS = "".join(f'[graph.v{n}]\nwidth = 8\ntext = "v1"\n' for n in (1, 2, 3))
MAPPED = '[mapped.graph.v1]\nfrom = ["v2", "v3"]\n'


@pytest.fixture
def catalogue(tmp_path: Path):
    def load(star: str, more: str = "") -> Catalogue:
        path = tmp_path / "spaces.toml"
        path.write_text(
            f'[text.v1]\nwidth = 8\n{VERSIONS}{MAPPED}[stable]\nstar = "graph.{star}"\n{more}'
        )
        return Catalogue.load(path)

    return load


@pytest.mark.parametrize(
    ("star", "states"),
    [
        ("v1", ["current", "candidate", "candidate"]),
        ("v1_from_v2", ["retiring", "current", "candidate"]),
        ("v3", ["candidate", "candidate", "current"]),
    ],
)
def test_without_a_record_what_is_read_is_current(catalogue, star, states) -> None:
    found = standing(catalogue(star), {})
    assert [found["graph", f"v{n}"] for n in (1, 2, 3)] == [Standing(s, False) for s in states]
    assert found["text", "v1"].state == "candidate"


def test_with_a_record_a_new_version_is_a_candidate(catalogue) -> None:
    recorded = {("graph", "v1"): "current", ("graph", "v0"): "retired"}
    found = standing(catalogue("v1"), recorded)
    assert found["graph", "v2"] == Standing("candidate", False)
    assert found["graph", "v0"] == Standing("retired", True), "it has left spaces.toml"
    assert retired_versions(recorded) == {("graph", "v0")}


def test_candidates_and_the_retired_are_not_written_online_but_what_is_named_is(catalogue) -> None:
    recorded = {("graph", "v1"): "retired", ("graph", "v2"): "shadow", ("graph", "v3"): "candidate"}
    assert {str(pair) for pair in served_pairs(catalogue("v1_from_v3"), recorded)} == {
        "graph.v2",
        "graph.v1_from_v2",
        "graph.v1_from_v3",
    }


def test_file_ledger_and_registry_agree_or_are_told_apart(catalogue) -> None:
    recorded = {("graph", "v1"): "current", ("graph", "v2"): "shadow"}
    views = {"ranker": {"member_star": "member_graph_v1", "job_star": "job_graph_v1"}}
    assert disagreements(catalogue("v1"), recorded, views) == []
    by_hand = disagreements(catalogue("v1_from_v2"), recorded, views)
    assert "the ledger says that graph v1 is current" in by_hand[0]
    assert [line.split("reads ")[1] for line in by_hand[1:]] == [
        "member_graph_v1 as member_star",
        "job_graph_v1 as job_star",
    ]
    assert disagreements(catalogue("v1_from_v2"), {}, None) == []


def test_a_service_that_is_not_registered_is_a_disagreement(catalogue) -> None:
    views = {"ranker": {"member_star": "member_graph_v1", "job_star": "job_graph_v1"}}
    found = disagreements(catalogue("v1", '[services.ads]\nstar = "graph.v1"\n'), {}, views)
    assert len(found) == 2
    assert "service ads reads nothing as member_star" in found[0]
