"""The catalogue: one entry a version, one line a mapped pair, and no chain of maps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from star_features.catalogue import Catalogue, SpacePair
from star_features.errors import DataError, UsageError

VERSIONS = "".join(f'[graph.v{n}]\nwidth = {n * 100}\ntext = "v1"\n' for n in (1, 2, 3))
BASE = f"[text.v1]\nwidth = 384\n{VERSIONS}"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Catalogue]:
    def write(more: str) -> Catalogue:
        path = tmp_path / "spaces.toml"
        path.write_text(BASE + more)
        return Catalogue.load(path)

    return write


def test_a_mapped_pair_has_views_of_its_own_in_the_old_versions_width(load) -> None:
    catalogue = load('[mapped.graph.v1]\nfrom = "v3"\n')
    assert set(catalogue.views()) - set(catalogue.spaces()) == {
        "member_graph_v1_from_v3",
        "job_graph_v1_from_v3",
    }
    assert catalogue.of_view("job_graph_v1_from_v3").width == 100
    assert catalogue.of_view("job_graph_v3").width == 300


def test_while_readers_move_an_old_version_is_filled_by_two_newer_ones(load) -> None:
    pairs = load('[mapped.graph.v1]\nfrom = ["v2", "v3"]\n').mapped_pairs()
    assert [str(pair) for pair in pairs] == ["graph.v1_from_v2", "graph.v1_from_v3"]


def test_several_old_versions_are_each_filled_directly(load) -> None:
    more = '[mapped.graph.v1]\nfrom = "v3"\n[mapped.graph.v2]\nfrom = "v3"\n'
    assert [pair.filled_by for pair in load(more).mapped_pairs()] == ["v3", "v3"]


@pytest.mark.parametrize(("old", "new"), [("v1", "v2_from_v3"), ("v1_from_v2", "v3")])
def test_a_chain_is_refused_and_the_direct_entry_is_shown(load, old, new) -> None:
    with pytest.raises(DataError, match="would be a chain") as refused:
        load(f'[mapped.graph.{old}]\nfrom = "{new}"\n')
    assert '[mapped.graph.v1] from = "v3"' in refused.value.wanted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[mapped.graph.v1]\nfrom = "v9"\n', "no graph version 'v9'"),
        ('[mapped.graph.v9]\nfrom = "v1"\n', "no graph version 'v9'"),
        ('[mapped.graph.v1]\nfrom = "v1"\n', "into itself"),
        ("[mapped.graph.v1]\nfrom = []\n", "at least 1 item"),
        ('[mapped.graph.v1]\nform = "v2"\n', "form"),
        ('[mapped.sound.v1]\nfrom = "v2"\n', "sound"),
        ('[stable]\nstar = "graph.v9"\n', "graph.v9"),
        ('[stable]\nstar = "graph.v1_from_v2"\n', "graph.v1_from_v2"),
        ('[stable]\nmember_star = "graph.v1"\n', "member_star"),
    ],
)
def test_an_entry_that_names_what_is_not_there_is_refused(load, more, said) -> None:
    with pytest.raises(DataError, match=said):
        load(more)


def test_a_stable_name_leads_to_both_sides_of_one_pair(load) -> None:
    catalogue = load('[mapped.graph.v1]\nfrom = "v2"\n[stable]\nstar = "graph.v1_from_v2"\n')
    pair = catalogue.stable_pairs()["star"]
    assert pair == SpacePair("graph", "v1", "v2")
    assert [pair.view("member"), pair.view("job")] == [
        "member_graph_v1_from_v2",
        "job_graph_v1_from_v2",
    ]


@pytest.mark.parametrize("pair", ["text.v1", "graph.v1_from_v2"])
def test_a_pair_is_read_back_from_its_text_and_from_its_views(load, pair) -> None:
    found = SpacePair.parse(pair)
    assert str(found) == pair
    assert load("").pair_of_view(found.view("job")) == found


@pytest.mark.parametrize("name", ["job_graph", "job_graph_v1_from", "company_graph_v1", "job_x_v1"])
def test_a_name_that_is_no_view_is_refused(load, name) -> None:
    with pytest.raises(UsageError, match="is no space"):
        load("").of_view(name)


def test_a_version_may_be_trained_together_with_older_ones_under_one_dial(load) -> None:
    more = '[graph.v4]\nwidth = 8\ntext = "v1"\n[graph.v4.compat]\ntargets = ["v1", "v3"]\n'
    version = load(more + "weight = 4.0\n").graph_version("v4")
    assert (version.compat.targets, version.compat.weight) == (("v1", "v3"), 4.0)
    assert load(more).graph_version("v3").compat is None


@pytest.mark.parametrize(
    ("compat", "said"),
    [
        ('targets = ["v9"]', "has the target 'v9'"),
        ('targets = ["v2"]', "has the target 'v2'"),
        ('targets = ["v3"]', "has the target 'v3'"),
        ("targets = []", "at least 1 item"),
        ('targets = ["v1"]\nweight = -1.0', "greater than or equal to 0"),
        ('targets = ["v1"]\nwieght = 1.0', "wieght"),
    ],
)
def test_a_bad_target_is_refused(tmp_path, compat, said) -> None:
    path = tmp_path / "spaces.toml"
    second = '[graph.v2]\nwidth = 200\ntext = "v1"\n'
    path.write_text(BASE.replace(second, f"{second}[graph.v2.compat]\n{compat}\n"))
    with pytest.raises(DataError, match=said):
        Catalogue.load(path)
