"""The figures of the compatibility experiment, on rows that fit on the page."""

import math

import pytest

from benchmarks.compat_lab import plan, tell
from star_features.errors import UsageError
from star_features.files import write_json


def row(swap=0.5, fitted=0.69, kept=0.7, retrained=0.72, noise=0.01, **more):
    """One ranker of one version; the jointly trained side reads as well as v1 did."""
    aucs = {
        "kept": kept, "never": 0.6, "swap": swap, "shuffled": 0.5, "fitted": fitted,
        "joint": 0.71, "joint, swap": 0.5, "retrained": retrained, "joint, retrained": 0.71,
    }  # fmt: skip
    return {
        "world": "demo", "seed": 0, "version": "v2", "simulated": True,
        "rankers": {
            "trees": {
                "auc": {way: {"all": auc, "new jobs": auc - 0.1} for way, auc in aucs.items()},
                "noise": {"swap": noise, "joint, swap": noise},
            }
        },
        "maps": {"fitted": {"job": {"cosine": 0.9}}, "joint": {"job": {"cosine": 0.98}}},
    } | more  # fmt: skip


def test_recovered_is_the_share_of_what_the_swap_loses_against_the_better_reference():
    (case,) = tell.cases([row()])
    assert case.recovered("fitted") == pytest.approx((0.69 - 0.5) / (0.72 - 0.5))
    assert case.recovered("joint") == pytest.approx(1.0), "against its own retrained ranker"
    (case,) = tell.cases([row(kept=0.75)])
    assert case.recovered("fitted") == pytest.approx((0.69 - 0.5) / (0.75 - 0.5))
    assert case.recovered("fitted", of=0.69) == pytest.approx(1.0)


def test_a_ranker_that_no_swap_costs_more_than_chance_is_named_and_left_out():
    rows = [row(), row(swap=0.71, seed=1)]
    assert [case.felt("fitted") for case in tell.cases(rows)] == [True, False]
    assert tell.left_out(rows) == ["trees: demo 1 v2"]
    claims = tell.claims_of(rows, [])
    assert claims["rankers that feel a raw swap, fitted"].value == 1
    assert claims["recovered, fitted"].value == pytest.approx((0.69 - 0.5) / (0.72 - 0.5))


def test_a_loss_is_told_as_a_share_of_what_is_above_chance():
    (case,) = tell.cases([row()])
    assert case.share("fitted") == pytest.approx(100 * (0.69 - 0.72) / 0.22)
    assert case.share("retrained") == 0


def test_a_target_that_is_missed_says_so():
    claims = tell.claims_of([row(fitted=0.6)], [])
    assert claims["recovered, fitted"].met is False
    assert claims["fitted over kept"].met is False
    assert claims["joint over kept"].met is True
    assert claims["cost of joint training to the new model"].value == pytest.approx(
        100 * (1 - 0.71 / 0.72)
    )
    assert claims["cost of joint training to the new model"].met is False
    assert claims["fitted over never, new jobs"].value == pytest.approx(0.0)


def test_direct_and_chained_are_compared_at_each_distance():
    near = {"direct": {"job": 0.9, "member": 0.8}, "chained": {"job": 0.7, "member": 0.8}}
    rows = [near | {"distance": 2}]
    rows.append({"distance": 3, "direct": {"job": 0.6}, "chained": {"job": 0.65}})
    claims = tell.claims_of([row()], rows)
    assert claims["direct over chained at distance 2"].value == pytest.approx(0.1)
    assert claims["direct over chained at distance 3"].met is False


def test_the_dial_begins_at_a_map_fitted_afterwards_and_costs_are_against_the_plain_model():
    turned = row(weight=4.0, maps={"job": {"cosine": 0.97}})
    afterwards, four = tell.points_of_dial([turned], [row()])
    assert (afterwards["weight"], afterwards["cost"]) == (0.0, 0.0)
    assert afterwards["cosine"] == 0.9
    assert four["cost"] == pytest.approx(100 * (1 - 0.71 / 0.72))
    assert four["recovered"] == pytest.approx(1.0)


def test_rows_are_told_apart_by_their_names(tmp_path):
    for name in ("demo-0-v2", "demo-0-dial-4", "demo-0-distances", "applications-12-v5"):
        kind = "distances" in name
        write_json(tmp_path / "rows" / f"{name}.json", [{"of": name}] if kind else {"of": name})
    found = {k: [r["of"] for r in tell.rows_of(tmp_path, k)] for k in ("versions", "dial")}
    assert found == {"versions": ["applications-12-v5", "demo-0-v2"], "dial": ["demo-0-dial-4"]}
    assert tell.rows_of(tmp_path, "distances") == [{"of": "demo-0-distances"}]


def test_a_folder_holds_figures_of_one_plan_only(tmp_path):
    plan.settle(tmp_path, plan.Plan())
    plan.settle(tmp_path, plan.Plan(seeds=(5,)))
    with pytest.raises(UsageError, match="members differ"):
        plan.settle(tmp_path, plan.Plan(members=7))


def test_an_empty_slice_counts_for_nothing():
    bare = row()
    for ways in bare["rankers"].values():
        for aucs in ways["auc"].values():
            del aucs["new jobs"]
    assert "fitted over never, new jobs" not in tell.claims_of([bare], [])
    assert math.isnan(tell.cases([bare])[0].auc("never", "new jobs"))
