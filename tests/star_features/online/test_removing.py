"""Removing single entities from every fast store, as Feast's own client then sees it."""

from types import SimpleNamespace

import pytest

from star_features.errors import StoreError
from star_features.online.remover import remove_entities
from star_features.online.writer import write_batches

VIEW, OTHER = "job_graph_v1", "job_graph_v2"


def test_what_is_removed_feast_no_longer_reads_and_the_rest_stays(world: SimpleNamespace) -> None:
    rows = world.batch(["j1", "j2", "ö-3"], [[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    write_batches(world.fast, VIEW, [rows])
    write_batches(world.fast, OTHER, [rows])
    assert remove_entities(world.fast, VIEW, ["j1", "ö-3", "j9", "j1"]) == 2
    assert world.vectors_of(world.stock, ["j1", "j2", "ö-3"]) == {
        "j1": None,
        "j2": [2, 2, 2],
        "ö-3": None,
    }
    assert world.vectors_of(world.stock, ["j1"], OTHER) == {"j1": [1, 1, 1]}


def test_removing_again_finds_nothing(world: SimpleNamespace) -> None:
    write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 1, 1])])
    assert remove_entities(world.fast, VIEW, ["j1"]) == 1
    assert remove_entities(world.fast, VIEW, ["j1"]) == 0
    assert remove_entities(world.fast, VIEW, []) == 0


def test_who_was_removed_can_be_written_again(world: SimpleNamespace) -> None:
    write_batches(world.fast, VIEW, [world.batch(["j1"], [1, 1, 1])])
    remove_entities(world.fast, VIEW, ["j1"])
    write_batches(world.fast, VIEW, [world.batch(["j1"], [4, 4, 4])])
    assert world.vectors_of(world.stock, ["j1"]) == {"j1": [4, 4, 4]}


def test_more_than_one_statement_holds_is_removed(world: SimpleNamespace) -> None:
    ids = [f"j{n}" for n in range(1100)]
    write_batches(world.fast, VIEW, [world.batch(ids, [[1, 2, 3]] * len(ids))])
    assert remove_entities(world.fast, VIEW, ids[1:]) == 1099
    assert [v for v in world.vectors_of(world.stock, ids).values() if v] == [[1, 2, 3]]


def test_feasts_own_stores_are_refused_by_name(world: SimpleNamespace) -> None:
    with pytest.raises(StoreError, match=r"neither list nor remove.*\n.*FastSqliteOnlineStore"):
        remove_entities(world.stock, VIEW, ["j1"])
