"""Sizes and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from star_features.market.settings import MarketSettings, jobs_for


@pytest.mark.parametrize(
    ("members", "jobs"), [(1, 1), (1000, 500), (10_000, 5000), (100_000, 20_000), (10**6, 200_000)]
)
def test_small_markets_have_a_job_for_two_members_and_large_ones_for_five(members, jobs):
    assert jobs_for(members) == max(jobs, 1)


@given(st.integers(1, 10**6), st.integers(0, 10**5))
def test_more_members_never_mean_fewer_jobs(members, more):
    assert jobs_for(members) <= jobs_for(members + more)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="member_count"):
        MarketSettings(member_count=5)


def test_a_given_number_of_jobs_wins_over_the_rule():
    assert MarketSettings(members=1000, jobs=7).job_count == 7
