"""The lines of spaces.toml: which of them a release moves, and that nothing else changes."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.catalogue import Catalogue, SpacePair
from star_features.errors import UsageError
from star_features.release.pointers import Line, lines_of, moves_to, rewrite

STAR, TEXT = Line("ranker", "star"), Line("ranker", "text")
REVIEWED = """\
# reviewed
[text.v1]
width = 384
[graph.v1]
width = 100
text = "v1"
[graph.v2] # wider
width = 200
text = "v1"
[graph.v3]
width = 200
text = "v1"

[mapped.graph.v1]
from = ["v2", "v3"]

[stable] # what rankers read
text = "text.v1"
star   =  'graph.v1'   # do not touch by hand

[services.ads] # trained on v2 already
star = "graph.v2"
[mapped.graph.v2]
from = "v3"
"""


@pytest.fixture
def spaces(tmp_path: Path) -> Path:
    path = tmp_path / "spaces.toml"
    path.write_text(REVIEWED)
    return path


def test_only_the_value_of_the_line_changes_and_every_comment_stays(spaces: Path) -> None:
    rewrite(spaces, {STAR: SpacePair("graph", "v1", "v2")})
    changed = [
        (old, new)
        for old, new in zip(REVIEWED.splitlines(), spaces.read_text().splitlines(), strict=True)
        if old != new
    ]
    assert changed == [
        (
            "star   =  'graph.v1'   # do not touch by hand",
            'star   =  "graph.v1_from_v2"   # do not touch by hand',
        )
    ]


def test_two_tables_with_the_same_name_are_told_apart(spaces: Path) -> None:
    rewrite(spaces, {Line("ads", "star"): SpacePair("graph", "v2", "v3")})
    parsed = tomllib.loads(spaces.read_text())
    assert parsed["services"]["ads"]["star"] == "graph.v2_from_v3"
    assert parsed["stable"]["star"] == "graph.v1"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["v1", "v2", "v3", "v1_from_v2", "v1_from_v3"]), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
)
def test_there_and_back_leaves_the_file_as_it_was(tmp_path_factory, pairs, newline) -> None:
    path = tmp_path_factory.mktemp("spaces") / "spaces.toml"
    text = REVIEWED.replace("'graph.v1'", '"graph.v1"').replace("\n", newline)
    path.write_bytes(text.encode())
    for pair in [*pairs, "v1"]:
        rewrite(path, {STAR: SpacePair.parse(f"graph.{pair}")})
        assert Catalogue.load(path).stable["star"] == f"graph.{pair}"
    assert path.read_bytes() == text.encode()


@pytest.mark.parametrize(
    "odd",
    [
        'stable = {text = "text.v1", star = "graph.v1"}\n[text.v1]\nwidth = 3\n',
        '[stable]\n"star" = "graph.v1"\n',
        '[stable]\nother = """\n[stable]\nstar = "graph.v1"\n"""\n',
    ],
    ids=["inline table", "quoted name", "inside a string"],
)
def test_a_line_in_another_form_is_left_to_a_human(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "spaces.toml"
    path.write_text(odd)
    with pytest.raises(UsageError, match="run the command again"):
        rewrite(path, {STAR: SpacePair("graph", "v2")})
    assert path.read_text() == odd


def test_every_language_of_a_kind_moves_and_keeps_its_readers(spaces: Path) -> None:
    moves = moves_to(Catalogue.load(spaces), "graph", "v3")
    assert {str(line): str(after) for line, (_, after) in moves.items()} == {
        "ranker.star": "graph.v1_from_v3",
        "ads.star": "graph.v2_from_v3",
    }


def test_rankers_of_the_new_version_read_it_unmapped(spaces: Path) -> None:
    moves = moves_to(Catalogue.load(spaces), "graph", "v2")
    assert str(moves[Line("ads", "star")][1]) == "graph.v2"
    moved = moves_to(Catalogue.load(spaces), "graph", "v2", {"ranker": "v2"})
    assert str(moved[STAR][1]) == "graph.v2"


def test_a_pair_that_nobody_defined_is_shown_as_the_entry_to_write(
    tmp_path: Path, spaces: Path
) -> None:
    spaces.write_text(REVIEWED.replace('["v2", "v3"]', '"v2"'))
    with pytest.raises(UsageError, match=r'\[mapped.graph.v1\]\nfrom = \["v2", "v3"\]') as refused:
        moves_to(Catalogue.load(spaces), "graph", "v3")
    assert "star release shadow graph v3" in str(refused.value)


def test_an_unknown_service_is_named(spaces: Path) -> None:
    with pytest.raises(UsageError, match="no service jobs; known: ranker, ads"):
        moves_to(Catalogue.load(spaces), "graph", "v3", {"jobs": "v3"})


def test_a_service_inherits_what_it_does_not_name(spaces: Path) -> None:
    catalogue = Catalogue.load(spaces)
    assert {n: str(p) for n, p in catalogue.stable_pairs("ads").items()} == {
        "text": "text.v1",
        "star": "graph.v2",
    }
    assert set(map(str, lines_of(catalogue))) == {"ranker.text", "ranker.star", "ads.star"}


def test_a_line_is_written_and_read_as_text() -> None:
    assert [Line.parse(str(line)) for line in (STAR, Line("ads", "star"))] == [
        STAR,
        Line("ads", "star"),
    ]


def test_the_mode_of_the_file_stays(spaces: Path) -> None:
    spaces.chmod(0o640)
    rewrite(spaces, {STAR: SpacePair("graph", "v2")})
    assert spaces.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def service_error(spaces: Path) -> Callable[[str], str]:
    def load(name: str) -> str:
        spaces.write_text(REVIEWED.replace("[services.ads]", f"[services.{name}]"))
        try:
            Catalogue.load(spaces)
        except Exception as error:
            return str(error)
        return ""

    return load


@pytest.mark.parametrize("name", ["ranker", "ranker_job", "Ads"])
def test_a_service_may_not_take_the_name_of_another(service_error, name: str) -> None:
    assert f"[services.{name}]" in service_error(name)
