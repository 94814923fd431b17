"""Opening the ledger: its migrations, its locks, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select, text

from star_features.errors import StoreError, UsageError
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Base, Consumer, Release


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def differences(ledger: Ledger) -> list[object]:
    with ledger.engine.connect() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def test_migrations_make_the_schema_that_the_code_speaks_of(url: str) -> None:
    assert differences(Ledger.open(url)) == []


def test_postgres_gets_the_same_schema(postgres_url: str) -> None:
    assert differences(Ledger.open(postgres_url)) == []
    assert differences(Ledger.open(postgres_url)) == []


def test_what_was_written_is_there_for_the_next_who_opens(url: str) -> None:
    first = Ledger.open(url)
    row = {"kind": "graph", "version": "v1", "state": "current", "since_us": 2**45}
    with first.begin() as db:
        db.execute(insert(Release), row)
    first.close()
    with Ledger.open(url).read() as db:
        assert dict(db.execute(select(Release.__table__)).mappings().one()) == row


def test_an_error_takes_the_whole_transaction_back(url: str) -> None:
    ledger = Ledger.open(url)
    row = {"kind": "graph", "version": "v1", "state": "current", "since_us": 0}

    def fail_after_writing() -> None:
        with ledger.begin() as db:
            db.execute(insert(Release), row)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_writing()
    with ledger.read() as db:
        assert db.execute(select(Release.__table__)).all() == []


def test_readers_do_not_wait_for_a_writer(url: str) -> None:
    ledger, other = Ledger.open(url), Ledger.open(url)
    with ledger.begin() as writing, other.read() as reading:
        writing.execute(text("DELETE FROM release"))
        assert reading.execute(select(Consumer.__table__)).all() == []


def test_many_processes_may_open_a_new_ledger_at_once(url: str) -> None:
    code = f"from star_features.ledger.ledger import Ledger; Ledger.open({url!r})"
    starts = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in starts] == [0, 0, 0, 0]
    assert differences(Ledger.open(url)) == []


def test_a_ledger_from_the_future_is_refused(url: str) -> None:
    with Ledger.open(url).begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"9999.*\n.*install"):
        Ledger.open(url)


@pytest.mark.parametrize("bad", ["nonsense", "nodatabase:///x"])
def test_an_address_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="STAR_LEDGER"):
        Ledger.open(bad)


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="Start the database") as refused:
        Ledger.open("postgresql+psycopg://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(refused.value)
