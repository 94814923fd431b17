"""One vector at a time says what a whole graph with that one row changed would say."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import DataError
from star_features.graph.densify import densified
from star_features.graph.infer import infer
from star_features.graph.live import Fresh, LiveGraph, Met
from star_features.graph.settings import Densify
from star_features.spaces import VectorTable

CLOSE = dict(atol=2e-6, rtol=0)
CARRIED = {"member": ["skills"], "job": ["company", "skills"]}
DAY_US = 86_400_000_000
FIRST_US = 1_767_225_600_000_000  # 2026-01-01
TEXT = np.array([5, 4, 3, 2, 1, 0, 0, 1], dtype=np.float32)
NOW = np.datetime64("2026-01-20", "us")


def us(day):
    return FIRST_US + int(day) * DAY_US


def dated(one, on_days, days):
    """The world with `updated_at`: 12 members' days, then 9 jobs' days."""
    return replace(
        one,
        members=one.members.append_column("updated_at", on_days(days[:12])),
        jobs=one.jobs.append_column("updated_at", on_days(days[12:])),
    )


def as_fresh(one, entity, id, since_us, **more):
    """A row of the world as an event would tell it."""
    table = {"member": one.members, "job": one.jobs}[entity]
    row = next(row for row in table.to_pylist() if row[f"{entity}_id"] == id)
    attributes = {"skills": row["skills"] or []}
    if entity == "job":
        attributes["company"] = [row["company_id"]] if row["company_id"] else []
    categories = {"place": row["place"]} if row.get("place") else {}
    texts = one.text[entity]
    text_D = texts.vectors_ND[texts.ids.tolist().index(id)]
    return Fresh(entity, id, since_us, text_D, categories, attributes, **more)


def with_row(one, entity, row, text_D):
    """The world with this row, in place of the one of its id or after all others."""
    key = f"{entity}_id"
    table = {"member": one.members, "job": one.jobs}[entity]
    rows = [old for old in table.to_pylist() if old[key] != row[key]] + [row]
    texts = one.text[entity]
    others = np.flatnonzero(texts.ids != row[key])
    ids = np.append(texts.ids[others], row[key])
    vectors_ND = np.concatenate([texts.vectors_ND[others], text_D[None]])
    changed = pa.Table.from_pylist(rows, table.schema)
    return replace(
        one,
        **{f"{entity}s": changed},
        text=one.text | {entity: VectorTable(texts.space, ids, vectors_ND)},
    )


@pytest.fixture(scope="module")
def still(world, on_days, model_of, tiny):
    """A world all of whose content is old, a model of it, and its snapshot."""
    one = dated(world(), on_days, [0] * 21)
    graph = one.graph()
    model = model_of(graph, tiny)
    return one, model, LiveGraph(model, graph, NOW, CARRIED)


@pytest.mark.parametrize(("entity", "id"), [("member", "m3"), ("job", "j0"), ("job", "j4")])
def test_what_has_not_changed_has_the_vector_it_had(still, entity, id):
    one, model, live = still
    wanted = infer(model, one.graph(), NOW, entity, [id])[1]
    np.testing.assert_allclose(live.vectors([as_fresh(one, entity, id, us(0))]), wanted, **CLOSE)


NEW = {
    "member": {"member_id": "new", "place": "Rome", "skills": ["s1", "never seen"]},
    "job": {"job_id": "new", "company_id": "c9", "skills": ["s0", "all"]},
}


@pytest.mark.parametrize("entity", ["member", "job"])
def test_who_is_new_has_the_vector_of_a_graph_that_has_it(still, on_days, entity):
    """Its company and one of its skills are new too, and read as unknown."""
    one, model, live = still
    since = on_days([25])[0].as_py()
    later = with_row(one, entity, NEW[entity] | {"updated_at": since}, TEXT)
    wanted = infer(model, later.graph(), NOW, entity, ["new"], fresh=True)[1]
    got = live.vectors([as_fresh(later, entity, "new", us(25))])
    np.testing.assert_allclose(got, wanted, **CLOSE)
    assert not live.knows(entity, "new")


@settings(max_examples=15, deadline=None)
@given(
    days=st.lists(st.integers(0, 30), min_size=21, max_size=21),
    chosen=st.integers(0, 20),
    edges=st.booleans(),
)
def test_a_change_is_seen_as_a_whole_rebuilt_graph_would_see_it(
    world, on_days, model_of, tiny, days, chosen, edges
):
    """By a network of one hop; with two, a rebuilt graph no longer has the entity's old content."""
    entity, id = ("member", f"m{chosen}") if chosen < 12 else ("job", f"j{chosen - 12}")
    one = dated(world(), on_days, days)
    if edges:
        one = replace(one, edges=further_edges(on_days, [days[0], None, days[1], None]))
    model = model_of(one.graph(), tiny.model_copy(update={"layers": 1, "fan_outs": (4,)}))
    row = NEW[entity] | {f"{entity}_id": id, "updated_at": on_days([40])[0].as_py()}
    later = with_row(one, entity, row, TEXT)
    wanted = infer(model, later.graph(), NOW, entity, [id], fresh=True)[1]
    live = LiveGraph(model, one.graph(), NOW, CARRIED)
    np.testing.assert_allclose(live.vectors([as_fresh(later, entity, id, us(40))]), wanted, **CLOSE)


def further_edges(on_days, days):
    """Certificates of members and referrals between them, some at a time."""
    return pa.table(
        {
            "src_type": ["certificate", "certificate", "member", "member"],
            "src_id": ["x", "y", "m1", "m2"],
            "relation": ["proves", "proves", "refers", "refers"],
            "dst_type": ["member"] * 4,
            "dst_id": ["m0", "m3", "m3", "m0"],
            "at": pa.concat_arrays(
                [on_days([d]) if d is not None else pa.nulls(1, on_days([0]).type) for d in days]
            ),
        }
    )


def test_who_changes_after_being_unknown_is_seen_as_a_rebuilt_graph_would_see_it(
    world, on_days, model_of, tiny
):
    """Two hops: nobody had seen its content as of the snapshot, so none is lost by rebuilding."""
    one = dated(world(), on_days, [25] * 21)
    model = model_of(one.graph(), tiny)
    row = NEW["job"] | {"job_id": "j4", "updated_at": on_days([40])[0].as_py()}
    later = with_row(one, "job", row, TEXT)
    wanted = infer(model, later.graph(), NOW, "job", ["j4"], fresh=True)[1]
    got = LiveGraph(model, one.graph(), NOW, CARRIED).vectors(
        [as_fresh(later, "job", "j4", us(40))]
    )
    np.testing.assert_allclose(got, wanted, **CLOSE)


def test_an_interaction_told_late_is_read_by_its_ends(world, on_days, model_of, tiny):
    one = dated(world(), on_days, [0] * 21)
    model = model_of(one.graph(), tiny.model_copy(update={"layers": 1, "fan_outs": (4,)}))
    told = {"member_id": "m5", "job_id": "j2", "kind": "apply", "at": on_days([7])[0].as_py(),
            "weight": 1.0, "label": 1}  # fmt: skip
    rows = pa.concat_tables(
        [one.interactions, pa.Table.from_pylist([told], one.interactions.schema)]
    )
    later = replace(one, interactions=rows).graph()
    live = LiveGraph(model, one.graph(), NOW, CARRIED)
    for entity, id, other in [("member", "m5", "j2"), ("job", "j2", "m5")]:
        met = [Met(other, "apply", us(7))]
        got = live.vectors([as_fresh(one, entity, id, us(0), met=met)])
        np.testing.assert_allclose(got, infer(model, later, NOW, entity, [id])[1], **CLOSE)


def test_an_interaction_that_the_snapshot_holds_is_read_once(still):
    one, _, live = still
    rows = one.interactions.to_pylist()
    held = next(row for row in rows if row["label"] and row["at"].day < 20)
    at_us = us(held["at"].day - 1)
    told = Met(held["job_id"], held["kind"], at_us)
    again = as_fresh(one, "member", held["member_id"], us(0), met=[told, told])
    plain = as_fresh(one, "member", held["member_id"], us(0))
    np.testing.assert_allclose(live.vectors([again]), live.vectors([plain]), **CLOSE)
    other_time = as_fresh(one, "member", held["member_id"], us(0),
                          met=[replace(told, at_us=at_us + 1)])  # fmt: skip
    assert np.abs(live.vectors([other_time]) - live.vectors([plain])).max() > 1e-4


def test_an_interaction_of_a_kind_or_with_a_job_that_the_model_never_met_says_nothing(still):
    one, _, live = still
    met = [Met("j1", "never seen", us(1)), Met("unknown job", "view", us(1))]
    got = live.vectors([as_fresh(one, "member", "m1", us(0), met=met)])
    np.testing.assert_allclose(got, live.vectors([as_fresh(one, "member", "m1", us(0))]), **CLOSE)


def test_those_told_together_do_not_learn_of_each_other(still, on_days):
    one, _, live = still
    later = one
    for entity, row in NEW.items():
        later = with_row(later, entity, row | {"updated_at": on_days([25])[0].as_py()}, TEXT)
    told = [
        as_fresh(later, "job", "new", us(25), met=[Met("new", "view", us(26))]),
        as_fresh(later, "member", "m7", us(25)),
        as_fresh(later, "member", "new", us(25), met=[Met("new", "view", us(26))]),
        as_fresh(later, "job", "j3", us(25)),
    ]
    alone = np.concatenate([live.vectors([one]) for one in told])
    np.testing.assert_allclose(live.vectors(told), alone, **CLOSE)
    np.testing.assert_allclose(live.vectors(told[::-1]), alone[::-1], **CLOSE)
    assert live.vectors([]).shape == (0, 12)


def test_data_without_times_see_everything(world, model_of, tiny):
    one = world()
    settings = tiny.model_copy(update={"time": "none", "use_age": False, "use_ids": True})
    model = model_of(one.graph(), settings)
    live = LiveGraph(model, one.graph(), None, CARRIED)
    wanted = infer(model, one.graph(), None, "job", ["j5"])[1]
    np.testing.assert_allclose(live.vectors([as_fresh(one, "job", "j5", us(0))]), wanted, **CLOSE)


@pytest.mark.parametrize("below", [1, 3, 100])
def test_who_has_met_few_reads_those_near_by_text(world, on_days, model_of, tiny, below):
    """A new one, one that has met some, and whoever they read: as a rebuilt graph has it."""
    near = Densify(below=below, neighbours=4)
    days = [day % 15 for day in range(20)] + [25]
    one = dated(world(rows=30), on_days, days)
    model = model_of(densified(one.graph(), near), tiny.model_copy(update={"densify": near}))
    live = LiveGraph(model, densified(one.graph(), near), NOW, CARRIED)
    for id in ("m0", "m7"):
        since = us(days[int(id[1:])])
        wanted = infer(model, densified(one.graph(), near), NOW, "member", [id])[1]
        np.testing.assert_allclose(
            live.vectors([as_fresh(one, "member", id, since)]), wanted, **CLOSE
        )
    since = on_days([25])[0].as_py()
    later = with_row(one, "job", NEW["job"] | {"updated_at": since}, TEXT)
    rebuilt = densified(later.graph(), near)
    wanted = infer(model, rebuilt, NOW, "job", ["new"], fresh=True)[1]
    np.testing.assert_allclose(
        live.vectors([as_fresh(later, "job", "new", us(25))]), wanted, **CLOSE
    )


def test_a_text_vector_of_another_width_is_refused(still):
    one, _, live = still
    wrong = replace(as_fresh(one, "job", "j1", us(0)), text_D=np.ones(3, dtype=np.float32))
    with pytest.raises(DataError, match="Wanted 8 numbers"):
        live.vectors([wrong])
