"""What a name meant when: from promotion to rollback, by own and by inherited lines."""

from pathlib import Path

import pytest

from star_features.catalogue import Catalogue
from star_features.errors import SpaceMismatch, UsageError
from star_features.ledger.releases import Step
from star_features.release.timeline import Period, periods_of, require_one_language

SPACES = """\
[text.v1]
width = 8
[graph.v1]
width = 8
text = "v1"
[graph.v2]
width = 8
text = "v1"
[mapped.graph.v1]
from = "v2"
[services.ads]
star = "graph.v2"
[stable]
text = "text.v1"
star = "graph.{star}"
"""


@pytest.fixture
def catalogue(tmp_path: Path):
    def load(star: str) -> Catalogue:
        (tmp_path / "spaces.toml").write_text(SPACES.format(star=star))
        return Catalogue.load(tmp_path / "spaces.toml")

    return load


def step(at_us: int, action: str, before: str, after: str, line: str = "ranker.star") -> Step:
    lines = {line: [f"graph.{before}", f"graph.{after}"]}
    return Step(at_us, "mia", action, "graph", "v2", numbers={"lines": lines})


def said(periods: list[Period], name: str = "star") -> list[tuple[int | None, str]]:
    return [(period.since_us, str(period.pairs[name])) for period in periods]


THERE = step(10, "promote", "v1", "v1_from_v2")
BACK = step(20, "rollback", "v1_from_v2", "v1")
AGAIN = step(30, "promote", "v1", "v1_from_v2")
BEGUN = step(9, "begin promote", "v1", "v1_from_v2")


def test_without_a_release_what_is_read_today_was_always_read(catalogue) -> None:
    assert said(periods_of(catalogue("v1"), [], "ranker")) == [(None, "graph.v1")]


def test_each_move_begins_a_period_and_an_announcement_none(catalogue) -> None:
    taken = [BEGUN, THERE, BACK, AGAIN]
    periods = periods_of(catalogue("v1_from_v2"), taken, "ranker")
    assert said(periods) == [
        (None, "graph.v1"),
        (10, "graph.v1_from_v2"),
        (20, "graph.v1"),
        (30, "graph.v1_from_v2"),
    ]
    assert {pair for _, pair in said(periods, "text")} == {"text.v1"}
    require_one_language(periods)


def test_a_service_with_a_line_of_its_own_did_not_move_with_the_others(catalogue) -> None:
    assert said(periods_of(catalogue("v1_from_v2"), [THERE], "ads")) == [(None, "graph.v2")]


def test_a_line_moved_without_a_record_is_refused(catalogue) -> None:
    with pytest.raises(UsageError, match=r"star = graph.v2(.|\n)*star release status"):
        periods_of(catalogue("v2"), [THERE], "ranker")


def test_another_language_cannot_be_crossed(catalogue) -> None:
    moved = step(40, "promote", "v1_from_v2", "v2")
    with pytest.raises(SpaceMismatch, match=r"graph.v1(.|\n)*--backfilled"):
        require_one_language(periods_of(catalogue("v2"), [THERE, moved], "ranker"))


def test_one_step_that_moves_two_names_is_one_period(catalogue) -> None:
    both = Step(
        10,
        "mia",
        "promote",
        "graph",
        "v2",
        numbers={
            "lines": {
                "ranker.star": ["graph.v1", "graph.v1_from_v2"],
                "ranker.text": ["text.v1", "text.v1"],
            }
        },
    )
    assert len(periods_of(catalogue("v1_from_v2"), [both], "ranker")) == 2
