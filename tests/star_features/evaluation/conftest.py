"""Small interactions that fit on the page."""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

Row = tuple[str, str, int, int]  # member, job, minute since 1970, label


@pytest.fixture(scope="session")
def table() -> Callable[[Sequence[Row]], pa.Table]:
    """Canonical interactions from rows."""

    def make(rows: Sequence[Row]) -> pa.Table:
        member, job, minute, label = zip(*rows, strict=True) if rows else ((), (), (), ())
        return pa.table(
            {
                "member_id": pa.array(member, pa.string()),
                "job_id": pa.array(job, pa.string()),
                "kind": pa.array(["apply"] * len(rows), pa.string()),
                "at": pa.array([m * 60_000_000 for m in minute], pa.timestamp("us", "UTC")),
                "weight": pa.array([1.0] * len(rows), pa.float32()),
                "label": pa.array(label, pa.int8()),
            }
        )

    return make


@pytest.fixture(scope="session")
def plain() -> Callable[[pa.Table], list[Row]]:
    """The rows of a table, sorted: what it holds whatever its order."""

    def unmake(rows: pa.Table) -> list[Row]:
        minute = [int(at.timestamp()) // 60 for at in rows["at"].to_pylist()]
        columns = (rows["member_id"].to_pylist(), rows["job_id"].to_pylist(), minute)
        return sorted(zip(*columns, rows["label"].to_pylist(), strict=True))

    return unmake
