"""Small, odd and changing worlds: what a run does when there is little to learn, or other input."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import apply, encode, graph, ingest, materialize, rank, roles
from pipelines.receipts import Stage, find_receipt
from star_features.errors import UsageError
from star_features.store.feast_store import open_store
from star_features.store.history import History
from star_features.tables.canonical import Tables

START = pd.Timestamp("2026-01-02", tz="UTC")


def _table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows)


@pytest.fixture
def tiny(tmp_path) -> Callable[..., Path]:
    """A data set in canonical names: some members, some jobs, some interactions."""

    def make(members: int, jobs: int, interactions: list[dict]) -> Path:
        folder = tmp_path / "tiny"
        folder.mkdir()
        when = pd.Timestamp("2026-01-01", tz="UTC")
        people = [
            {"member_id": f"m{i}", "text": f"welder {i}", "updated_at": when}
            for i in range(members)
        ]
        posts = [
            {"job_id": f"j{i}", "text": f"welding {i}", "updated_at": when} for i in range(jobs)
        ]
        schema = pa.schema(
            [("member_id", pa.string()), ("job_id", pa.string()), ("kind", pa.string()),
             ("at", pa.timestamp("us", "UTC"))]
        )  # fmt: skip
        pq.write_table(_table(people), folder / "members.parquet")
        pq.write_table(_table(posts), folder / "jobs.parquet")
        pq.write_table(pa.Table.from_pylist(interactions, schema), folder / "interactions.parquet")
        return folder

    return make


def test_without_interactions_text_is_served_and_the_graph_says_why_not(make_home, tiny) -> None:
    home = make_home("silent")
    ingest.stage(home, tiny(3, 2, [])).run(home)
    encode.stage(home).run(home)
    facts = graph.stage(home).run(home).facts
    assert "interactions" in facts["not_trained"]
    apply.stage(home).run(home)
    materialize.stage(home, home.towers()).run(home)
    answer = rank.read_online(
        open_store(home.repo, home.path), "ranker_member", "member_id", ["m0"]
    )
    assert len(answer["member_text__vector"][0]) == 384
    assert answer["member_star__vector"] == [None]


def test_a_world_of_one_job_gives_defined_vectors(make_home, tiny) -> None:
    rows = [
        {"member_id": f"m{i}", "job_id": "j0", "kind": "apply", "at": START + pd.Timedelta(hours=i)}
        for i in range(60)
    ]
    home = make_home("one")
    ingest.stage(home, tiny(60, 1, rows)).run(home)
    encode.stage(home).run(home)
    graph.stage(home).run(home)
    vectors = History.of_vectors(home.history, "job_graph_v1").latest()
    assert vectors.ids.tolist() == ["j0"]
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors_ND, axis=1), 1, atol=1e-5)


def clicks(count: int, jobs: int) -> list[dict]:
    """Untimed-looking but timed: member i took job i modulo jobs, an hour after the one before."""
    return [
        {
            "member_id": f"m{i % 20}",
            "job_id": f"j{(i * 7) % jobs}",
            "kind": "apply",
            "at": START + pd.Timedelta(hours=i),
        }
        for i in range(count)
    ]


def test_tables_without_categories_or_labels_run_to_a_ranker(make_home, run, tiny) -> None:
    home = make_home("plain")
    facts = run(home, tiny(20, 9, clicks(120, 9)))[-1].facts
    assert list(facts["auc"]) == ["+ text", "+ graph", "+ text + graph"]
    assert facts["drawn_negatives"] > 0


def test_without_interactions_the_whole_run_ends_well_and_says_why(make_home, run, tiny) -> None:
    last = run(make_home("nothing"), tiny(3, 2, []))[-1]
    assert "interactions" in last.facts["not_trained"]


def test_one_interaction_is_too_few_and_no_crash(make_home, run, tiny) -> None:
    last = run(make_home("lonely"), tiny(3, 2, clicks(1, 2)))[-1]
    assert last.facts["not_trained"]


def test_drawn_negatives_are_jobs_that_were_there_and_never_met(make_home, tmp_path) -> None:
    folder = tmp_path / "growing"
    folder.mkdir()
    days = [START + pd.Timedelta(days=i) for i in range(30)]
    jobs = pd.DataFrame({"job_id": [f"j{i}" for i in range(30)], "text": "x y", "updated_at": days})
    members = pd.DataFrame({"member_id": ["m0", "m1"], "text": "a b", "updated_at": START})
    taken = pd.DataFrame(
        {"member_id": ["m0", "m1"] * 14, "job_id": [f"j{i}" for i in range(28)], "kind": "apply"}
    )
    taken["at"] = [days[i] + pd.Timedelta(hours=1) for i in range(28)]
    for name, frame in (("jobs", jobs), ("members", members), ("interactions", taken)):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    home = make_home("growing")
    ingest.stage(home, folder).run(home)
    tables = Tables(home.tables)
    frame = roles.label_frame(tables.interactions(), "ranker", tables)
    drawn = frame[frame["sampled"]]
    assert len(drawn) > 60
    since = dict(zip(jobs["job_id"], jobs["updated_at"], strict=True))
    assert all(since[row.job_id] <= row.event_timestamp for row in drawn.itertuples())
    met = set(zip(taken["member_id"], taken["job_id"], strict=True))
    assert met.isdisjoint(zip(drawn["member_id"], drawn["job_id"], strict=True))


def test_a_stage_killed_in_its_second_run_runs_again(make_home) -> None:
    home = make_home("second")
    made = home.path / "made"

    def work() -> dict:
        made.parent.mkdir(exist_ok=True, parents=True)
        made.write_text("done")
        return {}

    def dies() -> dict:
        made.write_text("half")
        raise KeyboardInterrupt

    assert not Stage("s", {"n": 1}, [], [made], work).run(home).skipped
    with pytest.raises(KeyboardInterrupt):
        Stage("s", {"n": 2}, [], [made], dies).run(home)
    assert find_receipt(home, "s") is None
    assert not Stage("s", {"n": 1}, [], [made], work).run(home).skipped
    assert made.read_text() == "done"


def test_an_edit_in_a_subfolder_or_a_new_column_is_taken_in_and_served(make_home, tiny) -> None:
    home, source = make_home("edited"), tiny(3, 2, [])
    (source / "members").mkdir()
    (source / "members.parquet").rename(source / "members" / "part-0.parquet")
    ingest.stage(home, source).run(home)
    encode.stage(home).run(home)
    graph.stage(home).run(home)
    apply.stage(home).run(home)
    materialize.stage(home, home.towers()).run(home)
    people = pd.read_parquet(source / "members" / "part-0.parquet").assign(zone=["n", "s", "n"])
    people.to_parquet(source / "members" / "part-0.parquet", index=False)
    for build in (
        lambda: ingest.stage(home, source),
        lambda: encode.stage(home),
        lambda: graph.stage(home),
        lambda: apply.stage(home),
        lambda: materialize.stage(home, home.towers()),
    ):
        assert not build().run(home).skipped
    answer = rank.read_online(
        open_store(home.repo, home.path), "ranker_member", "member_id", ["m1"]
    )
    assert answer["member_attributes__zone"] == ["s"]


def test_an_online_store_that_is_gone_is_written_again(make_home, tiny) -> None:
    home, source = make_home("lost"), tiny(3, 2, [])
    ingest.stage(home, source).run(home)
    encode.stage(home).run(home)
    graph.stage(home).run(home)
    apply.stage(home).run(home)
    materialize.stage(home, home.towers()).run(home)
    assert materialize.stage(home, home.towers()).run(home).skipped
    for part in home.path.glob("online.db*"):
        part.unlink()
    assert not apply.stage(home).run(home).skipped
    assert not materialize.stage(home, home.towers()).run(home).skipped


def test_labels_that_a_model_trained_on_may_not_evaluate_it(make_home, tiny) -> None:
    home, source = make_home("shifted"), tiny(20, 9, clicks(200, 9))
    ingest.stage(home, source).run(home)
    encode.stage(home).run(home)
    graph.stage(home).run(home)
    rows = pq.read_table(source / "interactions.parquet")
    pq.write_table(rows.slice(0, 120), source / "interactions.parquet")  # the later rows are gone
    ingest.stage(home, source).run(home)
    encode.stage(home).run(home)
    with pytest.raises(UsageError, match="--retrain"):
        graph.stage(home).run(home)
    assert graph.stage(home, retrain=True).run(home, force=True).facts["training"]["taken"] > 0


def test_a_version_that_is_not_in_the_catalogue_is_named_with_the_known_ones(make_home) -> None:
    with pytest.raises(UsageError, match="known: v1"):
        graph.stage(make_home("v9"), "v9")
