"""Every kind of damage, planted on every layer: found, mended exactly, and then no longer found."""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from star_features.audit import judge, mend
from star_features.audit.mend import Mender
from star_features.ledger.tombstones import bury
from star_features.online.remover import remove_entities
from star_features.online.stored import stored

VIEW, SPACE = "job_graph_v1", "job_graph_v1@right"
DAY = timedelta(days=1)
sqlite_only = pytest.mark.parametrize("opened", ["sqlite"], indirect=True)

Damage = tuple[Callable[[Any], Any], list[tuple[str, str, str, str]]]


def on_the_last_byte(path: Any, change: Callable[[bytes], bytes]) -> None:
    """Change a vector's bytes in a Parquet file: 3.0, four times over, lies there uncoded."""
    content = path.read_bytes()
    vector = np.full(4, 3, np.float32).tobytes()
    assert content.count(vector) == 1
    path.write_bytes(content.replace(vector, change(vector)))


ONLINE: dict[str, Damage] = {
    "a bit flipped": (lambda h: h.flip_online("j3"), [("j3", "corrupted", "online", "rewrite")]),
    "a row lost": (
        lambda h: remove_entities(h.store, VIEW, ["j3", "j8"]),
        [("j3", "missing", "online", "rewrite"), ("j8", "missing", "online", "rewrite")],
    ),
    "another space's vector": (
        lambda h: h.put_online("j3", [3, 3, 3, 3], space="job_graph_v2@x"),
        [("j3", "mixed", "online", "rewrite")],
    ),
    "an older row": (
        lambda h: h.put_online("j3", [7, 7, 7, 7], at=h.source["j3"][1] - DAY),
        [("j3", "stale", "online", "rewrite")],
    ),
    "a row of a later time": (
        lambda h: h.put_online("j3", [3, 3, 3, 3], at=h.source["j3"][1] + DAY),
        [("j3", "corrupted", "online", "rewrite")],
    ),
    "another width": (
        lambda h: h.put_online("j3", [3, 3, 3]),
        [("j3", "corrupted", "online", "rewrite")],
    ),
    "a row of nobody": (
        lambda h: h.put_online("ghost", [1, 1, 1, 1]),
        [("ghost", "orphaned", "online", "remove")],
    ),
    "a row of one who was deleted": (
        lambda h: deleted(h, "j3"),
        [("j3", "orphaned", "online", "remove")],
    ),
    "a row of one who left the source": (
        lambda h: h.source.pop("j3"),
        [("j3", "orphaned", "ledger", "remove"), ("j3", "orphaned", "online", "remove")],
    ),
}
LEDGER: dict[str, Damage] = {
    "a checksum edited": (
        lambda h: h.sql("UPDATE vector SET checksum = '0' WHERE entity_id = 'j3'"),
        [("j3", "corrupted", "ledger", "retake")],
    ),
    "a hash edited": (
        lambda h: h.sql("UPDATE vector SET input_hash = 'x' WHERE entity_id = 'j3'"),
        [("j3", "stale", "ledger", "retake")],
    ),
    "a later time": (
        lambda h: h.sql("UPDATE vector SET content_us = content_us + 1000000 "
                        "WHERE entity_id = 'j3'"),
        [("j3", "stale", "ledger", "retake")],
    ),
    "another space": (
        lambda h: h.sql("UPDATE vector SET space = 'job_graph_v2@x' WHERE entity_id = 'j3'"),
        [("j3", "mixed", "ledger", "retake")],
    ),
    "a row lost": (
        lambda h: h.sql("DELETE FROM vector WHERE entity_id IN ('j3', 'j8')"),
        [("j3", "missing", "ledger", "retake"), ("j8", "missing", "ledger", "retake")],
    ),
    "a row of nobody": (
        lambda h: h.sql("INSERT INTO vector SELECT view, 'ghost', space, input_hash, checksum, "
                        "content_us, computed_us, history_us, online_us, online_store "
                        "FROM vector WHERE entity_id = 'j3'"),
        [("ghost", "orphaned", "ledger", "remove")],
    ),
}  # fmt: skip


def deleted(home: Any, id: str) -> None:
    with home.ledger.begin() as db:
        us = int(home.source[id][1].timestamp() * 1e6)
        bury(db, "job", [id], kind="deleted", content_us=us, now_us=1, why="closed")


def test_where_all_agree_nothing_is_found(home: Any) -> None:
    assert home.audit() == []
    assert home.repair() == {}
    assert home.report().entities == 10


@pytest.mark.parametrize("damage", ONLINE)
def test_damage_online_is_found_and_mended(home: Any, damage: str) -> None:
    plant, found = ONLINE[damage]
    plant(home)
    assert home.audit() == found
    done = home.repair()
    assert done.total() == len(found)
    assert home.audit() == []
    assert home.repair() == {}


@sqlite_only
@pytest.mark.parametrize("damage", LEDGER)
def test_damage_in_the_ledger_is_found_and_mended(home: Any, damage: str) -> None:
    plant, found = LEDGER[damage]
    plant(home)
    assert home.audit() == found
    before = stored(home.store, VIEW, [f"j{n}" for n in range(10)])
    home.repair()
    assert home.audit() == []
    assert stored(home.store, VIEW, [f"j{n}" for n in range(10)]) == before
    assert home.repair() == {}


def test_mending_touches_nobody_else(home: Any) -> None:
    """What is wrong with j5 is beyond the ids that were looked at."""
    home.flip_online("j5")
    assert home.audit(["j3"]) == []
    home.put_online("j3", [1, 1, 1, 1])
    assert home.audit(["j3", "j4"]) == [("j3", "corrupted", "online", "rewrite")]
    assert home.audit() == [
        ("j3", "corrupted", "online", "rewrite"),
        ("j5", "corrupted", "online", "rewrite"),
    ]


def test_a_lost_file_is_put_back_from_the_online_store_byte_for_byte(home: Any) -> None:
    before = home.history.latest()
    path = home.part_of("j8")
    name = str(path.relative_to(home.history.folder))
    path.unlink()
    assert home.audit() == [
        ("j8", "missing", "history", "restore"),
        ("j9", "missing", "history", "restore"),
        (name, "missing", "file", "forget"),
    ]
    done = home.repair()
    assert done["rows put back into the history"] == 2
    assert home.audit() == []
    after = home.history.latest()
    assert after.ids.tolist() == before.ids.tolist()
    np.testing.assert_array_equal(after.vectors_ND, before.vectors_ND)


def test_a_bit_flipped_in_the_history_is_put_right_from_the_online_store(home: Any) -> None:
    path = home.part_of("j3")
    on_the_last_byte(path, lambda v: v[:-1] + bytes([v[-1] ^ 1]))
    name = str(path.relative_to(home.history.folder))
    assert home.audit() == [
        ("j3", "corrupted", "history", "restore"),
        (name, "corrupted", "file", "set_aside"),
    ]
    home.repair()
    assert home.audit() == []
    assert home.history.latest().vectors_ND[3].tolist() == [3, 3, 3, 3]
    assert len(list((home.root / "damaged").rglob("*.parquet"))) == 1


@sqlite_only
def test_a_vector_that_is_no_number_is_found_in_the_history(home: Any) -> None:
    nan = np.full(4, np.nan, np.float32).tobytes()
    on_the_last_byte(home.part_of("j3"), lambda _: nan)
    assert ("j3", "corrupted", "history", "restore") in home.audit()
    home.repair()
    assert home.audit() == []


@sqlite_only
@pytest.mark.parametrize("keep", [0, 4, 200])
def test_a_file_cut_off_is_set_aside_and_its_newest_rows_put_back(home: Any, keep: int) -> None:
    path = home.part_of("j3")
    path.write_bytes(path.read_bytes()[:keep])
    found = home.audit()
    assert {cure for _, _, _, cure in found} == {"restore", "set_aside"}
    assert len(found) == 9
    home.repair()
    assert home.audit() == []
    assert len(home.history.latest()) == 10


@sqlite_only
def test_what_neither_history_nor_online_store_has_is_computed_anew(home: Any) -> None:
    home.part_of("j8").unlink()
    home.put_online("j8", [0, 0, 0, 1])
    remove_entities(home.store, VIEW, ["j9"])
    found = home.audit()
    assert ("j8", "missing", "history", "compute") in found
    assert ("j9", "missing", "history", "compute") in found
    asked: list[str] = []

    def stages(ids: Collection[str]) -> None:
        asked.extend(ids)
        home.compute({"j8": 8, "j9": 9}, day=40)

    home.repair(stages)
    assert sorted(asked) == ["j8", "j9"]
    assert home.audit() == []


@sqlite_only
def test_a_vector_of_an_older_text_is_stale_and_computed_anew(home: Any) -> None:
    home.source["j3"] = ("3.5", home.source["j3"][1] + DAY)
    assert home.audit() == [("j3", "stale", "history", "compute")]
    home.repair(lambda ids: home.compute({"j3": 3.5}, day=1))
    assert home.audit() == []
    assert home.history.latest().vectors_ND[3].tolist() == [3.5] * 4


@sqlite_only
def test_a_view_that_follows_times_is_stale_where_its_source_is_newer(home: Any) -> None:
    home.source["j3"] = (None, home.source["j3"][1] + DAY)
    assert home.audit() == []
    home.dated = True
    assert home.audit() == [("j3", "stale", "history", "compute")]


@sqlite_only
def test_an_entity_that_nobody_computed_is_missing(home: Any) -> None:
    home.source["j10"] = ("10", home.source["j3"][1])
    assert home.audit() == [("j10", "missing", "history", "compute")]
    home.repair(lambda ids: home.compute({"j10": 10}))
    assert home.audit() == []


@sqlite_only
def test_another_spaces_vector_in_the_history_goes_and_the_right_one_is_computed(home: Any) -> None:
    home.compute({"j3": 1.5}, day=2, space="job_graph_v2@x")
    home.source["j3"] = ("3", home.source["j4"][1])
    assert ("j3", "mixed", "history", "compute") in home.audit()
    home.repair(lambda ids: home.compute({"j3": 3}, later=1))
    assert home.audit() == []
    assert home.history.spaces() == [SPACE]


@sqlite_only
def test_an_old_row_of_another_space_is_found_behind_a_right_one(home: Any) -> None:
    home.compute({"j3": 1.5}, day=-1, space="job_graph_v2@x")
    home.source["j3"] = ("3", home.source["j4"][1])
    assert home.audit() == [("j3", "mixed", "history", "drop")]
    home.repair()
    assert home.audit() == []
    assert home.history.count() == 10


@sqlite_only
def test_a_file_that_the_ledger_never_took_in_is_taken_in(home: Any) -> None:
    home.sql("DELETE FROM part")
    home.sql("DELETE FROM vector WHERE entity_id = 'j3'")
    found = home.audit()
    assert {cure for _, _, _, cure in found} == {"take_in", "retake"}
    home.repair()
    assert home.audit() == []


@sqlite_only
def test_who_was_erased_and_is_still_somewhere_is_to_be_erased(home: Any) -> None:
    with home.ledger.begin() as db:
        bury(db, "job", ["j3"], kind="erased", content_us=2**60, now_us=1, why="asked")
    layers = {layer for id, kind, layer, cure in home.audit() if (id, cure) == ("j3", "erase")}
    assert layers == {"source", "ledger", "history", "online"}


@sqlite_only
def test_a_deleted_one_is_no_finding_once_it_is_offline(home: Any) -> None:
    deleted(home, "j3")
    remove_entities(home.store, VIEW, ["j3"])
    assert home.audit() == []
    del home.source["j3"]
    assert home.audit() == []


@sqlite_only
def test_what_is_being_written_during_the_audit_is_no_finding(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row reaches the history before the audit looks, and the online store after."""
    real, first = judge.online_rows, []

    def late(*args: Any) -> Any:
        rows = list(real(*args))
        if not first:
            first.append(1)
            home.compute({"j3": 3.25}, day=3)
        return rows

    monkeypatch.setattr(judge, "online_rows", late)
    assert home.audit() == []


@sqlite_only
def test_memory_is_that_of_the_bench_and_pages_do_not_matter(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star_features.audit.reading.PAGE", 3)
    monkeypatch.setattr("star_features.audit.reading.VECTORS", 2)
    monkeypatch.setattr("star_features.audit.judge.AT_ONCE", 1)
    assert home.audit() == []
    home.flip_online("j3")
    home.flip_online("j9")
    assert home.audit() == [
        ("j3", "corrupted", "online", "rewrite"),
        ("j9", "corrupted", "online", "rewrite"),
    ]


@sqlite_only
def test_orphans_that_are_very_many_are_held_back(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that has lost most of its rows looks broken; one that lost a few does not."""
    monkeypatch.setattr(mend, "A_FEW", 1)
    for id in ("j1", "j2", "j3"):
        del home.source[id]
    with home.bench() as bench:
        report = judge.audit_view(bench, home.ledger, home.store, home.asked())
        mender = Mender(bench, home.ledger, home.store, "here", 9, home.root)
        assert mender.hold_back(home.asked(), report) == 6
        assert mender.mend(home.asked(), report) + mender.finish(home.asked()) == {}
    assert len(home.audit()) == 6
    home.source |= {id: (id[1:], home.source["j4"][1]) for id in ("j1", "j2")}
    with home.bench() as bench:
        report = judge.audit_view(bench, home.ledger, home.store, home.asked())
        assert mender.hold_back(home.asked(), report) == 0


@sqlite_only
def test_a_view_that_is_not_online_yet_is_audited_without(home: Any) -> None:
    remove_entities(home.store, VIEW, [f"j{n}" for n in range(10)])
    home.store = None
    assert home.audit() == []


@sqlite_only
def test_mending_killed_half_way_is_finished_by_the_next(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.part_of("j8").unlink()
    home.flip_online("j3")
    home.sql("UPDATE vector SET checksum = '0' WHERE entity_id = 'j5'")
    for name in ("_restore", "_retake", "_write"):
        with monkeypatch.context() as patched:

            def killed(*_: Any) -> None:
                raise KeyboardInterrupt

            patched.setattr(Mender, name, killed)
            with pytest.raises(KeyboardInterrupt):
                home.repair()
    home.repair()
    assert home.audit() == []
