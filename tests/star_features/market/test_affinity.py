"""The mathematics of taking a job, without a text in sight."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_features.market import affinity, jobs, reading
from star_features.market.affinity import WEIGHTS, calibrate, place_match, shared_skills, taste_at
from star_features.market.exposure import Shelf
from star_features.market.members import TASTE_STEP
from star_features.market.settings import MarketSettings
from star_features.market.window import DAY, start_of

CITY_NAMES = [city for city, _ in reading.CITIES]


@given(st.floats(0.05, 0.95), st.integers(0, 1000), st.floats(0.1, 100))
def test_any_market_takes_the_share_it_was_told_to(share, seed, width):
    parts_RC = np.random.default_rng(seed).normal(3, width, (200, len(WEIGHTS)))
    scale = calibrate(MarketSettings(taken_share=share), parts_RC)
    assert scale.probability(parts_RC).mean() == pytest.approx(share, abs=1e-3)


def test_each_part_carries_its_weight_whatever_unit_it_came_in():
    parts_RC = np.random.default_rng(0).normal(size=(500, len(WEIGHTS)))
    units_C = 10.0 ** np.arange(len(WEIGHTS))
    plain, scaled = (calibrate(MarketSettings(), parts) for parts in (parts_RC, parts_RC * units_C))
    assert np.allclose(plain.probability(parts_RC), scaled.probability(parts_RC * units_C))


def test_a_market_that_shows_nothing_still_has_a_scale():
    assert calibrate(MarketSettings(), np.zeros((0, len(WEIGHTS)))).bias == 0


def test_shared_skills_count_each_skill_once():
    member_RS = np.array([[1, 2, 3], [1, 2, 3]])
    job_RS = np.array([[3, 1, 9, 8, 2, 7], [6, 7, 8, 9, 10, 11]])
    assert shared_skills(member_RS, job_RS).tolist() == [np.sqrt(3), 0]


def test_a_taste_moves_on_a_straight_line_between_two_points():
    settings = MarketSettings()
    members = SimpleNamespace(taste_MQT=np.array([[[0.0, 1.0], [4.0, 1.0], [8.0, -1.0]]]))
    at_R = start_of(settings) + TASTE_STEP * np.array([0, 0.25, 1, 1.5, 2])
    seen = SimpleNamespace(at_R=at_R.astype(np.int64), member_R=np.zeros(5, int))
    expected = [[0, 1], [1, 1], [4, 1], [6, 0], [8, -1]]
    assert np.allclose(taste_at(settings, members, seen), expected)


def suits(member_city: str, wants_remote: bool, location: str) -> float:
    """How well one location suits one member."""
    city = CITY_NAMES.index(member_city)
    place = jobs.PLACE_VALUES.index(reading.CITIES[city][1])
    members = SimpleNamespace(
        city_M=np.array([city]), place_M=np.array([place]), remote_M=np.array([wants_remote])
    )
    job = SimpleNamespace(
        city_JC=np.array([jobs.first_cities(location)]),
        place_J=np.array([jobs.PLACE_VALUES.index(reading.place_column(location))]),
        remote_J=np.array([reading.is_remote(location)]),
    )
    return float(place_match(members, job, np.array([0]), np.array([0]))[0])


def test_home_beats_the_region_beats_the_continent_beats_elsewhere():
    locations = ("Berlin, Germany", "Paris, France", "Warsaw, Poland", "Pune, India")
    values = [suits("Berlin", False, location) for location in locations]
    assert values == sorted(set(values), reverse=True)


def test_who_wants_remote_prefers_it_even_to_home_and_others_do_not():
    assert suits("Berlin", True, "Remote - US") > suits("Berlin", True, "Berlin, Germany")
    assert suits("Berlin", False, "Remote - US") < suits("Berlin", False, "Berlin, Germany")


def test_moving_on_is_no_likeness():
    turn_KK = affinity.transition(MarketSettings(seed=1), 48)
    assert np.allclose(turn_KK[:12, :12] @ turn_KK[:12, :12].T, np.eye(12), atol=1e-5)
    assert not turn_KK[12:].any()
    assert abs(np.trace(turn_KK)) < 6


@given(st.integers(0, 1000))
def test_the_shelf_only_ever_hands_out_jobs_that_are_open_all_day(seed):
    settings, draw = MarketSettings(days=30), np.random.default_rng(seed)
    opened_J = start_of(settings) + (draw.uniform(-10, 25, 20) * DAY).astype(np.int64)
    stock = SimpleNamespace(
        opened_J=opened_J,
        closed_J=opened_J + (draw.uniform(1, 15, 20) * DAY).astype(np.int64),
        popularity_J=jobs.zipf(20, draw),
    )
    shelf = Shelf.of(settings, stock)
    day_R = draw.integers(30, size=300)
    day_R = day_R[shelf.is_stocked(day_R)]
    for job_R in (shelf.any_open(day_R, draw), shelf.popular_open(day_R, draw)):
        assert (stock.opened_J[job_R] <= start_of(settings) + day_R * DAY).all()
        assert (stock.closed_J[job_R] >= start_of(settings) + (day_R + 1) * DAY).all()


def test_popular_jobs_are_handed_out_as_often_as_they_are_popular():
    settings, draw = MarketSettings(days=30), np.random.default_rng(0)
    begin = np.full(4, start_of(settings))
    popularity_J = np.array([0.1, 0.2, 0.3, 0.4])
    stock = SimpleNamespace(opened_J=begin, closed_J=begin + 40 * DAY, popularity_J=popularity_J)
    shown = Shelf.of(settings, stock).popular_open(np.full(20_000, 3), draw)
    assert np.allclose(np.bincount(shown) / len(shown), popularity_J, atol=0.02)
