"""Splits against a second, plain reading of the rules, and laws."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from star_features.errors import DataError, EmptyInput, StarError, UsageError
from star_features.evaluation.protocols import Split, split

law = settings(deadline=None, max_examples=50)
Row = tuple[str, str, int, int]
Make = Callable[[list[Row]], Any]
Plain = Callable[[Any], list[Row]]

drawn_rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bo", "cy"]),
        st.sampled_from([f"j{n}" for n in range(6)]),
        st.integers(0, 9),
        st.sampled_from([0, 1, 1]),
    ),
    min_size=1,
    max_size=40,
)
leave_outs = st.sampled_from(["leave-last-out", "leave-one-out"])
protocols = st.sampled_from(["time-split", "leave-last-out", "leave-one-out"])


def parted(table: Make, rows: list[Row], protocol: Any, seed: int = 0) -> Split:
    """The split, or no example where nobody can be tested."""
    try:
        return split(table(rows), protocol, seed)
    except DataError:
        assume(False)
        raise


def pairs(rows: list[Row]) -> set[tuple[str, str]]:
    return {(member, job) for member, job, _, _ in rows}


@law
@given(rows=drawn_rows, protocol=protocols, seed=st.integers(0, 5))
def test_every_row_has_exactly_one_role(
    table: Make, plain: Plain, rows: list[Row], protocol: str, seed: int
) -> None:
    parts = parted(table, rows, protocol, seed)
    together = plain(parts.history) + plain(parts.ranker) + plain(parts.test)
    assert sorted(together) == sorted(rows)


@law
@given(rows=drawn_rows, protocol=leave_outs, seed=st.integers(0, 5))
def test_no_held_out_pair_stands_in_another_role(
    table: Make, plain: Plain, rows: list[Row], protocol: str, seed: int
) -> None:
    parts = parted(table, rows, protocol, seed)
    history, ranker, test = (
        pairs(plain(part)) for part in (parts.history, parts.ranker, parts.test)
    )
    assert not history & test
    assert not history & ranker
    assert not ranker & test


@law
@given(rows=drawn_rows, protocol=protocols, order=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    table: Make, plain: Plain, rows: list[Row], protocol: str, order: Any
) -> None:
    mixed = rows.copy()
    order.shuffle(mixed)
    one, other = parted(table, rows, protocol), parted(table, mixed, protocol)
    for role in ("history", "ranker", "test"):
        assert plain(getattr(one, role)) == plain(getattr(other, role))
    assert one.cutoffs == other.cutoffs


@law
@given(rows=drawn_rows, protocol=leave_outs, seed=st.integers(0, 5))
def test_one_taken_job_a_member_is_held_out_per_role(
    table: Make, plain: Plain, rows: list[Row], protocol: str, seed: int
) -> None:
    parts = parted(table, rows, protocol, seed)
    taken = [row for row in rows if row[3] == 1]
    for member in {"ann", "bo", "cy"}:
        jobs = len({row[1] for row in taken if row[0] == member})
        for part, enough in ((parts.test, 2), (parts.ranker, 3)):
            held = {row[1] for row in plain(part) if row[0] == member and row[3] == 1}
            assert len(held) == (1 if jobs >= enough else 0)


@law
@given(rows=drawn_rows)
def test_leave_last_out_is_what_a_plain_reading_gives(
    table: Make, plain: Plain, rows: list[Row]
) -> None:
    parts = parted(table, rows, "leave-last-out")
    wanted: dict[str, list[Row]] = {"history": [], "ranker": [], "test": []}
    for member in sorted({row[0] for row in rows}):
        mine = [row for row in rows if row[0] == member]
        at = {
            job: max(row[2] for row in mine if row[1] == job and row[3] == 1)
            for job in {row[1] for row in mine if row[3] == 1}
        }
        order = sorted(at, key=lambda job: (at[job], job))
        role = dict.fromkeys(order, "history")
        if len(order) >= 2:
            role[order[-1]] = "test"
        if len(order) >= 3:
            role[order[-2]] = "ranker"
        for job in {row[1] for row in mine} - set(order):
            shown = max(row[2] for row in mine if row[1] == job)
            later = [other for other in order if at[other] >= shown]
            near = later[:1] or order[-1:]
            role[job] = role[near[0]] if near else "history"
        for row in mine:
            wanted[role[row[1]]].append(row)
    assert {name: plain(getattr(parts, name)) for name in wanted} == {
        name: sorted(found) for name, found in wanted.items()
    }


def test_a_time_split_cuts_at_two_moments_and_reports_them(table: Make, plain: Plain) -> None:
    rows = [("ann", f"j{n}", n, 1) for n in range(10)]
    parts = split(table(rows), "time-split", seed=0)
    assert [row[2] for row in plain(parts.history)] == [0, 1, 2, 3, 4, 5]
    assert [row[2] for row in plain(parts.ranker)] == [6, 7]
    assert [row[2] for row in plain(parts.test)] == [8, 9]
    assert parts.cutoffs == {
        "ranker": datetime(1970, 1, 1, 0, 6, tzinfo=UTC),
        "test": datetime(1970, 1, 1, 0, 8, tzinfo=UTC),
    }


@law
@given(rows=drawn_rows)
def test_after_a_time_split_each_role_is_later_than_the_one_before(
    table: Make, plain: Plain, rows: list[Row]
) -> None:
    parts = parted(table, rows, "time-split")
    history, ranker, test = (
        [row[2] for row in plain(part)] for part in (parts.history, parts.ranker, parts.test)
    )
    assert max(history) < min(ranker) <= max(ranker) < min(test)


def test_leave_one_out_repeats_itself_for_one_seed_and_not_for_another(
    table: Make, plain: Plain
) -> None:
    rows = [(f"m{m}", f"j{j}", j, 1) for m in range(8) for j in range(6)]
    one, again, other = (
        plain(split(table(rows), "leave-one-out", seed).test) for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other
    assert len({job for _, job, _, _ in one}) > 2, "not always the same place in time"


def test_times_that_never_change_cannot_be_split_by_time(table: Make) -> None:
    rows = table([("ann", f"j{n}", 5, 1) for n in range(9)])
    with pytest.raises(DataError, match="leave-one-out"):
        split(rows, "time-split", seed=0)
    assert split(rows, "leave-one-out", seed=0).test.num_rows == 1


@pytest.mark.parametrize(
    ("rows", "protocol", "shares", "error"),
    [
        ([], "time-split", (0.6, 0.2), EmptyInput),
        ([("ann", "j1", 1, 1)], "leave-last-out", (0.6, 0.2), DataError),
        ([("ann", "j1", 1, 1)], "time-split", (0.6, 0.4), UsageError),
        ([("ann", "j1", 1, 1)], "leave-two-out", (0.6, 0.2), UsageError),
    ],
)
def test_what_cannot_be_split_says_why(
    table: Make,
    rows: list[Row],
    protocol: Any,
    shares: tuple[float, float],
    error: type[StarError],
) -> None:
    with pytest.raises(error):
        split(table(rows), protocol, 0, *shares)


def test_leave_one_out_holds_out_the_same_pairs_when_other_rows_come() -> None:
    rows = [(f"m{i % 30}", f"j{i % 17}", i) for i in range(300)]
    at = [datetime(2026, 1, 1, tzinfo=UTC)] * 301

    def held(extra: list[tuple[str, str, int]]) -> set[tuple[str, str]]:
        found = [*extra, *rows]
        table = pa.table(
            {
                "member_id": [row[0] for row in found],
                "job_id": [row[1] for row in found],
                "kind": ["apply"] * len(found),
                "at": pa.array(at[: len(found)], pa.timestamp("us", "UTC")),
                "weight": pa.array([1.0] * len(found), pa.float32()),
                "label": pa.array([1] * len(found), pa.int8()),
            }
        )
        test = split(table, "leave-one-out", seed=3).test
        return set(zip(test["member_id"].to_pylist(), test["job_id"].to_pylist(), strict=True))

    assert held([("aaa", "j1", 0)]) == held([])
