"""What is left in files, and a search that finds it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from star_features.erasure import residue
from star_features.erasure.residue import bare_bytes, compact, holds, search
from star_features.erasure.subject import Subject
from star_features.online.wire import entity_keys

TEXT = "Ward nurse in Graz, good at triage and wound dressing."
ANNA = Subject("member", frozenset({"anna-1"}), (TEXT,))
VIEWS = ["member_text_v1"]


def parquet(path: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    "hide",
    [
        lambda f: parquet(f / "a.parquet", member_id=["m2", "anna-1"]),
        lambda f: parquet(f / "a.parquet", who=["m2", "anna-1"]),
        lambda f: parquet(f / "a.parquet", who=[["m2"], ["x", "anna-1"]]),
        lambda f: parquet(f / "a.parquet", note=[f"said: {TEXT}"]),
        lambda f: (f / "a.json").write_text(json.dumps({"member": "anna-1"})),
        lambda f: (f / "a.json").write_text(json.dumps([{"text": TEXT}])),
        lambda f: (f / "a.log").write_text("2026 anna-1 wrote"),
        lambda f: (f / "a.bin").write_bytes(b"\0\0" + entity_keys("member_id", ["anna-1"])[0]),
        lambda f: (f / "a.db").write_bytes(b"\x07member_text_v1anna-1member_text_v1@5d0c"),
    ],
)
def test_whatever_holds_them_is_found(tmp_path: Path, hide: Callable[[Path], object]) -> None:
    parquet(tmp_path / "other.parquet", member_id=["anna-10"], text=["Ward nurse in Graz"])
    (tmp_path / "other.json").write_text('{"member": "anna-10"}')
    (tmp_path / "other.log").write_text("anna-10 and joanna-1")
    assert search(tmp_path, Subject("member", frozenset({"anna-2"})), VIEWS).found == {}
    hide(tmp_path)
    found = search(tmp_path, ANNA, VIEWS)
    assert [name.partition(".")[0] for name in found.found] == ["a"]
    assert found.files == 4


def test_a_short_id_is_not_found_in_everything(tmp_path: Path) -> None:
    seven = Subject("member", frozenset({"7"}))
    parquet(tmp_path / "a.parquet", member_id=["17"], count=["7"])
    (tmp_path / "a.log").write_text("7 rows in 0.7 s")
    assert search(tmp_path, seven, VIEWS).found == {}
    (tmp_path / "online.db").write_bytes(entity_keys("member_id", ["7"])[0])
    assert list(search(tmp_path, seven, VIEWS).found) == ["online.db"]


def test_the_source_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "people.csv").write_text("anna-1;" + TEXT)
    assert search(tmp_path, ANNA, VIEWS, [tmp_path / "source"]).found == {}


@pytest.mark.parametrize("start", range(5))
def test_bytes_that_lie_over_two_pieces_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setattr(residue, "PIECE", 4)
    (tmp_path / "f").write_bytes(b"." * start + b"needle" + b".....")
    assert holds(tmp_path / "f", [b"needle"])
    assert not holds(tmp_path / "f", [b"needles"])


def test_a_deleted_row_leaves_nothing_in_its_page(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA secure_delete=OFF")
        db.execute("CREATE TABLE t (id TEXT)")
        db.executemany("INSERT INTO t VALUES (?)", [("anna-1",), ("m2",)])
        db.execute("DELETE FROM t WHERE id = 'anna-1'")
    needles = bare_bytes(ANNA)
    assert holds(path, needles)
    assert compact(path, needles)
    assert not holds(path, needles)
    assert not compact(path, needles)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT id FROM t").fetchall() == [("m2",)]
