"""
Opening the ledger: an SQL database, brought to the newest schema by its migrations.

    ledger = Ledger.open("sqlite:///.star/ledger.db")        # or postgresql+psycopg://…
    with ledger.begin() as db:                                # one transaction, locked for writing
        db.execute(...)

Safe to open from any number of processes at once: migrations run under a lock.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from star_features.errors import StoreError, UsageError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
"""How long a process waits for another one's transaction on SQLite."""
READING = "star_reading"
MIGRATION_LOCK = 7_275_003
"""Postgres' advisory lock under which one process migrates and the others wait."""


@dataclass(frozen=True)
class Ledger:
    """An open ledger; `engine` may be shared between threads, not between processes.

    Attributes:
        check: called first in each transaction for writing, which it may refuse by raising: so a
            holder whose lease has passed to another is kept from writing (`slots.guarded`).
    """

    engine: Engine
    check: Callable[[Connection], None] = field(default=lambda db: None, repr=False)

    @classmethod
    def open(cls, url: str) -> "Ledger":
        """Connect and migrate.

        Raises:
            UsageError: the address is none that SQLAlchemy knows.
            StoreError: the database cannot be reached, or is newer than this code.
        """
        try:
            engine = create_engine(url, pool_pre_ping=True, **_options(url))
        except (SQLAlchemyError, ModuleNotFoundError) as error:
            raise UsageError(
                f"no ledger at this address ({error}).\n"
                "Wanted sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE in STAR_LEDGER."
            ) from error
        if engine.dialect.name == "sqlite":
            _as_many_processes_need(engine)
        ledger = cls(engine)
        try:
            ledger._migrate()
        except DBAPIError as error:
            raise StoreError(
                f"the ledger at {engine.url.render_as_string()} does not answer: {error.orig}\n"
                "Start the database, or correct STAR_LEDGER; then run the command again."
            ) from error
        return ledger

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction for writing; committed at the end, rolled back by any error."""
        with self.engine.begin() as db:
            self.check(db)
            yield db

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view for reading."""
        with self.engine.connect().execution_options(**{READING: True}) as db:
            yield db

    def close(self) -> None:
        self.engine.dispose()

    def _migrate(self) -> None:
        scripts = ScriptDirectory(str(MIGRATIONS))
        newest = scripts.get_current_head()
        with self.engine.begin() as db:
            if MigrationContext.configure(db).get_current_revision() == newest:
                return
        with self.engine.begin() as db:
            if self.engine.dialect.name == "postgresql":
                db.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            stands_at = MigrationContext.configure(db).get_current_revision()
            if stands_at not in (None, *(script.revision for script in scripts.walk_revisions())):
                raise StoreError(
                    f"the ledger is at revision {stands_at}, which this version does not know.\n"
                    f"Wanted at most {newest}: install the star-features that wrote it."
                )
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = db
            command.upgrade(config, "head")


def _options(url: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": BUSY_SECONDS}} if url.startswith("sqlite") else {}


def _as_many_processes_need(engine: Engine) -> None:
    """Write-ahead log, and transactions that take the write lock when they begin.

    SQLite's own default takes it at the first write; two that read first and write then would
    both fail.
    """

    @event.listens_for(engine, "connect")
    def _connect(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions are ours to begin
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=NORMAL")
        raw.execute("PRAGMA secure_delete=ON")  # who is erased is not left in a freed page

    @event.listens_for(engine, "begin")
    def _begin(db: Connection) -> None:
        reading = db.get_execution_options().get(READING)
        db.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
