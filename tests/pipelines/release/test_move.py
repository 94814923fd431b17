"""Promotion and rollback: one step each, refused where it would hurt, whole after any kill."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.home import Home
from pipelines.release import move, readers, status
from pipelines.release.desk import Why, at_desk
from star_features.errors import UsageError
from star_features.ledger.consumers import Registered
from star_features.online.remover import remove_entities
from star_features.release.repoint import registered, repoint
from star_features.serving import FeatureReader
from star_features.store.feast_store import open_store

WHY = Why("mia", "because")
FORCED = Why("mia", "because", forced=True)


class Killed(BaseException):
    """What nothing catches, as a kill."""


def read_by(home: Home) -> set[str]:
    """The views that a reader's vectors come from."""
    reader = FeatureReader(open_store(home.repo, home.path))
    request = reader.read("P001", [])
    signals = {**request.member.signals, **request.jobs.signals}
    return {signal.view for name, signal in signals.items() if name.endswith("_star")}


def line(home: Home) -> str:
    return (home.repo / "spaces.toml").read_text().split("\n")[-2]


def states(home: Home) -> dict[str, str]:
    return {v: s.state for (k, v), s in status.status(home).versions.items() if k == "graph"}


NATIVE = {"member_graph_v1", "job_graph_v1"}
MAPPED = {"member_graph_v1_from_v2", "job_graph_v1_from_v2"}


def test_a_promotion_moves_the_line_the_services_and_the_states_and_a_rollback_moves_them_back(
    shadowed: Home,
) -> None:
    before = (shadowed.repo / "spaces.toml").read_bytes()
    services = registered(open_store(shadowed.repo, shadowed.path))
    assert states(shadowed) == {"v1": "current", "v2": "shadow"}
    assert read_by(shadowed) == NATIVE
    done = move.promote(shadowed, "graph", "v2", WHY)
    assert sorted(done.services) == ["ranker", "ranker_job", "ranker_member"]
    assert read_by(shadowed) == MAPPED
    assert line(shadowed) == 'star = "graph.v1_from_v2" # the old one'
    assert states(shadowed) == {"v1": "retiring", "v2": "current"}
    move.rollback(shadowed, "graph", WHY)
    assert read_by(shadowed) == NATIVE
    assert (shadowed.repo / "spaces.toml").read_bytes() == before
    assert registered(open_store(shadowed.repo, shadowed.path)) == services
    assert states(shadowed) == {"v1": "current", "v2": "shadow"}
    assert status.status(shadowed).disagreements == []


def test_what_a_promotion_writes_is_what_apply_would_write(shadowed: Home) -> None:
    from pipelines import apply

    move.promote(shadowed, "graph", "v2", WHY)
    moved = registered(open_store(shadowed.repo, shadowed.path))
    facts = apply.stage(shadowed).run(shadowed, force=True).facts
    assert [change for change in facts["changes"] if "service" in change] == []
    assert registered(open_store(shadowed.repo, shadowed.path)) == moved


PLACES = ["rewrite", "repoint", "take_step"]
"""Each is one write, and what lies between two of them is every state that a kill can leave."""


def killed_before(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def dying(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr(move, place, dying)


@pytest.fixture(params=PLACES)
def killed(request: pytest.FixtureRequest, shadowed: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose promotion was killed after it was announced."""
    with monkeypatch.context() as patched:
        killed_before(patched, request.param)
        with pytest.raises(Killed):
            move.promote(shadowed, "graph", "v2", WHY)
    return shadowed


def test_a_killed_promotion_is_undone_in_one_step(killed: Home) -> None:
    assert read_by(killed) in (NATIVE, MAPPED)
    assert [step.action for step in status.status(killed).under_way] == ["begin promote"]
    with pytest.raises(UsageError, match=r"star release promote graph v2, or undo it"):
        move.promote(killed, "graph", "v1", WHY)
    move.rollback(killed, "graph", WHY)
    assert (read_by(killed), states(killed)) == (NATIVE, {"v1": "current", "v2": "shadow"})
    assert status.status(killed).under_way == []
    assert status.status(killed).disagreements == []


def test_a_killed_promotion_is_finished_by_the_same_command(killed: Home) -> None:
    move.promote(killed, "graph", "v2", WHY)
    assert (read_by(killed), states(killed)) == (MAPPED, {"v1": "retiring", "v2": "current"})
    assert status.status(killed).under_way == []
    assert status.status(killed).disagreements == []


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_rollback_is_finished_by_the_same_command(
    shadowed: Home, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    move.promote(shadowed, "graph", "v2", WHY)
    with monkeypatch.context() as patched:
        killed_before(patched, place)
        with pytest.raises(Killed):
            move.rollback(shadowed, "graph", WHY)
    assert read_by(shadowed) in (NATIVE, MAPPED)
    with pytest.raises(UsageError, match=r"Finish it: star release rollback graph"):
        move.promote(shadowed, "graph", "v2", WHY)
    move.rollback(shadowed, "graph", WHY)
    assert (read_by(shadowed), states(shadowed)) == (NATIVE, {"v1": "current", "v2": "shadow"})
    move.promote(shadowed, "graph", "v2", WHY)


def test_a_version_that_is_not_in_shadow_is_refused(life: Home) -> None:
    with pytest.raises(UsageError, match="star release shadow graph v2"):
        move.promote(life, "graph", "v2", WHY)
    assert read_by(life) == NATIVE


def test_a_promotion_that_would_change_nothing_says_so(shadowed: Home) -> None:
    with pytest.raises(UsageError, match="every line reads it already"):
        move.promote(shadowed, "graph", "v1", WHY)


def test_a_missing_and_a_wrong_vector_online_stop_a_promotion(shadowed: Home) -> None:
    store = open_store(shadowed.repo, shadowed.path)
    remove_entities(store, "job_graph_v1_from_v2", ["1003"])
    with pytest.raises(UsageError, match=r"job_graph_v1_from_v2: 1 of 25 vectors are not online"):
        move.promote(shadowed, "graph", "v2", WHY)
    assert (read_by(shadowed), states(shadowed)["v2"]) == (NATIVE, "shadow")
    move.promote(shadowed, "graph", "v2", FORCED)
    last = status.status(shadowed).steps[-1]
    assert last.forced
    assert [view["missing"] for view in last.numbers["views"]].count(1) == 1


def test_force_wants_a_reason() -> None:
    with pytest.raises(UsageError, match="--reason"):
        Why("mia", " ", forced=True)


def test_rows_that_came_after_the_mapping_stop_a_promotion(
    shadowed: Home, add_week: Callable[[Home, str], None]
) -> None:
    add_week(shadowed, "graph_v2")
    with pytest.raises(UsageError, match=r"rows are not mapped: star compat apply graph v1"):
        move.promote(shadowed, "graph", "v2", WHY)


def test_a_line_moved_by_hand_is_shown_and_refused(shadowed: Home) -> None:
    spaces = shadowed.repo / "spaces.toml"
    text = spaces.read_text()
    spaces.write_text(text.replace('star = "graph.v1"', 'star = "graph.v2"'))
    shown = status.status(shadowed).disagreements
    assert 'spaces.toml says [stable] star = "graph.v2"' in shown[0]
    with pytest.raises(UsageError, match=r"\[stable\] star(.|\n)*star release status"):
        move.promote(shadowed, "graph", "v2", WHY)
    spaces.write_text(text)
    move.promote(shadowed, "graph", "v2", WHY)


def test_a_registry_that_somebody_else_moved_is_shown_and_refused(shadowed: Home) -> None:
    store = open_store(shadowed.repo, shadowed.path)
    with at_desk(shadowed) as desk:
        repoint(store, {"ranker": {"job_star": "job_graph_v2"}}, desk.now)
    with pytest.raises(UsageError, match=r"Feast's service ranker reads job_graph_v2 as job_star"):
        move.promote(shadowed, "graph", "v2", WHY)


def test_nothing_to_undo_is_said(shadowed: Home) -> None:
    with pytest.raises(UsageError, match="no promotion of graph to undo"):
        move.rollback(shadowed, "graph", WHY)


def test_a_consumer_is_never_shown_another_language_than_its_own(shadowed: Home, dot: str) -> None:
    def register(version: int) -> None:
        trained, scorer = {"star": f"graph.v{version}"}, dot[:-1] + str(version)
        readers.register(shadowed, Registered("feed", "ranker", ["star"], trained, scorer))

    register(1)
    with pytest.raises(UsageError, match=r"feed reads star(.|\n)*\[services.feed\]"):
        move.promote(shadowed, "graph", "v2", WHY, {"ranker": "v2"})
    move.promote(shadowed, "graph", "v2", WHY)
    register(2)
    move.promote(shadowed, "graph", "v2", WHY, {"ranker": "v2"})
    assert read_by(shadowed) == {"member_graph_v2", "job_graph_v2"}
    move.rollback(shadowed, "graph", WHY)
    assert states(shadowed) == {"v1": "retiring", "v2": "current"}
    assert read_by(shadowed) == MAPPED


def test_the_commands_tell_the_story(shadowed: Home) -> None:
    def typed(line: str) -> str:
        where = ["--home", str(shadowed.path), "--repo", str(shadowed.repo)]
        done = CliRunner().invoke(app, [*line.split(), *where])
        assert done.exit_code == 0, f"{done.output}\n{done.exception}"
        return " ".join(done.output.split())

    assert "graph v1 │ current" in typed("release status")
    assert "star release promote graph v2" in typed("release plan graph v2")
    assert "graph.v1_from_v2" in typed("release promote graph v2 --reason better --who mia")
    after = typed("release status")
    assert "retiring" in after
    assert "mia" in after
    assert "3 services moved in one transaction" in typed("release rollback graph --reason no")
