"""
Feast's stored bytes, made and read for whole columns at a time.

A stored value is a serialised `feast.types.Value`; a vector is its packed float32 behind a header
that depends on the width only, so N vectors are one matrix with N equal headers. A stored key is
Feast's entity key, version 3. `tests/star_features/online/test_wire.py` holds every function
against Feast's own.

Shapes: N rows, D width of a vector, H bytes of its header.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from star_features.errors import DataError, StoreError

NEVER = np.iinfo(np.int64).min
"""The event time, in microseconds, of an entity that has no row."""

NULL = b""
"""A stored value that says null; `None` stands for no stored value at all."""

_STRING_TYPE = 2  # feast.types.ValueType.STRING
STRING_TAG = b"\x12"  # field 2, length-delimited: Value.string_val
FLOATS_TAG = b"\x82\x01"  # field 16, length-delimited: Value.float_list_val
_PACKED_TAG = b"\x0a"  # field 1, length-delimited: FloatList.val, packed
_CREATED_TAG = 0x79  # field 15, fixed64: not Feast's, and skipped by every reader of a Timestamp

_LENGTHS = [struct.pack("<I", n) for n in range(256)]


def key_prefix(join_key: str) -> bytes:
    """What stands before the id in the entity key of one string join key."""
    name = join_key.encode()
    head = struct.pack("<III", 1, _STRING_TYPE, len(name))
    return head + name + struct.pack("<I", _STRING_TYPE)


def entity_keys(join_key: str, ids: Iterable[str]) -> list[bytes]:
    """Feast's entity key of every id."""
    prefix = key_prefix(join_key)
    encoded = [key.encode() for key in ids]
    return [prefix + _length(len(key)) + key for key in encoded]


def ids_of(join_key: str, keys: Iterable[bytes]) -> list[str | None]:
    """The id in every entity key; None of a key that is not one of this join key's."""
    prefix = key_prefix(join_key)
    start = len(prefix) + 4
    return [
        key[start:].decode(errors="replace")
        if key.startswith(prefix) and key[start - 4 : start] == _length(len(key) - start)
        else None
        for key in keys
    ]


def string_values(texts: Iterable[str | None]) -> list[bytes]:
    """The stored value of every text; null where it is None."""
    return [NULL if text is None else _string_value(text.encode()) for text in texts]


def string_of(value: bytes) -> str | None:
    """The text of a stored string, None of a stored null."""
    if not value:
        return None
    if value[:1] != STRING_TAG:
        raise StoreError(f"stored bytes {value[:12]!r}… are no string: was this feature a string?")
    length, start = _varint(value, 1)
    return value[start : start + length].decode()


def vector_header(width: int) -> bytes:
    """What stands before the packed numbers of a vector of this width."""
    packed = _PACKED_TAG + _as_varint(4 * width)
    return FLOATS_TAG + _as_varint(len(packed) + 4 * width) + packed


def vector_values(vectors_ND: NDArray[np.float32]) -> list[bytes]:
    """The stored value of every row."""
    header = vector_header(vectors_ND.shape[1])
    rows, row = len(vectors_ND), 4 * vectors_ND.shape[1]
    numbers = np.ascontiguousarray(vectors_ND, dtype="<f4").data.cast("B")
    return [header + numbers[at : at + row] for at in range(0, rows * row, row)]


def width_of(value: bytes) -> int:
    """How many numbers a stored vector has."""
    return _packed_numbers(value)[1] // 4


def packed_of(value: bytes) -> memoryview:
    """The packed float32 of a stored vector."""
    start, length = _packed_numbers(value)
    return memoryview(value)[start : start + length]


def decode_vectors(values: Sequence[bytes | None], out_ND: NDArray[np.float32]) -> None:
    """Copy stored vectors into the rows of a C-contiguous matrix; a missing one leaves zeros.

    Raises:
        StoreError: a stored vector has another width than the matrix.
    """
    row = 4 * out_ND.shape[1]
    if not row or not len(out_ND):
        return
    header = vector_header(out_ND.shape[1])
    skip, whole = len(header), len(header) + row
    target = out_ND.data.cast("B")
    for at, value in zip(range(0, len(values) * row, row), values, strict=True):
        if value is not None and len(value) == whole and value.startswith(header):
            target[at : at + row] = memoryview(value)[skip:]
        elif value:
            target[at : at + row] = _numbers_of_width(value, row)
        else:
            target[at : at + row] = bytes(row)


def timestamp(event_us: int, created_us: int) -> bytes:
    """A `google.protobuf.Timestamp` of the event time that carries the created time unseen.

    Redis has no column for `created`. A field that Timestamp does not have is skipped by every
    reader, and whoever writes the row replaces it together with the time it belongs to.
    """
    seconds, micros = divmod(event_us, 1_000_000)
    out = b"\x08" + _as_varint(seconds & (2**64 - 1)) if seconds else b""
    out += b"\x10" + _as_varint(micros * 1000) if micros else b""
    return out + struct.pack("<Bq", _CREATED_TAG, created_us)


def event_times(stamps: Sequence[bytes | None]) -> NDArray[np.int64]:
    """The event times, in microseconds, of stored Timestamps; NEVER where there is none.

    All of them at once: a number at a time this was a tenth of a request for 500 jobs.
    """
    padded = b"".join([(stamp or b"").ljust(32, b"\0")[:32] for stamp in stamps])
    bytes_NB = np.frombuffer(padded, dtype=np.uint8).reshape(len(stamps), 32)
    seconds_N, at_N = _varints(bytes_NB, np.zeros(len(stamps), dtype=np.int64), 0x08)
    nanos_N, _ = _varints(bytes_NB, at_N, 0x10)
    there_N = np.fromiter(map(bool, stamps), dtype=np.bool_, count=len(stamps))
    return np.where(there_N, seconds_N * 1_000_000 + nanos_N // 1000, NEVER)


def require_finite(vectors_ND: NDArray[np.float32], where: str) -> None:
    """Refuse NaN and infinity: Feast stores them silently, and they poison every score.

    Raises:
        DataError: at least one number is not finite.
    """
    if not np.isfinite(vectors_ND).all():
        rows = np.flatnonzero(~np.isfinite(vectors_ND).all(axis=1))
        raise DataError(
            where,
            f"{len(rows)} vectors hold NaN or infinity, the first in row {rows[0]}",
            "Wanted finite numbers: quarantine such rows before they are written.",
        )


def _string_value(text: bytes) -> bytes:
    return STRING_TAG + _as_varint(len(text)) + text


def _numbers_of_width(value: bytes, row: int) -> memoryview:
    start, length = _packed_numbers(value)
    if length != row:
        raise StoreError(
            f"a stored vector has {length // 4} numbers where the view promises {row // 4}.\n"
            "Write this view again: star materialize --force"
        )
    return memoryview(value)[start : start + length]


def _packed_numbers(value: bytes) -> tuple[int, int]:
    """Where the packed floats of a stored vector start, and how many bytes they are."""
    if not value.startswith(FLOATS_TAG):
        raise StoreError(f"stored bytes {value[:12]!r}… are no list of floats")
    length, at = _varint(value, len(FLOATS_TAG))
    if length == 0:
        return at, 0
    length, start = _varint(value, at + 1)
    return start, length


def _length(n: int) -> bytes:
    return _LENGTHS[n] if n < len(_LENGTHS) else struct.pack("<I", n)


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next field starts."""
    number = shift = 0
    while True:
        byte = buffer[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7


def _varints(
    bytes_NB: NDArray[np.uint8], at_N: NDArray[np.int64], tag: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A field's number in every row, 0 where it does not start at `at_N`; and where it ends."""
    rows_N1 = np.arange(len(bytes_NB))[:, None]
    tagged_N = bytes_NB[rows_N1[:, 0], at_N] == tag
    digits = bytes_NB[rows_N1, np.minimum(at_N[:, None] + 1 + np.arange(10), 31)]
    more = np.cumprod(digits >= 0x80, axis=1, dtype=np.int64)
    used = np.concatenate([np.ones_like(more[:, :1]), more[:, :-1]], axis=1)
    shifted = (digits & 0x7F).astype(np.int64) << (7 * np.arange(10))  # wraps: before 1970
    numbers_N = (shifted * used).sum(axis=1)
    ends_N = at_N + 1 + used.sum(axis=1)
    return np.where(tagged_N, numbers_N, 0), np.where(tagged_N, ends_N, at_N)
