"""Erasing a member or a job from a home: nothing of them is left, and nothing brings them back."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner

from pipelines import erase, ingest
from pipelines.cli.main import app
from pipelines.home import Home
from pipelines.receipts import only_one
from star_features.errors import StoreError, UsageError
from star_features.files import sha256
from star_features.ledger.outbox import Letter, put
from star_features.ledger.schema import Part, Quarantine
from star_features.ledger.tombstones import erased_among
from star_features.store.feast_store import open_store, resolve_config
from star_features.tables.canonical import Tables
from star_features.tables.receipt import InputReceipt

SOURCE = Path(__file__).parents[2] / "examples" / "small_csv"


def told(home: Home, entity: str, id: str) -> list[str]:
    """Words by which an entity is known: its id, and its text as it stands in the tables."""
    rows = Tables(home.tables).table(f"{entity}s", [f"{entity}_id", "text"]).to_pylist()
    return [id, *(row["text"] for row in rows if row[f"{entity}_id"] == id)]


def places(home: Home, words: list[str]) -> list[str]:
    """Every file of a home in which one of these words stands: a search of the test's own."""
    spelt = {form for word in words for form in (word, json.dumps(word)[1:-1], repr(word)[1:-1])}
    anyone = b"|".join(re.escape(form.encode()) for form in spelt)
    pattern = re.compile(rb"(?<![0-9A-Za-z])(?:%b)(?![0-9A-Za-z])" % anyone)
    found = []
    for path in sorted(path for path in home.path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            columns = [name for name in table.column_names if "vector" not in name]
            content += repr(table.select(columns).to_pylist()).encode()
        if pattern.search(content):
            found.append(str(path.relative_to(home.path)))
    return found


@pytest.fixture
def home(small: Home, tmp_path: Path) -> Home:
    """A copy of the small home, with events and set-aside inputs that name P016 in its ledger."""
    copied = Home(tmp_path / "home", small.repo)
    shutil.copytree(small.path, copied.path)
    resolve_config(copied.repo, copied.path)
    ledger = copied.ledger()
    with ledger.begin() as db:
        letters = [
            Letter("P016", json.dumps({"type": "member_changed", "member_id": "P016"}), "e1"),
            Letter("P017", json.dumps({"type": "member_changed", "member_id": "P017"}), "e2"),
        ]
        put(db, "star.changes", letters, 0)
        row = {"source": "star.changes", "reason": "bad_json", "payload": '{"member_id": "P016'}
        extra = {"at_us": 0, "identity": "x", "state": "held", "replays": 0}
        db.execute(insert(Quarantine), row | extra)
    ledger.close()
    return copied


def erased(home: Home, entity: str = "member", *ids: str, **how: bool) -> list[erase.Erasure]:
    return erase.run(home, entity, ids or ("P016",), why="asked", **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(("entity", "id"), [("member", "P016"), ("job", "1007")])
def test_no_byte_of_an_erased_one_is_left_in_the_home(home: Home, entity: str, id: str) -> None:
    words = told(home, entity, id)
    assert len(words) == 2
    before = places(home, words)
    assert len([name for name in before if name.startswith("history/")]) > 5
    assert {"tables/interactions.parquet", "online.db"} <= set(before)
    erased(home, entity, id)
    # 1007 is a number too, and a member may be called so: weights and figures are not searched
    left = [name for name in places(home, words) if not name.startswith("models/")]
    assert left == []


def test_everybody_else_is_as_before(home: Home) -> None:
    others = {
        path: pq.read_table(path).to_pylist()
        for path in sorted(home.path.rglob("*.parquet"))
        if "member_id" in pq.read_schema(path).names
    }
    erased(home)
    for path, rows in others.items():
        assert pq.read_table(path).to_pylist() == [r for r in rows if r["member_id"] != "P016"]
    store = open_store(home.repo, home.path)
    read = store.get_online_features(
        store.get_feature_service("ranker_member"),
        [{"member_id": "P016"}, {"member_id": "P017"}],
        full_feature_names=True,
    ).to_dict()
    assert read["member_star__vector"][0] is None
    assert len(read["member_star__vector"][1]) == 200
    assert read["member_attributes__town"][0] is None


def test_the_receipt_says_what_went_from_where_and_not_who(home: Home) -> None:
    words = told(home, "member", "P016")
    (erasure,) = erased(home)
    path = erase.receipt_path(home, erasure.digest)
    receipt = json.loads(path.read_text())
    assert receipt["removed"]["tables/members.parquet"] == 1
    assert receipt["removed"]["history/member_text_v1"] == 1
    assert receipt["removed"]["online/member_graph_v1"] == 1
    assert receipt["removed"]["ledger/outbox"] == 1
    assert receipt["removed"]["ledger/quarantine"] == 1
    assert receipt["searched"]["found"] == 0
    assert receipt["searched"]["files"] > 30
    assert receipt["finished"]
    assert any("graph_v1" in line and "--retrain" in line for line in receipt["remains"])
    assert not any(word in path.read_text() + path.name for word in words)


def test_counts_in_are_still_counts_kept_plus_counts_set_aside(home: Home) -> None:
    before = InputReceipt.read(home.tables).tables["interactions"]
    erased(home)
    tables = Tables(home.tables)
    for name in ("members", "interactions"):
        table = tables.receipt.tables[name]
        assert table.kept == tables.count(name)
        assert table.rows_in == table.kept + table.quarantined
    assert tables.receipt.tables["interactions"].reasons["erased"] == before.kept - tables.count(
        "interactions"
    )


def test_reading_the_source_again_leaves_them_out_and_says_how_many(home: Home) -> None:
    words = told(home, "member", "P016")
    erased(home)
    receipt = ingest.stage(home, SOURCE).run(home, force=True)
    assert receipt.facts["tables"]["members"]["reasons"]["erased"] == 1
    assert receipt.facts["tables"]["interactions"]["reasons"]["erased"] > 1
    assert places(home, words) == []


def test_erasing_again_finds_nothing_and_keeps_the_first_receipt(home: Home) -> None:
    (first,) = erased(home)
    (again,) = erased(home)
    assert again.runs == 2
    assert again.begun == first.begun
    assert again.removed == first.removed


def test_several_are_erased_in_one_pass_each_with_a_receipt(home: Home) -> None:
    words = [word for id in ("P016", "P003") for word in told(home, "member", id)]
    both = erased(home, "member", "P016", "P003", "P016")
    assert [erasure.removed["tables/members.parquet"] for erasure in both] == [1, 1]
    assert len({erasure.digest for erasure in both}) == 2
    assert places(home, words) == []


def test_an_id_that_the_home_does_not_know_is_refused_unless_it_is_meant(home: Home) -> None:
    with pytest.raises(UsageError, match=r"no member P999.*\n.*--anyway"):
        erased(home, "member", "P999")
    with pytest.raises(UsageError, match="no job P003"):
        erased(home, "job", "P003")
    erased(home, "member", "P999", anyway=True)
    ledger = home.ledger()
    with ledger.begin() as db:
        assert erased_among(db, "member", ["P999", "P016"]) == {"P999"}


@dataclass
class Killed:
    """Stops the work at its n-th step of some kind, as a kill would."""

    left: int

    def __call__(self, real: Callable[..., object]) -> Callable[..., object]:
        def maybe(*args: object, **named: object) -> object:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return real(*args, **named)

        return maybe


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *(("columnar", 1), ("erase_records", 0), ("scrub", 3), ("forget_names", 0)),
        *(("erase_rows", 0), ("erase_rows", 3), ("erase_rows", 9), ("withhold_values", 2)),
        *(("_recount", 0), ("erase_records", 1), ("compact", 0), ("search", 0), ("write_json", 0)),
    ],
)
def test_killed_at_any_step_the_same_command_finishes_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, step: int
) -> None:
    words = told(home, "member", "P016")
    with monkeypatch.context() as patched:
        patched.setattr(erase, name, Killed(step)(getattr(erase, name)))
        with pytest.raises(KeyboardInterrupt):
            erased(home)
    ledger = home.ledger()
    with ledger.begin() as db:
        assert erased_among(db, "member", ["P016"]) == {"P016"}
    ledger.close()
    (erasure,) = erased(home)
    assert places(home, words) == []
    assert erasure.runs == 2
    assert erasure.finished
    assert parts_as_known(home)


def parts_as_known(home: Home) -> bool:
    """Whether the ledger knows every part of the history by its digest, or not at all."""
    ledger = home.ledger()
    with ledger.read() as db:
        known = {(part.view, part.name): part.sha256 for part in db.execute(select(Part.__table__))}
    ledger.close()
    return len(known) > 10 and all(
        sha256(home.history / view / name) == digest for (view, name), digest in known.items()
    )


def test_what_another_process_writes_meanwhile_is_found_by_the_search(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = erase.search

    def late(*args: object) -> object:
        (home.path / "late.json").write_text('{"member": "P016"}')
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(erase, "search", late)
        with pytest.raises(StoreError, match=r"late\.json.*\n.*run the same again"):
            erased(home)
    (erasure,) = erased(home)
    assert erasure.removed["late.json"] == 1


def test_no_stage_works_in_the_home_meanwhile(home: Home) -> None:
    with only_one(home), pytest.raises(UsageError, match="another star is working"):
        erased(home)


def test_a_home_that_has_only_read_its_tables_can_erase(tmp_path: Path, small: Home) -> None:
    home = Home(tmp_path / "home", small.repo)
    ingest.stage(home, SOURCE).run(home)
    words = told(home, "member", "P016")
    erased(home)
    assert places(home, words) == []


def test_a_half_written_file_of_a_killed_run_goes_too(home: Home) -> None:
    part = next((home.history / "member_text_v1").rglob("part-*.parquet"))
    shutil.copy(part, part.with_name("part-x.parquet.999999999.tmp"))
    erased(home)
    assert not list(home.path.rglob("*.tmp"))


def test_the_command_asks_first_and_ends_in_a_table(home: Home) -> None:
    words = ["erase", "member", "P016", "--home", str(home.path), "--repo", str(home.repo)]
    runner = CliRunner()
    refused = runner.invoke(app, words, input="n\n")
    assert refused.exit_code == 1
    assert "P016" in Tables(home.tables).members(["member_id"])["member_id"].to_pylist()
    done = runner.invoke(app, [*words, "--yes"])
    assert done.exit_code == 0, done.output
    assert re.search(r"tables/members\.parquet\s+│?\s*1", done.output)
    assert "nothing left" in done.output
    shown = runner.invoke(app, ["report", "--home", str(home.path), "--repo", str(home.repo)])
    assert shown.exit_code == 0
    assert "somebody who was erased" in shown.output
    wrong = runner.invoke(app, ["erase", "person", "P016", "--yes", *words[3:]])
    assert isinstance(wrong.exception, UsageError)
