"""States and steps of versions: compare and set, all or none, and what a rollback would undo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from star_features.errors import UsageError
from star_features.ledger.ledger import Ledger
from star_features.ledger.releases import (
    Step,
    announce,
    states,
    steps,
    take_step,
    under_way,
    undone_last,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    with opened.begin() as db:
        take_step(db, step("adopt", "v1"), "current")
        take_step(db, step("shadow", "v2"), "shadow")
    yield opened
    opened.close()


def step(action: str, version: str, before: str | None = None, **more: object) -> Step:
    return Step(1, "mia", action, "graph", version, from_state=before, **more)  # type: ignore[arg-type]


def promote(ledger: Ledger) -> None:
    with ledger.begin() as db:
        wanted = step("promote", "v2", "shadow", why="better", forced=True, numbers={"auc": 0.7})
        take_step(db, wanted, "current", others={"v1": ("current", "retiring")})


def test_a_step_moves_all_its_versions_and_says_who_and_why(ledger: Ledger) -> None:
    promote(ledger)
    with ledger.read() as db:
        assert states(db) == {("graph", "v1"): "retiring", ("graph", "v2"): "current"}
        last = steps(db, "graph")[-1]
    assert (last.who, last.why, last.forced, last.numbers) == ("mia", "better", True, {"auc": 0.7})
    assert (last.from_state, last.to_state) == ("shadow", "current")


def test_who_comes_second_changes_nothing(ledger: Ledger) -> None:
    promote(ledger)
    with pytest.raises(UsageError, match="no longer shadow"):
        promote(ledger)
    with ledger.read() as db:
        assert [s.action for s in steps(db)] == ["adopt", "shadow", "promote"]


def test_a_step_whose_second_version_has_moved_takes_none(ledger: Ledger) -> None:
    wanted = step("promote", "v2", "shadow")
    with pytest.raises(UsageError, match="v1 is no longer retiring"), ledger.begin() as db:
        take_step(db, wanted, "current", others={"v1": ("retiring", "retired")})
    with ledger.read() as db:
        assert states(db)["graph", "v2"] == "shadow"


def test_a_version_is_entered_once(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="v2 is no longer new"), ledger.begin() as db:
        take_step(db, step("shadow", "v2"), "shadow")


def test_of_two_who_decided_on_the_same_steps_one_may_begin(ledger: Ledger) -> None:
    with ledger.read() as db:
        seen = steps(db, "graph")
    with ledger.begin() as db:
        announce(db, step("promote", "v2", "shadow"), seen)
    with pytest.raises(UsageError, match="star release status"), ledger.begin() as db:
        announce(db, step("promote", "v3"), seen)
    with ledger.read() as db:
        assert under_way(steps(db, "graph")).version == "v2"


@pytest.mark.parametrize(
    ("actions", "undone", "open_"),
    [
        ("shadow", None, None),
        ("begin promote/promote", 1, None),
        ("begin promote", 0, 0),
        ("begin promote/begin promote/promote", 2, None),
        ("begin promote/promote/begin rollback", 1, 2),
        ("begin promote/promote/begin rollback/rollback", None, None),
        ("begin promote/rollback", None, None),
        ("begin promote/promote/begin promote/promote/begin rollback/rollback", 1, None),
        ("begin promote/promote/retire", 1, None),
    ],
)
def test_a_rollback_undoes_the_newest_promotion_that_stands(actions, undone, open_) -> None:
    taken = [step(action, "v2") for action in actions.split("/")]
    assert undone_last(taken) is (None if undone is None else taken[undone])
    assert under_way(taken) is (None if open_ is None else taken[open_])
