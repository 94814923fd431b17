"""`star serve`: Feast's feature server over this home, with vectors as packed bytes beside it."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.shared import HomeOption, RepoOption, console
from pipelines.home import Home


def serve(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="At which port.")] = 6566,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    registry_ttl: Annotated[int, typer.Option(min=1, help="Seconds until a release is seen.")] = 60,
    access_log: Annotated[bool, typer.Option("--access-log", help="Print each request.")] = False,
    key: Annotated[Path | None, typer.Option(help="Key for TLS.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate for TLS.")] = None,
    home: HomeOption = None,
    repo: RepoOption = None,
) -> None:
    """Serve this home's features over HTTP: all of `feast serve`, and vectors as packed bytes.

    A ranker elsewhere reads them with `FeatureReader.over_http("http://HOST:PORT")`.
    """
    from star_features.serving import server
    from star_features.store.feast_store import open_store

    place = Home.find(home, repo)
    store = open_store(place.repo, place.path)
    console.print(f"Serving {place.path} at http{'s' if key else ''}://{host}:{port}")
    server.run(
        store,
        host=host,
        port=port,
        workers=workers,
        registry_ttl_seconds=registry_ttl,
        access_log=access_log,
        key=str(key or ""),
        certificate=str(cert or ""),
    )
