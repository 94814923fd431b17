"""What the ledger says of vectors: the newest wins, and what changed is pending."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as law
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Part, Vector
from star_features.ledger.tombstones import bury, revive
from star_features.ledger.vectors import (
    Computed,
    Counts,
    Newest,
    checksum,
    counts,
    forget,
    forget_view,
    mark_online,
    mark_pending,
    newest,
    pending,
    record,
)

VIEW, HERE, THERE = "job_text_v1", "store a", "store b"


def computed(*rows: tuple[str, int, int, str], view: str = VIEW) -> Computed:
    """Rows of (id, content, computed, checksum)."""
    ids, contents, times, sums = (list(column) for column in zip(*rows, strict=True))
    return Computed(view, ids, ["s@1"] * len(ids), [f"h{c}" for c in sums], sums, contents, times)


def write(ledger: Ledger, *rows: tuple[str, int, int, str], view: str = VIEW) -> None:
    with ledger.begin() as db:
        record(db, computed(*rows, view=view), history_us=1)


def all_of(pages: Any) -> list[Newest]:
    return [row for page in pages for row in page]


def known(ledger: Ledger, view: str = VIEW) -> dict[str, str]:
    return {row.entity_id: row.checksum for row in all_of(newest(ledger, view))}


def late(ledger: Ledger, store: str = HERE) -> list[str]:
    return [row.entity_id for row in all_of(pending(ledger, VIEW, store))]


def write_online(ledger: Ledger, store: str = HERE) -> None:
    for page in pending(ledger, VIEW, store):
        with ledger.begin() as db:
            mark_online(db, VIEW, page, store, now_us=2)


def test_newer_content_wins_and_older_content_changes_nothing(ledger: Ledger) -> None:
    write(ledger, ("a", 5, 5, "x"))
    write(ledger, ("a", 6, 4, "y"))
    write(ledger, ("a", 5, 9, "z"))
    assert known(ledger) == {"a": "y"}


def test_of_equal_content_the_newer_computation_wins(ledger: Ledger) -> None:
    write(ledger, ("a", 5, 5, "x"))
    write(ledger, ("a", 5, 6, "y"))
    write(ledger, ("a", 5, 4, "z"))
    assert known(ledger) == {"a": "y"}


@law(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=6), st.integers(0, 9))
def test_any_order_in_any_batches_ends_in_the_same_row(
    ledger: Ledger, times: list[tuple[int, int, int]], seed: int
) -> None:
    rows = [("a", content, made, f"{n}") for content, made, n in times]
    with ledger.begin() as db:
        db.execute(delete(Vector))
    write(ledger, *rows)
    once = all_of(newest(ledger, VIEW))
    with ledger.begin() as db:
        db.execute(delete(Vector))
    random.Random(seed).shuffle(rows)
    for row in rows:
        write(ledger, row)
    assert all_of(newest(ledger, VIEW)) == once
    last = max(times, key=lambda row: (row[0], row[1], -row[2]))
    assert (once[0].content_us, once[0].computed_us, once[0].checksum) == (*last[:2], f"{last[2]}")


def test_what_is_written_online_is_pending_no_more_until_it_changes(ledger: Ledger) -> None:
    write(ledger, ("a", 1, 1, "x"), ("b", 1, 1, "y"))
    assert late(ledger) == ["a", "b"]
    write_online(ledger)
    assert late(ledger) == []
    write(ledger, ("a", 1, 1, "x"), ("b", 1, 2, "y"))  # said again; computed again, the same
    assert late(ledger) == []
    write(ledger, ("b", 1, 3, "z"))
    assert late(ledger) == ["b"]
    write(ledger, ("a", 2, 3, "x"))  # true since another time, which the store keeps too
    assert late(ledger) == ["a", "b"]


def test_in_another_store_everything_is_pending_again(ledger: Ledger) -> None:
    write(ledger, ("a", 1, 1, "x"))
    write_online(ledger)
    assert late(ledger, THERE) == ["a"]
    write_online(ledger, THERE)
    assert late(ledger, HERE) == ["a"]


def test_a_row_that_changed_while_it_was_being_written_stays_pending(ledger: Ledger) -> None:
    write(ledger, ("a", 1, 1, "x"))
    (page,) = pending(ledger, VIEW, HERE)
    write(ledger, ("a", 1, 2, "y"))
    with ledger.begin() as db:
        mark_online(db, VIEW, page, HERE, now_us=2)
    assert late(ledger) == ["a"]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_pages_hold_every_row_once_whatever_their_size(ledger: Ledger, page: int) -> None:
    write(ledger, *((f"j{n}", 1, 1, "x") for n in range(6)))
    found = [row.entity_id for row in all_of(pending(ledger, VIEW, HERE, page))]
    assert found == [f"j{n}" for n in range(6)]


def test_some_or_all_rows_can_be_made_pending_again(ledger: Ledger) -> None:
    write(ledger, ("a", 1, 1, "x"), ("b", 1, 1, "y"), ("c", 1, 1, "z"))
    write_online(ledger)
    with ledger.begin() as db:
        mark_pending(db, VIEW, ["b"])
    assert late(ledger) == ["b"]
    with ledger.begin() as db:
        mark_pending(db, VIEW)
    assert late(ledger) == ["a", "b", "c"]


def test_counts_say_how_far_a_view_got(ledger: Ledger) -> None:
    assert counts(ledger, VIEW, HERE) == Counts(0, 0)
    write(ledger, ("a", 1, 1, "x"), ("b", 1, 1, "y"))
    write_online(ledger)
    write(ledger, ("c", 1, 1, "z"))
    assert counts(ledger, VIEW, HERE) == Counts(rows=3, pending=1)
    assert counts(ledger, VIEW, THERE) == Counts(rows=3, pending=3)


def test_a_deleted_entity_is_neither_pending_nor_counted_until_it_is_revived(
    ledger: Ledger,
) -> None:
    write(ledger, ("a", 1, 1, "x"), ("b", 3, 1, "y"), ("c", 1, 1, "z"))
    gone = {"kind": "deleted", "content_us": 2, "now_us": 2, "why": "closed"}
    with ledger.begin() as db:
        bury(db, "job", ["a", "b"], **gone)
        bury(db, "member", ["c"], **gone)
    assert late(ledger) == ["c"]
    assert counts(ledger, VIEW, HERE).rows == 1
    with ledger.begin() as db:
        revive(db, "job", {"b": 3})
    assert late(ledger) == ["b", "c"]


def test_to_forget_a_view_leaves_the_others_alone(ledger: Ledger) -> None:
    write(ledger, ("a", 1, 1, "x"))
    write(ledger, ("a", 1, 1, "x"), view="job_text_v2")
    part = {"name": "p", "rows": 1, "recorded_us": 1}
    with ledger.begin() as db:
        db.execute(insert(Part), [{"view": VIEW, **part}, {"view": "job_text_v2", **part}])
        forget_view(db, VIEW)
    assert (known(ledger), known(ledger, "job_text_v2")) == ({}, {"a": "x"})
    with ledger.read() as db:
        assert db.execute(select(Part.view)).scalars().all() == ["job_text_v2"]


def test_to_forget_a_job_leaves_a_member_of_the_same_id_alone(ledger: Ledger) -> None:
    for view in (VIEW, "job_graph_v1", "member_text_v1"):
        write(ledger, ("a", 1, 1, "x"), ("b", 1, 1, "x"), view=view)
    with ledger.begin() as db:
        forget(db, "job", ["a"])
    assert known(ledger).keys() == known(ledger, "job_graph_v1").keys() == {"b"}
    assert known(ledger, "member_text_v1").keys() == {"a", "b"}


def test_a_checksum_tells_numbers_and_spaces_apart() -> None:
    vectors = [np.array(v, "<f4") for v in ([1, 2], [1, 2.0000002], [2, 1])]
    sums = {checksum(space, v.tobytes()) for v in vectors for space in ("s@1", "s@2")}
    assert len(sums) == 6
    assert checksum("s@1", np.array([1, 2], "<f4").data.cast("B")) in sums
