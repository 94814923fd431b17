"""What surrounds the join: names, files, refusals, settings, on-demand features."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from star_features.errors import DataError, StoreError, UsageError
from star_features.offline.fetch import fetch
from star_features.offline.picks import Picks, bench
from star_features.offline.plan import Lookup
from star_features.offline.sources import fields_of, prune
from star_features.store.history import TIME, History


def test_the_order_of_many_labels_is_kept(world: Any, row: Any, labels: Any) -> None:
    world.write([row(str(n), 1, 1, n, (float(n), 0.0)) for n in range(50)])
    count = 300_000  # several of DuckDB's row groups, so several threads
    number = np.arange(count) % 51
    asked = pd.DataFrame({"member_id": number.astype(str), "label": np.arange(count)})
    asked["event_timestamp"] = labels([("a", 2)])["event_timestamp"][0]
    joined = world.ask(asked, ["ever:n"]).to_arrow()
    assert np.array_equal(joined["label"].to_numpy(), np.arange(count))
    assert np.array_equal(joined["ever__n"].fill_null(50).to_numpy(), number)


def test_labels_may_be_a_select_over_files(
    world: Any, row: Any, labels: Any, tmp_path: Path
) -> None:
    world.write([row("a", 1, 1, 7)])
    labels([("a", 0), ("a", 1)]).to_parquet(tmp_path / "labels.parquet")
    select = f"SELECT * FROM '{tmp_path / 'labels.parquet'}' ORDER BY label DESC"
    joined = world.ask(select, ["ever:n"]).to_arrow()
    assert joined.select(["label", "ever__n"]).to_pylist() == [
        {"label": 1, "ever__n": 7},
        {"label": 0, "ever__n": None},
    ]


def test_labels_without_a_single_row_give_an_empty_table(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    joined = world.ask(labels([]), ["ever:vector"]).to_arrow()
    assert (joined.num_rows, joined.column_names[-1]) == (0, "ever__vector")


def test_columns_of_a_label_come_through_as_they_are(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    asked = labels([("a", 1), ("b", 1)]).assign(kind=pd.Categorical(["x", "y"]), t=[None, "é'\""])
    joined = world.ask(asked, ["ever:n"]).to_arrow().to_pylist()
    assert [(line["kind"], line["t"], line["ever__n"]) for line in joined] == [
        ("x", None, 7),
        ("y", "é'\"", None),
    ]


def test_a_label_without_entity_or_time_sees_nothing(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    asked = labels([("a", 1), ("a", 1), ("a", 1)])
    asked.loc[0, "member_id"] = None
    asked.loc[1, "event_timestamp"] = pd.NaT
    assert world.ask(asked, ["ever:n"]).to_arrow()["ever__n"].to_pylist() == [None, None, 7]


def test_one_view_under_two_aliases_and_two_keys(world: Any, row: Any, labels: Any) -> None:
    from feast import FeatureService

    world.write([row("a", 1, 1, 7), row("b", 1, 1, 8)])
    view = world.ours.get_feature_view("ever")
    both = FeatureService(
        name="both",
        features=[
            view[["n"]].with_name("me"),
            view[["n"]].with_name("you").with_join_key_map({"member_id": "friend_id"}),
        ],
    )
    world.ours.apply([both])
    asked = labels([("a", 1), ("b", 1)]).assign(friend_id=["b", "c"])
    joined = world.ask(asked, world.ours.get_feature_service("both")).to_arrow()
    assert joined["me__n"].to_pylist() == [7, 8]
    assert joined["you__n"].to_pylist() == [8, None]


def test_a_mapped_field_is_read_by_its_name_in_the_file(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    joined = world.ask(labels([("a", 1)]), ["mapped:renamed"]).to_arrow()
    assert joined["mapped__renamed"].to_pylist() == [7]


def test_a_column_that_older_parts_lack_is_null_in_them(
    world: Any, row: Any, labels: Any, stored: Any
) -> None:
    world.write()
    world.put("0.parquet", stored([row("a", 1, 1, 7)]).drop_columns(["n", "vector"]))
    world.put("1.parquet", stored([row("b", 1, 1, 8, (1.0, 2.0))]))
    joined = world.ask(labels([("a", 1), ("b", 1)]), ["ever:n", "ever:vector"]).to_arrow()
    assert joined["ever__n"].to_pylist() == [None, 8]
    assert joined["ever__vector"].to_pylist() == [None, [1.0, 2.0]]


def test_on_demand_features_are_computed_batch_by_batch(world: Any, row: Any, labels: Any) -> None:
    from feast import Field
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Int64

    @on_demand_feature_view(
        sources=[world.ours.get_feature_view("ever")],
        schema=[Field(name="twice", dtype=Int64)],
        mode="pandas",
    )
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": (inputs["n"] * 2).astype("Int64")})

    world.write([row("a", 1, 1, 7), row("b", 1, 1, 8)])
    world.ours.apply([doubled])
    job = world.ask(labels([("a", 1), ("b", 1), ("a", 2), ("b", 2)]), ["ever:n", "doubled:twice"])
    streamed = pa.Table.from_batches(job.to_arrow_batches(1))
    assert streamed["doubled__twice"].to_pylist() == [14, 16, 14, 16]
    assert streamed.to_pylist() == job.to_arrow().to_pylist()


def test_what_is_missing_is_named(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    asked = labels([("a", 1)])
    with pytest.raises(DataError, match="no column member_id"):
        world.ask(asked.drop(columns="member_id"), ["ever:n"])
    with pytest.raises(DataError, match="n would stand in the result twice"):
        world.ours.get_historical_features(asked.assign(n=1), ["ever:n"])
    with pytest.raises(DataError, match="one type each"):
        world.ask(labels([("a", 1), ("a", 1)]).assign(odd=[1, "x"]), ["ever:n"])
    with pytest.raises(DataError, match="DuckDB reads"):
        world.ask("SELECT FROM", ["ever:n"])
    with pytest.raises(UsageError, match="no labels"):
        world.ask(None, ["ever:n"])
    world.write()
    with pytest.raises(DataError, match="no Parquet file"):
        world.ask(asked, ["ever:n"])


def test_keys_of_another_type_are_an_error_of_ours(world: Any, row: Any, labels: Any) -> None:
    world.write([row("a", 1, 1, 7)])
    with pytest.raises(StoreError, match="join failed"):
        world.ask(labels([("a", 1)]).assign(member_id=[1]), ["ever:n"]).to_arrow()


def test_a_setting_that_does_not_exist_is_refused() -> None:
    from star_features.offline.store import StarOfflineStoreConfig

    with pytest.raises(ValidationError, match="memory_limt"):
        StarOfflineStoreConfig(memory_limt="1GB")


def test_too_little_memory_says_which_setting_to_raise(tmp_path: Path) -> None:
    def too_much() -> None:
        with bench("1MB", 1, tmp_path) as db:
            db.execute("SET temp_directory=''")
            db.execute("CREATE TABLE t AS SELECT random() FROM range(10_000_000)")

    with pytest.raises(StoreError, match="raise `memory_limit`"):
        too_much()


def test_a_view_that_hangs_on_no_entity_is_joined_on_time(
    world: Any, row: Any, labels: Any, stored: Any
) -> None:
    from feast import FeatureView, Field
    from feast.types import Int64

    source = world.ours.get_feature_view("ever").batch_source
    weather = FeatureView(
        name="weather", ttl=timedelta(0), schema=[Field(name="n", dtype=Int64)], source=source
    )
    world.write([row("a", 1, 1, 7), row("b", 3, 3, 8)])
    world.ours.apply([weather])
    joined = world.ask(labels([("x", 0), ("y", 2), ("z", 3)]), ["weather:n"]).to_arrow()
    assert joined["weather__n"].to_pylist() == [None, 7, 8]


def test_nothing_is_left_in_the_temporary_folder(
    world: Any, row: Any, labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.ours.config.offline_store, "temp_directory", tmp_path)
    world.write([row("a", 1, 1, 7)])
    job = world.ask(labels([("a", 1)] * 9), ["ever:vector"])
    stream = job.to_arrow_batches(2)
    next(stream)
    assert list(tmp_path.iterdir())
    stream.close()
    assert not list(tmp_path.iterdir())


def test_parts_of_later_months_are_not_even_opened(tmp_path: Path) -> None:
    history = History.of_vectors(tmp_path, "job_text_v1")
    months = [datetime(2024, month, 15, tzinfo=UTC) for month in (1, 2, 3)]
    rows = pa.table(
        {
            "job_id": ["a"] * 3,
            "vector": pa.array([[1.0]] * 3, pa.list_(pa.float32())),
            "space": ["s"] * 3,
            "input_hash": ["x", "y", "z"],
            "event_timestamp": pa.array(months, TIME),
            "created": pa.array(months, TIME),
        }
    )
    history.append(rows)
    files = sorted(tmp_path.rglob("*.parquet"))
    month_of = {file.parent.name for file in prune(files, months[1], months[1])}
    assert month_of == {"month=2024-02"}
    assert {file.parent.name for file in prune(files, None, months[1])} == {
        "month=1970-01",
        "month=2024-01",
        "month=2024-02",
    }


def test_a_month_folder_of_somebody_elses_layout_is_not_trusted() -> None:
    theirs = [Path("/lake/month=2024-03/data.parquet"), Path("/lake/month=03/part-empty.parquet")]
    assert prune(theirs, None, datetime(2024, 1, 1, tzinfo=UTC)) == theirs


def test_fields_are_looked_for_until_all_are_found(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        pq.write_table(pa.table({name: [1]}), tmp_path / f"{name}.parquet")
    files = sorted(tmp_path.iterdir())
    shutil.copy(files[0], tmp_path / "d.parquet")
    assert list(fields_of(files, ["a", "b"])) == ["a", "b"]
    assert list(fields_of(files, ["a", "nowhere"])) == ["a"]


@pytest.mark.parametrize("shared", [False, True])
def test_uneven_lists_in_a_part_named_as_ours_are_read_all_the_same(
    tmp_path: Path, shared: bool
) -> None:
    """Four numbers in two lists: the metadata alone would say two in each."""
    part = tmp_path / "month=2024-01" / f"part-{0:020x}.parquet"
    part.parent.mkdir()
    lists = pa.array([[1.0], [2.0, 3.0, 4.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"vector": lists}), part)
    picks = Picks(label_P=np.array([0, 2]), place_P=np.array([1, 0]), files=(part,))
    field = pq.read_schema(part).field("vector")
    lookup = Lookup("v", (part,), {}, "event_timestamp", None, None, {"v__vector": field})
    shelf = fetch(picks, lookup, labels=3, shared=tmp_path / "month=2024-01" if shared else None)
    assert shelf.columns(0, 3)["v__vector"].to_pylist() == [[2.0, 3.0, 4.0], None, [1.0]]
