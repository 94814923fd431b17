"""A ledger on SQLite, and one on a real PostgreSQL server."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from sqlalchemy import create_engine, delete, text

from benchmarks.servers import start_postgres
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Base


@pytest.fixture(scope="session")
def new_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """One server; each call is the address of a new database on it."""
    server = start_postgres(tmp_path_factory.mktemp("pg"))
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    engine, numbers = create_engine(url, isolation_level="AUTOCOMMIT"), count()

    def new() -> str:
        name = f"ledger{next(numbers)}"
        with engine.connect() as db:
            db.execute(text(f"CREATE DATABASE {name}"))
        return engine.url.set(database=name).render_as_string(hide_password=False)

    yield new
    engine.dispose()
    server.cleanup()


@pytest.fixture(scope="module")
def postgres_url(new_postgres: Callable[[], str]) -> str:
    return new_postgres()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    if request.param == "sqlite":
        ledger = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}")
    else:
        ledger = Ledger.open(request.getfixturevalue("postgres_url"))
    yield ledger
    ledger.close()


@pytest.fixture
def ledger(opened: Ledger) -> Ledger:
    """An empty ledger, on both databases."""
    with opened.begin() as db:
        for table in Base.metadata.sorted_tables:
            db.execute(delete(table))
    return opened
