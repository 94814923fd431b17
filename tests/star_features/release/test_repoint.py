"""Services moved in one transaction: what four readers meet while versions change under them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.promotion import (
    JOBS,
    MAPPED,
    MOVES,
    NATIVE,
    READERS,
    STORES,
    Place,
    fill,
    in_file,
    under_promotions,
)
from benchmarks.servers import postgres_server, redis_server
from star_features.errors import MissingStage
from star_features.release.repoint import registered, repoint
from star_features.serving import FeatureReader
from star_features.store.services import reading

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Placed = Callable[[str], Place]


def moved(pair: str) -> dict[str, dict[str, str]]:
    return {"ranker": {f"{side}_star": f"{side}_{pair}" for side in ("member", "job")}}


@pytest.fixture(params=list(STORES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A filled store; Postgres holds its registry too, as in production."""
    root = tmp_path / "store"
    root.mkdir()
    if request.param == "sqlite":
        made = Place("sqlite", root, {"path": str(root / "online.db")}, in_file(root))
        fill(made)
        yield made
    elif request.param == "redis":
        with redis_server(tmp_path) as settings:
            made = Place("redis", root, settings, in_file(root))
            fill(made)
            yield made
    else:
        with postgres_server(tmp_path) as settings:
            url = "postgresql+psycopg://{user}:{password}@/{database}?host={host}&port={port}"
            made = Place("postgres", root, settings, url.format(**settings))
            fill(made)
            yield made


@pytest.fixture
def embedded(tmp_path: Path) -> Place:
    made = Place("sqlite", tmp_path, {"path": str(tmp_path / "online.db")}, in_file(tmp_path))
    fill(made)
    return made


@pytest.mark.parametrize("reads", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_four_readers_meet_one_version_or_the_other_and_never_a_mixture(
    place: Place, reads: int
) -> None:
    """Promoted and rolled back every 20 ms by a process that is killed and started again."""
    seen = under_promotions(place, "ours", reads)
    assert seen.reads >= reads
    assert (seen.mixed, seen.refused) == (0, 0)
    assert min(seen.native, seen.mapped) > 0
    assert seen.moves >= READERS * MOVES


def test_services_applied_one_by_one_are_met_half_by_who_reads_by_two_and_never_by_one(
    embedded: Place,
) -> None:
    """The state that a killed `feast apply` leaves for good."""
    store = embedded.open()
    half = reading(store, "ranker_member", moved(MAPPED)["ranker"])
    store.registry.apply_feature_service(half, store.project)
    store.refresh_registry()
    met = []
    for side, ids in (("member", ["m"]), ("job", JOBS)):
        service = store.get_feature_service(f"ranker_{side}")
        rows = [{f"{side}_id": key} for key in ids]
        answer = store.get_online_features(service, rows, full_feature_names=True).to_dict()
        met.append(answer[f"{side}_star__vector"][0][0])
    assert met == [2.0, 1.0]
    request = FeatureReader(store).read("m", JOBS)
    views = {s.view for s in (request.member["member_star"], request.jobs["job_star"])}
    assert views == {f"member_{NATIVE}", f"job_{NATIVE}"}


def test_all_three_services_move_and_nothing_else_of_them_changes(embedded: Place) -> None:
    store = embedded.open()
    before = {name: store.get_feature_service(name) for name in registered(store)}
    changed = repoint(store, moved(MAPPED), NOON)
    assert sorted(changed) == ["ranker", "ranker_job", "ranker_member"]
    assert registered(store)["ranker"] == moved(MAPPED)["ranker"]
    for name, old in before.items():
        new = store.get_feature_service(name)
        assert new.created_timestamp == old.created_timestamp
        assert new.last_updated_timestamp.replace(tzinfo=UTC) == NOON
        assert (new.tags, new.owner, new.description) == (old.tags, old.owner, old.description)
        fields = [[f.name for f in p.features] for p in new.feature_view_projections]
        assert fields == [[f.name for f in p.features] for p in old.feature_view_projections]
    assert repoint(store, moved(MAPPED), NOON) == [], "it stands there already"
    repoint(store, moved(NATIVE), NOON)
    for name, old in before.items():
        assert store.get_feature_service(name) == old


def test_a_service_or_a_view_that_is_not_registered_moves_nothing(embedded: Place) -> None:
    store = embedded.open()
    before = registered(store)
    with pytest.raises(MissingStage, match="star apply"):
        repoint(store, {"ranker": {"job_star": "job_graph_v9"}}, NOON)
    with pytest.raises(MissingStage, match="star apply"):
        repoint(store, {**moved(MAPPED), "ads": {"job_star": f"job_{MAPPED}"}}, NOON)
    assert registered(store) == before


def test_a_transaction_that_fails_at_its_last_service_moves_none(embedded: Place) -> None:
    from sqlalchemy import text

    store = embedded.open()
    before = registered(store)
    with store.registry.write_engine.begin() as db:
        db.execute(
            text(
                "CREATE TRIGGER last BEFORE UPDATE ON feature_services WHEN "
                "NEW.feature_service_name = 'ranker_job' BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    with pytest.raises(Exception, match="no"):
        repoint(store, moved(MAPPED), NOON)
    assert registered(store) == before
