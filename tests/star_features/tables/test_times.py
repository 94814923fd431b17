"""Times come out of text in any usual spelling, as UTC."""

from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.tables.times import TIME, Times

CON = duckdb.connect()


def parse(*texts, timezone="UTC", written=None):
    parsed = Times(CON, timezone, written).parse(pa.chunked_array([list(texts)]))
    assert parsed.type == TIME
    return parsed.to_pylist()


def test_a_time_without_a_zone_is_read_in_the_named_zone_summer_and_winter():
    winter, summer = parse("2024-01-01 12:00", "2024-07-01 12:00", timezone="Europe/Berlin")
    assert winter == datetime(2024, 1, 1, 11, tzinfo=UTC)
    assert summer == datetime(2024, 7, 1, 10, tzinfo=UTC)


def test_a_time_with_a_zone_keeps_it():
    assert parse("2024-01-01T12:00:00+09:00", timezone="Europe/Berlin") == [
        datetime(2024, 1, 1, 3, tzinfo=UTC)
    ]


@pytest.mark.parametrize("text", ["", "soon", "2024-02-30", "31.12.2024", "infinity", "20240101"])
def test_what_is_no_time_is_null_and_spares_its_neighbours(text):
    bad, good = parse(text, "2024-01-01")
    assert bad is None
    assert good == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "text"),
    [("%d.%m.%Y %H:%M", "02.01.2024 03:04"), ("epoch_s", "1704164640"),
     ("epoch_ms", "1704164640000.0")],
)  # fmt: skip
def test_a_named_format_is_used(written, text):
    assert parse(text, "soon", written=written) == [datetime(2024, 1, 2, 3, 4, tzinfo=UTC), None]


zones = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=zones)


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, min_size=1, max_size=5))
def test_every_isoformat_is_read_back_to_the_microsecond(times):
    assert parse(*(time.isoformat() for time in times)) == times
