"""The gate in a home: measured on its labels, recorded, asked again by a promotion, and passed
only on the record."""

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.home import Home
from pipelines.release import check, move, readers, status
from pipelines.release.desk import Why, at_desk
from star_features.errors import GateRed
from star_features.files import read_json
from star_features.ledger.consumers import Registered

WHY = Why("mia", "because")


@pytest.fixture
def watched(shadowed: Home, dot: str) -> Home:
    """v2 in shadow, and a consumer that was trained on v1."""
    readers.register(shadowed, Registered("feed", "ranker", ["star"], {}, dot))
    return shadowed


def strict(home: Home, line: str) -> None:
    spaces = home.repo / "spaces.toml"
    spaces.write_text(f"{spaces.read_text()}[gate]\n{line}\n")


def promotions(home: Home) -> list[str]:
    return [step.action for step in status.status(home).steps if "promote" in step.action]


def test_a_rotation_loses_nothing_and_the_null_and_the_swap_are_seen_to(watched: Home) -> None:
    checked = check.run(watched, "graph", "v2", WHY)
    assert checked.verdict.green, checked.verdict.failed
    (feed,) = checked.verdict.consumers
    every = {way: slices["all"] for way, slices in feed.auc.items()}
    assert every["mapped"] == pytest.approx(every["today"], abs=1e-4)
    assert every["retrained"] == pytest.approx(every["today"], abs=1e-4)
    assert every["swap"] == every["mapped"], "a rotation of both sides keeps every dot product"
    assert every["shuffled"] != every["mapped"]
    assert {"warm", "cold members", "members with 1-4"} <= feed.rows.keys()
    assert [m.held for m in checked.verdict.maps] == pytest.approx([1, 1], abs=1e-4)
    told = read_json(checked.folder / "gate.json")
    assert told["green"]
    assert told["consumers"][0]["auc"]["mapped"]["all"] == every["mapped"]
    assert (checked.folder / "gate.png").read_bytes()[:4] == b"\x89PNG"


def test_a_promotion_takes_the_verdict_of_today_and_takes_it_once(
    watched: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    check.run(watched, "graph", "v2", WHY)
    with at_desk(watched) as desk:
        last = check.fresh(desk, "graph", "v2")
    assert last is not None
    monkeypatch.setattr(check, "run", lambda *_: pytest.fail("measured twice"))
    move.promote(watched, "graph", "v2", WHY)
    assert status.status(watched).steps[-1].numbers["gate"] == last.numbers


def test_a_verdict_on_other_consumers_or_bounds_is_not_of_today(watched: Home, dot: str) -> None:
    check.run(watched, "graph", "v2", WHY)
    readers.register(watched, Registered("mail", "ranker", ["star"], {}, dot))
    with at_desk(watched) as desk:
        assert check.fresh(desk, "graph", "v2") is None
    check.run(watched, "graph", "v2", WHY)
    strict(watched, "loss = 0.5")
    with at_desk(watched) as desk:
        assert check.fresh(desk, "graph", "v2") is None


def test_past_a_red_gate_only_with_force_and_reason_and_on_the_record(watched: Home) -> None:
    strict(watched, "neighbours = 1.0\nover_chance = 1.0\nks = 1e-9")
    with pytest.raises(GateRed, match=r"cosine over chance(.|\n)*--force --reason") as refused:
        move.promote(watched, "graph", "v2", WHY)
    assert refused.value.exit_code == 8
    assert promotions(watched) == []
    move.promote(watched, "graph", "v2", Why("mia", "an incident", forced=True))
    last = status.status(watched).steps[-1]
    assert (last.forced, last.why) == (True, "an incident")
    assert not last.numbers["gate"]["green"]


def test_a_consumer_that_cannot_be_scored_is_a_red_gate_and_no_crash(
    watched: Home, tmp_path
) -> None:
    (tmp_path / "dot1" / "space").write_text("job_graph_v0@000000000000")
    (feed,) = check.run(watched, "graph", "v2", WHY).verdict.consumers
    assert "job_graph_v0@000000000000 was asked for" in str(feed.refused)
    (tmp_path / "dot1" / "space").unlink()
    broken = check.run(watched, "graph", "v2", WHY).verdict
    assert "FileNotFoundError" in str(broken.consumers[0].refused)
    assert [bound.what for bound in broken.failed] == ["can be scored"]


def test_where_nobody_is_registered_the_maps_alone_are_measured_and_it_says_so(
    shadowed: Home,
) -> None:
    verdict = check.run(shadowed, "graph", "v2", WHY).verdict
    assert verdict.consumers == []
    assert "nobody is registered" in verdict.notes[0]
    assert {bound.of for bound in verdict.bounds} == {"member graph v2 → v1", "job graph v2 → v1"}


def test_the_command_prints_every_way_and_ends_in_its_own_exit_code(watched: Home) -> None:
    def typed() -> tuple[str, int]:
        where = ["--home", str(watched.path), "--repo", str(watched.repo)]
        done = CliRunner().invoke(app, ["release", "check", "graph", "v2", *where])
        code = getattr(done.exception, "exit_code", done.exit_code)
        return " ".join(done.output.split()), code

    shown, code = typed()
    assert code == 0
    assert "today ┃ swap ┃ shuffled ┃ mapped ┃ retrained" in shown
    assert "figures within their bounds" in shown
    strict(watched, "neighbours = 1.0\nks = 1e-9")
    shown, code = typed()
    assert code == 8
    assert "Beyond their bounds" in shown
