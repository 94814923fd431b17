"""A whole home, audited and repaired: tables, text, graph and mapped views, events and erasures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from pipelines import audit, erase, materialize
from pipelines.cli.main import app
from pipelines.home import Home
from pipelines.receipts import only_one
from star_features.errors import UsageError
from star_features.ledger.changes import Kept, keep
from star_features.ledger.tombstones import bury
from star_features.online.remover import remove_entities
from star_features.store.feast_store import open_store, resolve_config
from star_features.store.history import History

MORE = """
[graph.v2]
width = 16
text = "v1"
[graph.v2.network]
seed = 1
hidden = 16
heads = 2
epochs = 2
labels_per_epoch = 200
batch_size = 32
[mapped.graph.v1]
from = "v2"
"""
LATER_US = 2**51  # the year 2041


@pytest.fixture(scope="module")
def upgraded(small: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the small home with a second graph version, mapped into the first. Read only."""
    folder = tmp_path_factory.mktemp("audited")
    home = Home(folder / "home", folder / "repo")
    shutil.copytree(small.path, home.path)
    shutil.copytree(small.repo, home.repo)
    with (home.repo / "spaces.toml").open("a") as file:
        file.write(MORE)
    place = ["--home", str(home.path), "--repo", str(home.repo)]
    done = CliRunner().invoke(app, ["release", "shadow", "graph", "v2", *place])
    assert done.exit_code == 0, f"{done.output}\n{done.exception}"
    return home


@pytest.fixture
def home(upgraded: Home, tmp_path: Path) -> Home:
    copied = Home(tmp_path / "home", upgraded.repo)
    shutil.copytree(upgraded.path, copied.path)
    resolve_config(copied.repo, copied.path)
    return copied


def found(home: Home, **how: object) -> set[tuple[str, str, str, str, str]]:
    """View, id, kind, layer and cure of every finding; files by the word alone."""
    audited = audit.run(home, **how)  # type: ignore[arg-type]
    return {
        (view, "a file" if layer == "file" else id, kind, layer, cure)
        for view, rows in audited.named.items()
        for id, kind, layer, cure in rows
    }


def without(home: Home, view: str, id: str) -> None:
    """A row is gone from history, ledger and online store, as if it had never been computed."""
    history = History.of_vectors(home.history, view)
    ledger = home.ledger()
    for path in history.parts():
        rows = pq.read_table(path)
        pq.write_table(rows.filter(pc.not_equal(rows[history.key], id)), path)
    with ledger.begin() as db:
        db.execute(
            text("DELETE FROM vector WHERE view = :v AND entity_id = :i"), {"v": view, "i": id}
        )
        db.execute(text("UPDATE part SET sha256 = NULL"))
    ledger.close()
    remove_entities(open_store(home.repo, home.path), view, [id])


def rewrite_members(home: Home, change: Callable[[dict[str, object]], object]) -> None:
    path = home.tables / "members.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def test_an_undamaged_home_gives_no_finding_in_any_view(home: Home) -> None:
    audited = audit.run(home)
    assert audited.findings == 0
    assert audited.skipped == {}
    views = {report.view: report.entities for report in audited.views}
    assert views == {
        **{f"member_{kind}": 40 for kind in ("text_v1", "graph_v1", "graph_v2", "attributes")},
        **{f"job_{kind}": 25 for kind in ("text_v1", "graph_v1", "graph_v2", "attributes")},
        **{"member_graph_v1_from_v2": 40, "job_graph_v1_from_v2": 25},
    }
    assert audit.run(home, repair=True).mended == {}


def test_after_an_erasure_and_a_deletion_nothing_is_found(home: Home) -> None:
    erase.run(home, "member", ["P016"], why="asked")
    store, ledger = open_store(home.repo, home.path), home.ledger()
    with ledger.begin() as db:
        bury(db, "job", ["1007"], kind="deleted", content_us=LATER_US, now_us=1, why="closed")
    ledger.close()
    views = [view.name for view in store.list_feature_views() if view.name.startswith("job_")]
    for view in views:
        assert remove_entities(store, view, ["1007"]) == 1
    audited = audit.run(home)
    assert audited.findings == 0
    assert {report.entities for report in audited.views} == {39, 24}


def test_who_says_nothing_has_no_text_vector_and_who_said_something_keeps_none(home: Home) -> None:
    def change(row: dict[str, object]) -> None:
        if row["member_id"] in ("P002", "P003"):
            row["text"] = None

    rewrite_members(home, change)
    without(home, "member_text_v1", "P003")
    assert found(home) == {
        ("member_text_v1", "P002", "orphaned", "ledger", "remove"),
        ("member_text_v1", "P002", "orphaned", "online", "remove"),
    }
    audit.run(home, repair=True)
    assert found(home) == set()


@pytest.mark.parametrize(
    "view", ["member_text_v1", "job_graph_v2", "job_graph_v1_from_v2", "member_attributes"]
)
def test_what_is_nowhere_is_computed_by_the_stages_and_by_nobody_else(
    home: Home, view: str
) -> None:
    id = "P003" if view.startswith("member") else "1003"
    before = {h.view: h.count() for h in materialize.histories(home)}
    without(home, view, id)
    assert (view, id, "missing", "history", "compute") in found(home)
    audited = audit.run(home, repair=True)
    assert audited.findings == 0
    assert found(home) == set()
    after = {h.view: h.count() for h in materialize.histories(home)}
    assert after == before


def test_an_edited_text_is_stale_until_it_is_encoded(home: Home) -> None:
    rewrite_members(
        home, lambda row: row.update(text="Carpenter") if row["member_id"] == "P004" else None
    )
    assert found(home) == {("member_text_v1", "P004", "stale", "history", "compute")}


def test_what_an_event_told_counts_before_the_tables_say_it(home: Home) -> None:
    content = {"text": "Carpenter in Wels", "categories": {"level": "senior"}, "lists": {}}
    ledger = home.ledger()
    with ledger.begin() as db:
        keep(db, [Kept("member", "P004", LATER_US, "x", content)], 1)
        keep(db, [Kept("member", "P005", 1, "x", content)], 1)  # older than the tables
        keep(db, [Kept("member", "P006", LATER_US, "x", {})], 1)  # the tables say as much
    ledger.close()
    assert found(home) == {
        ("member_text_v1", "P004", "stale", "history", "compute"),
        ("member_attributes", "P004", "stale", "history", "compute"),
        ("member_graph_v1", "P004", "stale", "history", "compute"),
        ("member_graph_v2", "P004", "stale", "history", "compute"),
    }


def test_a_damaged_view_is_mended_and_the_others_are_left_alone(home: Home) -> None:
    store = open_store(home.repo, home.path)
    remove_entities(store, "job_text_v1", ["1003"])
    remove_entities(store, "member_text_v1", ["P003"])
    assert len(found(home)) == 2
    assert len(found(home, only=["job_text_v1"])) == 1
    audit.run(home, only=["job_text_v1"], repair=True)
    assert found(home) == {("member_text_v1", "P003", "missing", "online", "rewrite")}
    with pytest.raises(UsageError, match=r"no view job_text_v9; known: .*job_text_v1"):
        audit.run(home, only=["job_text_v9"])


def test_a_sample_looks_at_so_many_the_same_ones_for_a_seed(home: Home) -> None:
    store = open_store(home.repo, home.path)
    remove_entities(store, "member_text_v1", [f"P{n:03}" for n in range(1, 41)])
    first = found(home, sample=5, seed=3)
    assert len(first) == 5
    assert found(home, sample=5, seed=3) == first
    assert found(home, sample=5, seed=4) != first
    audit.run(home, sample=5, seed=3, repair=True)
    assert found(home, sample=5, seed=3) == set()
    assert len(found(home)) == 35


def test_an_erased_one_who_is_back_is_erased_again(home: Home, upgraded: Home) -> None:
    erase.run(home, "member", ["P016"], why="asked")
    for part in (upgraded.history / "member_text_v1").rglob("part-*.parquet"):
        back = (
            home.history / "member_text_v1" / part.relative_to(upgraded.history / "member_text_v1")
        )
        shutil.copy(part, back)
    assert ("member_text_v1", "P016", "orphaned", "history", "erase") in found(home)
    audit.run(home, repair=True)
    assert found(home) == set()


def test_a_repair_waits_for_nobody(home: Home) -> None:
    remove_entities(open_store(home.repo, home.path), "job_text_v1", ["1003"])
    with only_one(home), pytest.raises(UsageError, match="another star is working"):
        audit.run(home, repair=True)


def test_the_command_ends_in_a_table_and_in_an_exit_code_of_its_own(home: Home) -> None:
    def typed(*words: str) -> tuple[int, str]:
        place = ["--home", str(home.path), "--repo", str(home.repo)]
        done = CliRunner().invoke(app, ["audit", *words, *place])
        return done.exit_code, done.output

    assert typed()[0] == 0
    remove_entities(open_store(home.repo, home.path), "job_text_v1", ["1003"])
    code, said = typed()
    assert code == 8
    assert "star audit --repair" in said
    code, said = typed("--json", "--view", "job_text_v1")
    assert code == 8
    view = json.loads(said)["views"]["job_text_v1"]
    assert view["named"] == [
        {"id": "1003", "kind": "missing", "layer": "online", "cure": "rewrite"}
    ]
    code, said = typed("--repair")
    assert code == 0
    assert "1 findings, all mended" in said
    assert typed()[0] == 0
    assert not list(home.path.glob(".audit*"))
