"""Adaptive sampling: few neighbours first, more when validation stalls, all in the end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_features.graph.budget import budget_after, is_full, schedule, settings_at
from star_features.graph.settings import GraphSettings

WIDE = GraphSettings(
    fan_outs=(12, 4),
    fan_outs_of={"skills>job": (3, 1)},
    adaptive={"start": 2, "growth": 2.0, "tolerance": 0.1, "decay": 0.5},
)


def test_each_relation_begins_small_and_stops_at_its_own_fan_out():
    steps = [settings_at(WIDE, raises) for raises in range(5)]
    assert [step.fan_outs for step in steps] == [(2, 2), (4, 4), (8, 4), (12, 4), (12, 4)]
    assert [step.fan_out("skills>job", 0) for step in steps] == [2, 3, 3, 3, 3]
    assert [is_full(WIDE, raises) for raises in range(4)] == [False, False, False, True]


def test_a_pass_that_gains_less_than_the_tolerance_raises_and_the_tolerance_decays():
    gains = [0.5, 0.61, 0.70, 0.76, 0.77]  # +.11 goes on, +.09 < .1 raises, +.06 > .05 goes on
    found = [budget_after(gains[:n], WIDE) for n in range(6)]
    assert [budget.raises for budget in found] == [0, 0, 0, 1, 1, 2]
    assert [budget.tolerance for budget in found] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]


def test_a_gain_is_counted_from_the_best_pass_and_not_from_the_last_one():
    assert budget_after([0.9, 0.2, 0.6], WIDE).raises == 2


def test_patience_counts_from_the_first_pass_that_reads_everything():
    flat = [0.5] * 8  # the first pass never stalls; three raises fill the budget
    assert budget_after(flat[:3], WIDE).full is False
    assert [budget_after(flat[:n], WIDE).full_since for n in (4, 6, 8)] == [4, 4, 4]
    assert budget_after(flat, GraphSettings()).full_since == 0


@given(st.lists(st.floats(0, 1), max_size=12))
def test_a_budget_never_falls_and_goes_on_from_any_prefix(values):
    found = [budget_after(values[:n], WIDE) for n in range(len(values) + 1)]
    for before, after in pairwise(found):
        assert after.raises - before.raises in (0, 1)
        assert after.tolerance <= before.tolerance
        assert after.full >= before.full


def test_without_adaptive_everything_is_read_at_once():
    plain = GraphSettings()
    assert settings_at(plain, 3) == plain
    assert budget_after([0.5, 0.5], plain).full


def test_the_schedule_says_what_each_relation_read_in_each_pass():
    told = schedule([0.0, 0.0, 1.0], WIDE)
    assert told == {"*": [(2, 2), (2, 2), (4, 4)], "skills>job": [(2, 1), (2, 1), (3, 1)]}


def test_a_fan_out_without_limit_has_no_steps_towards_it():
    with pytest.raises(ValueError, match="adaptive needs a number"):
        GraphSettings(fan_outs=(-1, 3), adaptive={})
