"""Every row of a view, in pages, from every fast store."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from star_features.online.columns import whole
from star_features.online.wire import entity_keys, ids_of
from star_features.online.writer import write_batches

VIEW, OTHER = "job_graph_v1", "job_graph_v2"


def scanned(world: SimpleNamespace, view: str = VIEW, rows: int = 5_000) -> dict[str, Any]:
    """Stored values and event time by id, of every page."""
    table = world.fast.get_feature_view(view)
    online = world.fast._get_provider().online_store
    found = {}
    for page in online.scan(world.fast.config, table, rows):
        times = page.columns.event_us_N.tolist()
        values = zip(*page.columns.values, strict=True)
        cells = zip(ids_of("job_id", page.keys), values, times, strict=True)
        found |= {id: (values, at) for id, values, at in cells}
    return found


def test_a_scan_shows_what_a_read_shows(world: SimpleNamespace) -> None:
    ids = ["j1", "ö-2", "j*[3]"]
    write_batches(world.fast, VIEW, [world.batch(ids, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])])
    write_batches(world.fast, OTHER, [world.batch(["j9"], [0, 0, 1])])
    found = scanned(world)
    assert set(found) == set(ids)
    table = world.fast.get_feature_view(VIEW)
    keys = [EntityKey(join_keys=["job_id"], entity_values=[Value(string_val=id)]) for id in ids]
    read = world.fast._get_provider().online_read(world.fast.config, table, keys)
    for id, (event, values) in zip(ids, read, strict=True):
        names = [feature.name for feature in table.features]
        stored = tuple(values[name].SerializeToString() for name in names)
        assert found[id] == (stored, int(event.timestamp() * 1e6))


@pytest.mark.parametrize("rows", [450, 1099, 1100])
def test_pages_of_any_size_show_every_row_once(world: SimpleNamespace, rows: int) -> None:
    ids = [f"j{n}" for n in range(1100)]
    vectors = np.arange(3300, dtype=np.float32).reshape(-1, 3)
    write_batches(world.fast, VIEW, [world.batch(ids, vectors)])
    found = scanned(world, rows=rows)
    assert len(found) == 1100
    assert all(values[0] and values[1] for values, _ in found.values())


def test_a_view_without_a_row_shows_no_page(world: SimpleNamespace) -> None:
    write_batches(world.fast, OTHER, [world.batch(["j1"], [1, 1, 1])])
    assert scanned(world) == {}


def test_the_id_is_read_back_out_of_every_key() -> None:
    ids = ["", "j1", "ö" * 300, "a\0b"]
    assert ids_of("job_id", entity_keys("job_id", ids)) == ids
    assert ids_of("job_id", entity_keys("member_id", ["j1"])) == [None]
    assert ids_of("job_id", [entity_keys("job_id", ["j1"])[0] + b"x", b""]) == [None, None]


def test_an_entity_that_is_cut_off_waits_for_the_next_page() -> None:
    cells = [(b"a", "v", b"", 0), (b"a", "s", b"", 0), (b"b", "v", b"", 0)]
    assert whole(cells, 3) == cells[:2]
    assert whole(cells, 4) == cells
