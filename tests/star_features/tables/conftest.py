"""A world that fits on the page: two members, two jobs, three interactions, as CSV."""

from collections.abc import Callable
from pathlib import Path

import pytest

MEMBERS = "member_id,text,updated_at\nm1,nurse,2024-01-01\nm2,cook,2024-01-02\n"
JOBS = "job_id,text,updated_at\nj1,ward,2024-01-01\nj2,kitchen,2024-01-02\n"
INTERACTIONS = (
    "member_id,job_id,kind,at\n"
    "m1,j1,view,2024-02-01\n"
    "m2,j2,apply,2024-02-02\n"
    "m1,j2,view,2024-02-03\n"
)

Dataset = Callable[..., Path]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Write a data set: canonical CSV tables, with the given files on top (None: no such file)."""

    def write(toml: str = "", **files: str | bytes | None) -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        tables = {"members": MEMBERS, "jobs": JOBS, "interactions": INTERACTIONS} | files
        for name, content in tables.items():
            if content is None:
                continue
            content = content.encode() if isinstance(content, str) else content
            (folder / f"{name}.csv").write_bytes(content)
        if toml:
            (folder / "dataset.toml").write_text(toml)
        return folder

    return write
