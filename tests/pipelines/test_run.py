"""The whole main job, on the small CSV example of the README."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines import rank, score, training_set
from pipelines.home import Home
from pipelines.receipts import read_receipt
from star_features.errors import MissingStage, UsageError
from star_features.ranking.ranker import Ranker
from star_features.store.feast_store import open_store
from star_features.store.history import History
from star_features.tables.canonical import Tables

SMALL = Path(__file__).parents[2] / "examples" / "small_csv"


def test_every_stage_leaves_a_receipt_and_a_second_run_skips_them_all(small, run) -> None:
    assert [r.stage for r in run(small, SMALL) if not r.skipped] == []
    assert [read_receipt(small, name).stage for name in small.stages()[1:]] == small.stages()[1:]


def test_counts_in_are_counts_kept_plus_counts_quarantined(small) -> None:
    tables = read_receipt(small, "ingest").facts["tables"]
    assert {t: c["quarantined"] for t, c in tables.items()} == {
        "members": 3,
        "jobs": 1,
        "interactions": 5,
        "edges": 0,
    }
    assert all(c["rows_in"] == c["kept"] + c["quarantined"] for c in tables.values())
    assert Tables(small.tables).count("quarantine") == 9


@pytest.mark.parametrize("side", ["member", "job"])
def test_online_equals_offline_now_for_every_feature_of_every_service(small, side) -> None:
    store = open_store(small.repo, small.path)
    keys = Tables(small.tables).table(f"{side}s", [f"{side}_id"])[0].to_pylist()
    online = pd.DataFrame(rank.read_online(store, f"ranker_{side}", f"{side}_id", keys))
    rows = pd.DataFrame(
        {f"{side}_id": keys, "event_timestamp": pd.Timestamp("2100-01-01", tz="UTC")}
    )
    offline = store.get_historical_features(
        entity_df=rows,
        features=store.get_feature_service(f"ranker_{side}"),
        full_feature_names=True,
    ).to_df()
    offline = offline.set_index(f"{side}_id").loc[keys].reset_index()
    compared = [c for c in online if c != f"{side}_id"]
    assert len(compared) >= 4
    for column in compared:
        if column.endswith("__vector"):
            got, wanted = np.stack(online[column]), np.stack(offline[column])
            assert got.dtype.kind == "f"
            np.testing.assert_array_equal(got.astype(np.float32), wanted.astype(np.float32))
        else:
            assert online[column].tolist() == offline[column].tolist(), column


def test_a_label_never_sees_a_vector_from_after_itself(small) -> None:
    """Every vector of the training set is the newest one of its history before the label."""
    frame = pd.read_parquet(small.training_set)
    assert len(frame) > 50
    for side in ("member", "job"):
        history = History.of_vectors(small.history, f"{side}_graph_v1")
        rows = pq.read_table(history.folder, schema=history.schema).to_pandas()
        for label in frame.itertuples():
            key = getattr(label, f"{side}_id")
            past = rows[
                (rows[history.key] == key) & (rows.event_timestamp <= label.event_timestamp)
            ]
            got = getattr(label, f"{side}_star__vector")
            if past.empty:
                assert got is None
            else:
                newest = past.sort_values(["event_timestamp", "created"]).iloc[-1]
                np.testing.assert_array_equal(np.float32(got), newest.vector)


def test_graph_vectors_are_as_of_several_moments(small) -> None:
    known = History.of_vectors(small.history, "member_graph_v1").known()
    assert len(set(known["event_timestamp"].to_pylist())) >= 3


def test_an_unknown_member_scores_with_missing_features_and_is_counted(small, tmp_path) -> None:
    jobs = Tables(small.tables).jobs(["job_id"])[0].to_pylist()[:3]
    pairs = tmp_path / "pairs.csv"
    pd.DataFrame({"member_id": ["nobody"] * 3, "job_id": jobs}).to_csv(pairs, index=False)
    scored = score.run(small, pairs)
    assert scored.unknown == {"member": ["nobody"], "job": []}
    assert scored.frame["score"].between(0, 1).all()
    store = open_store(small.repo, small.path)
    answer = rank.read_online(store, "ranker_member", "member_id", ["nobody"])
    missing = Ranker.load(small.ranker).features({**answer, **_jobs(store, jobs)}).missing
    assert missing["member_text__vector"] == 1


def _jobs(store, jobs) -> dict:
    return rank.read_online(store, "ranker_job", "job_id", jobs)


def test_scores_follow_the_pairs_whatever_their_order(small, tmp_path) -> None:
    tables = Tables(small.tables)
    members = tables.members(["member_id"])[0].to_pylist()[:4]
    jobs = tables.jobs(["job_id"])[0].to_pylist()[:5]
    frame = pd.DataFrame([(m, j) for m in members for j in jobs], columns=["member_id", "job_id"])
    for name, pairs in (("a", frame), ("b", frame.sample(frac=1, random_state=1))):
        pairs.to_csv(tmp_path / f"{name}.csv", index=False)
    a, b = (score.run(small, tmp_path / f"{name}.csv").frame for name in "ab")
    assert a["score"].nunique() > 1
    merged = a.merge(b, on=["member_id", "job_id"])
    np.testing.assert_array_equal(merged["score_x"], merged["score_y"])


def test_the_saved_ranker_gives_the_figures_of_the_receipt(small) -> None:
    facts = read_receipt(small, "rank").facts
    frame = pd.read_parquet(small.training_set)
    test = frame[frame["role"] == "test"].reset_index(drop=True)
    from sklearn.metrics import roc_auc_score

    again = roc_auc_score(test["label"], Ranker.load(small.ranker).score(test))
    assert math.isclose(again, facts["auc"]["+ text + graph"]["all"], abs_tol=1e-9)
    assert Path(facts["figure"]).stat().st_size > 10_000


def test_a_home_refuses_another_data_set(small, run, tmp_path) -> None:
    shutil.copytree(SMALL, tmp_path / "other")
    with pytest.raises(UsageError, match="One home holds one data set"):
        run(small, tmp_path / "other")


def test_a_stage_without_its_input_names_the_command(make_home: Callable[[str], Home]) -> None:
    home = make_home("bare")
    with pytest.raises(MissingStage, match="Run this first: star apply"):
        training_set.stage(home, home.towers()).run(home)


def test_a_changed_text_is_the_only_one_encoded_again(make_home, tmp_path) -> None:
    from pipelines import encode, ingest

    home, source = make_home("changed"), tmp_path / "source"
    shutil.copytree(SMALL, source)
    ingest.stage(home, source).run(home)
    assert encode.stage(home).run(home).facts["member_text_v1"]["encoded"] == 40
    people = (source / "people.csv").read_text().splitlines()
    row = next(i for i, line in enumerate(people) if line.startswith("P016"))
    people[row] = people[row].replace("nursing", "gardening")
    (source / "people.csv").write_text("\n".join(people) + "\n")
    ingest.stage(home, source).run(home)
    again = encode.stage(home).run(home)
    assert again.facts["member_text_v1"]["encoded"] == 1
    assert again.facts["job_text_v1"]["encoded"] == 0
    history = History.of_vectors(home.history, "member_text_v1")
    assert history.count() == 41
    assert len(history.latest()) == 40


def test_a_killed_encode_goes_on_with_the_next_chunk(make_home, monkeypatch) -> None:
    from pipelines import encode, ingest

    home = make_home("killed")
    ingest.stage(home, SMALL).run(home)
    monkeypatch.setattr(encode, "CHUNK", 10)
    whole = encode._encode_chunk
    calls = []

    def dies_at_the_third(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*args)

    monkeypatch.setattr(encode, "_encode_chunk", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        encode.stage(home).run(home)
    monkeypatch.setattr(encode, "_encode_chunk", whole)
    facts = encode.stage(home).run(home).facts["member_text_v1"]
    assert (facts["encoded"], facts["rows"]) == (20, 40)


def test_a_home_refuses_another_simulated_world(make_home) -> None:
    from pipelines import market

    home = make_home("worlds")
    market.stage(home, 50, seed=0).run(home)
    assert market.stage(home, 50, seed=0).run(home).skipped
    with pytest.raises(UsageError, match="One home holds one data set"):
        market.stage(home, 50, seed=1)


def test_two_stages_never_work_in_one_home_at_once(make_home) -> None:
    from pipelines.receipts import Stage

    home = make_home("busy")
    inner = Stage("inner", {}, [], [], work=dict)
    outer = Stage("outer", {}, [], [], work=lambda: inner.run(home).facts)
    with pytest.raises(UsageError, match="another star is working"):
        outer.run(home)
    assert inner.run(home).facts == {}
