"""Rows of the erased stay out, and so does all that they show; the deleted until they are newer."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from star_features.tables.barred import Barred
from star_features.tables.read import read_dataset
from star_features.tables.receipt import InputReceipt

FILES = {
    "members.csv": [
        "member_id,text,updated_at,town",
        "m1,Nurse in Graz,2026-01-01,Graz",
        "m2,Cook in Wels,2026-01-02,Wels",
        "m1,Nurse in Linz,2026-01-03,Linz",
        "m1,,2026-01-03,Linz",
        ",Nurse in Enns,2026-01-03,Linz",
        "m3,Nurse,in Steyr,2026-01-03,Linz",
    ],
    "jobs.csv": ["job_id,text,updated_at", "m1,Nurse wanted,2026-01-01", "j2,Cook,2026-01-02"],
    "interactions.csv": [
        "member_id,job_id,kind,at",
        "m1,j2,view,2026-02-01",
        "m2,j2,view,2026-02-01",
        "m2,m1,view,2026-02-02",
        "m9,j2,view,2026-02-02",
    ],
    "edges.csv": [
        "src_type,src_id,relation,dst_type,dst_id",
        "member,m1,knows,member,m2",
        "member,m2,knows,member,m1",
        "job,m1,near,job,j2",
    ],
}
ONE_ERASED = Barred(
    erased=lambda entity, ids: {"m1"} & set(ids) if entity == "member" else set(),
    someone_erased=True,
)


def read(tmp_path: Path, barred: Barred, **files: list[str]) -> tuple[InputReceipt, Any]:
    source, out = tmp_path / "source", tmp_path / "tables"
    source.mkdir(exist_ok=True)
    for name, lines in (FILES | {f"{k}.csv": v for k, v in files.items()}).items():
        (source / name).write_text("\n".join(lines) + "\n")
    receipt = read_dataset(source, out, barred=barred)
    return receipt, lambda table: pq.read_table(out / f"{table}.parquet").to_pylist()


def test_every_row_of_an_erased_one_is_left_out_and_counted(tmp_path: Path) -> None:
    receipt, rows = read(tmp_path, ONE_ERASED)
    assert [row["member_id"] for row in rows("members")] == ["m2"]
    assert [row["job_id"] for row in rows("jobs")] == ["j2", "m1"]
    assert [(r["member_id"], r["job_id"]) for r in rows("interactions")] == [
        *(("m2", "j2"), ("m2", "m1"))
    ]
    assert [row["src_type"] for row in rows("edges")] == ["job"]
    assert receipt.tables["members"].reasons["erased"] == 3
    assert receipt.tables["interactions"].reasons == {"erased": 1, "unknown_member": 1}
    assert receipt.tables["edges"].reasons == {"erased": 2}
    for table in receipt.tables.values():
        assert table.rows_in == table.kept + table.quarantined


def test_the_quarantine_shows_nothing_that_may_be_theirs(tmp_path: Path) -> None:
    _, rows = read(tmp_path, ONE_ERASED)
    shown = {row["value"] for row in rows("quarantine")}
    assert shown == {None, "m9"}


def test_without_an_erasure_the_quarantine_shows_what_was_wrong(tmp_path: Path) -> None:
    _, rows = read(tmp_path, Barred())
    shown = {row["value"] for row in rows("quarantine")}
    assert {"m1", "m9"} < shown
    assert any("Steyr" in value for value in shown if value)


@pytest.mark.parametrize(("since", "kept"), [("2026-01-02", ["m1"]), ("2026-01-01", ["m1", "m2"])])
def test_a_deleted_one_comes_back_with_newer_content_only(
    tmp_path: Path, since: str, kept: list[str]
) -> None:
    micros = {"2026-01-01": 1_767_225_600_000_000, "2026-01-02": 1_767_312_000_000_000}[since]
    barred = Barred(
        deleted=lambda entity, times: {
            id for id, at in times.items() if (entity, id) == ("member", "m2") and at <= micros
        }
    )
    receipt, rows = read(tmp_path, barred)
    assert [row["member_id"] for row in rows("members")] == kept
    assert receipt.tables["members"].reasons.get("deleted", 0) == 2 - len(kept)


def test_columns_joined_by_the_id_are_left_out_too(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "dataset.toml").write_text(
        '[[members.join]]\nfile = "more.csv"\non = "id"\n'
    )
    more = ["id,shift", "m1,night", "m1,day", "m2,day"]
    receipt, rows = read(tmp_path, ONE_ERASED, more=more)
    assert [row["member_id"] for row in rows("members")] == ["m2"]
    assert receipt.tables["members+more.csv"].reasons == {"erased": 2}
    assert "night" not in str(rows("quarantine"))
