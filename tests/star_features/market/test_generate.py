"""A whole small world: counts, times, labels, what is hidden and what is labelled."""

import json
import tomllib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from star_features.market.rows import FUNNEL, NOT_TAKEN

TABLES = ("members", "jobs", "interactions", "truth/affinity", "truth/members", "truth/jobs")
WINDOW_ENDS = pd.Timestamp("2026-01-11", tz="UTC")


def test_every_table_holds_what_was_ordered(world):
    assert (len(world.table("members")), len(world.table("jobs"))) == (1000, 500)
    rows = world.table("interactions")
    assert len(rows) == world.receipt.interactions == pytest.approx(30_000, rel=0.15)
    assert rows["label"].sum() == world.receipt.taken == pytest.approx(0.36 * len(rows), rel=0.2)


def test_the_columns_are_exactly_these_and_no_latent_is_among_them(world):
    columns = {name: pq.read_schema(world.folder / f"{name}.parquet") for name in TABLES[:3]}
    assert columns["members"].names == [
        *("member_id", "text", "updated_at", "seniority", "place", "field", "skills")
    ]
    assert columns["jobs"].names == [
        *("job_id", "text", "updated_at", "company_id", "seniority", "place", "category", "skills")
    ]
    assert columns["interactions"].names == ["member_id", "job_id", "kind", "at", "label"]
    for name, column in (("members", "updated_at"), ("jobs", "updated_at"), ("interactions", "at")):
        assert str(columns[name].field(column).type) == "timestamp[us, tz=UTC]"


def test_everything_says_that_it_is_simulated(world):
    labels = [pq.read_schema(world.folder / f"{name}.parquet").metadata for name in TABLES[:2]]
    labels += [pq.read_metadata(world.folder / f"{name}.parquet").metadata for name in TABLES[2:]]
    assert all(label[b"simulated"] == b"true" for label in labels)
    assert tomllib.loads((world.folder / "dataset.toml").read_text())["simulated"] is True
    assert json.loads((world.folder / "truth/settings.json").read_text())["simulated"] == "true"
    assert world.receipt.simulated


def test_ids_are_unique_and_every_interaction_names_a_known_pair(world):
    members, jobs, rows = (world.table(name) for name in TABLES[:3])
    assert members["member_id"].is_unique
    assert jobs["job_id"].is_unique
    assert rows["member_id"].isin(members["member_id"]).all()
    assert rows["job_id"].isin(jobs["job_id"]).all()
    assert rows["member_id"].nunique() > 0.95 * len(members)


def test_interactions_are_in_the_window_in_order_and_after_both_sides_exist(world):
    rows = world.table("interactions")
    rows = rows.merge(world.table("members")[["member_id", "updated_at"]], on="member_id")
    rows = rows.merge(world.table("jobs")[["job_id", "updated_at"]], on="job_id")
    rows = rows.merge(world.table("truth/jobs")[["job_id", "closed_at"]], on="job_id")
    assert world.table("interactions")["at"].is_monotonic_increasing
    assert rows["at"].between(WINDOW_ENDS - pd.Timedelta(days=180), WINDOW_ENDS, "left").all()
    assert (rows["updated_at_x"] < rows["at"]).all()
    assert (rows["updated_at_y"] <= rows["at"]).all()
    assert (rows["at"] <= rows["closed_at"]).all()


def test_half_of_the_members_are_there_when_the_window_opens(world):
    joined = world.table("members")["updated_at"]
    assert (joined <= WINDOW_ENDS - pd.Timedelta(days=180)).mean() == pytest.approx(0.54, abs=0.06)


def test_taken_rows_have_a_kind_of_the_funnel_and_deeper_kinds_are_rarer(world):
    rows = world.table("interactions")
    assert set(rows.loc[rows["label"] == 0, "kind"]) == {NOT_TAKEN}
    assert set(rows.loc[rows["label"] == 1, "kind"]) == set(FUNNEL)
    counts = rows["kind"].value_counts()
    assert [counts[kind] for kind in FUNNEL] == sorted(counts[list(FUNNEL)], reverse=True)


def test_better_suited_jobs_go_deeper_down_the_funnel(world):
    rows = world.table("interactions").assign(p=world.table("truth/affinity")["probability"])
    depth = rows.groupby("kind")["p"].mean()
    assert [depth[kind] for kind in FUNNEL] == sorted(depth[list(FUNNEL)])


def test_a_pair_may_meet_twice_and_then_goes_deeper(world):
    rows = world.table("interactions")
    again = rows[rows.duplicated(["member_id", "job_id"], keep=False)]
    assert len(again) > 0.05 * len(rows)
    assert again.loc[again["label"] == 1, "kind"].ne("view").mean() > (
        rows.loc[rows["label"] == 1, "kind"].ne("view").mean()
    )


def test_the_truth_stands_row_by_row_beside_the_interactions_and_is_a_probability(world):
    rows, truth = world.table("interactions"), world.table("truth/affinity")
    pd.testing.assert_frame_equal(
        rows[["member_id", "job_id", "at"]], truth[["member_id", "job_id", "at"]]
    )
    bins = pd.cut(truth["probability"], np.linspace(0, 1, 6))
    told, happened = truth.groupby(bins, observed=True)["probability"].mean(), None
    happened = rows.groupby(bins, observed=True)["label"].mean()
    assert np.abs(told - happened).max() < 0.05


def test_the_true_probability_orders_rows_better_than_anything_simple(world):
    rows, truth = world.table("interactions"), world.table("truth/affinity")
    attainable = roc_auc_score(rows["label"], truth["probability"])
    popularity = rows.groupby("job_id")["label"].transform("mean")  # has even seen the labels
    assert 0.8 < attainable < 0.95
    assert attainable > roc_auc_score(rows["label"], popularity) + 0.1


def test_a_few_members_do_much_and_most_do_little(world):
    counts = world.table("interactions").groupby("member_id").size().sort_values()
    assert counts.median() < 0.8 * counts.mean()
    assert counts.tail(len(counts) // 10).sum() > 0.3 * counts.sum()


def test_cold_members_come_late_and_cold_jobs_open_last(world):
    members, jobs = world.table("truth/members"), world.table("truth/jobs")
    joined = world.table("members")["updated_at"]
    opened = world.table("jobs")["updated_at"]
    assert members["cold"].mean() == pytest.approx(0.10, abs=0.03)
    assert jobs["cold"].mean() == pytest.approx(0.15, abs=0.01)
    assert joined[members["cold"]].min() > WINDOW_ENDS - pd.Timedelta(days=22)
    assert opened[jobs["cold"]].min() > opened[~jobs["cold"]].max()


def test_the_last_fifth_of_time_has_rows_of_cold_members_and_cold_jobs(world):
    rows = world.table("interactions")
    late = rows[rows["at"] > WINDOW_ENDS - pd.Timedelta(days=36)]
    for entity in ("member", "job"):
        latent = world.table(f"truth/{entity}s")
        cold = late[f"{entity}_id"].isin(latent.loc[latent["cold"], f"{entity}_id"])
        assert cold.sum() > 200


def test_no_text_is_empty_and_skill_lists_are_incomplete(world):
    for entity in ("member", "job"):
        shown, true = world.table(f"{entity}s"), world.table(f"truth/{entity}s")
        assert shown["text"].str.len().min() > 5
        missing = [set(t) - set(s) for s, t in zip(shown["skills"], true["skills"], strict=True)]
        wrong = [set(s) - set(t) for s, t in zip(shown["skills"], true["skills"], strict=True)]
        assert np.mean([len(names) > 0 for names in missing]) > 0.8
        assert 0.1 < np.mean([len(names) > 0 for names in wrong]) < 0.4
