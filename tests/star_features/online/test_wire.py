"""Every byte we make is the byte Feast makes, and every byte Feast makes we can read."""

import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from star_features.errors import DataError, StoreError
from star_features.online import wire

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))


@given(TEXT)
def test_an_entity_key_is_feasts(key: str) -> None:
    proto = EntityKey(join_keys=["job_id"], entity_values=[Value(string_val=key)])
    assert wire.entity_keys("job_id", [key]) == [serialize_entity_key(proto, 3)]


@given(TEXT)
def test_a_string_is_feasts_and_comes_back(text: str) -> None:
    (stored,) = wire.string_values([text])
    assert stored == Value(string_val=text).SerializeToString()
    assert wire.string_of(stored) == text


def test_a_null_is_feasts_null() -> None:
    assert wire.string_values([None]) == [Value().SerializeToString()]
    assert wire.string_of(b"") is None


@pytest.mark.parametrize("width", [1, 3, 31, 32, 200, 4096])
def test_vectors_are_feasts_and_come_back(width: int) -> None:
    vectors_ND = np.random.default_rng(0).standard_normal((3, width)).astype(np.float32)
    stored = wire.vector_values(vectors_ND)
    for row, value in zip(vectors_ND, stored, strict=True):
        assert value == Value(float_list_val=FloatList(val=row)).SerializeToString()
    assert {wire.width_of(value) for value in stored} == {width}
    out_ND = np.full((4, width), 9, dtype=np.float32)
    wire.decode_vectors([stored[2], None, stored[0], b""], out_ND)
    assert np.array_equal(out_ND, [vectors_ND[2], np.zeros(width), vectors_ND[0], np.zeros(width)])


def test_a_column_of_a_wider_matrix_is_written_row_by_row() -> None:
    wide = np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2]
    out_ND = np.empty((2, 3), dtype=np.float32)
    wire.decode_vectors(wire.vector_values(wide), out_ND)
    assert np.array_equal(out_ND, [[0, 2, 4], [6, 8, 10]])


def test_a_vector_of_another_width_is_refused() -> None:
    stored = wire.vector_values(np.ones((1, 4), dtype=np.float32))
    with pytest.raises(StoreError, match="4 numbers where the view promises 3"):
        wire.decode_vectors(stored, np.empty((1, 3), dtype=np.float32))


def test_a_string_is_no_vector() -> None:
    with pytest.raises(StoreError, match="no list of floats"):
        wire.decode_vectors(wire.string_values(["a"]), np.empty((1, 3), dtype=np.float32))


@given(MOMENTS, st.integers(-(2**62), 2**62))
def test_a_timestamp_is_protobufs_with_created_unseen(moment: datetime, created_us: int) -> None:
    aware = moment.replace(tzinfo=UTC)
    event_us = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    stored = wire.timestamp(event_us, created_us)
    assert Timestamp.FromString(stored).ToDatetime(UTC) == aware
    assert struct.unpack("<q", stored[-8:]) == (created_us,)
    assert wire.event_times([None, stored]).tolist() == [wire.NEVER, event_us]


@given(MOMENTS)
def test_a_timestamp_that_feast_wrote_can_be_read(moment: datetime) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(moment.replace(tzinfo=UTC))
    stored = stamp.SerializeToString()
    # Feast tells an entity without a row by its missing time; 1970-01-01 itself has no bytes.
    assert wire.event_times([stored, None])[0] == (stamp.ToMicroseconds() if stored else wire.NEVER)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_named_by_its_row(bad: float) -> None:
    with pytest.raises(DataError, match="1 vectors hold NaN or infinity, the first in row 1"):
        wire.require_finite(np.asarray([[1, 2], [bad, 1]], dtype=np.float32), "job_graph_v1")
