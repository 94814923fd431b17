"""One bad CSV row costs one row."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_features.errors import DataError
from star_features.tables.config import Csv
from star_features.tables.csv_source import CsvSource


def rows_and_faults(content: bytes, columns=("a", "b"), rows=100, cut=1000, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        chunks = list(CsvSource(path, Csv(**options)).chunks(columns, rows, cut))
    good = [
        (int(row), *values.values())
        for chunk in chunks
        for row, values in zip(chunk.rows_N, chunk.table.to_pylist(), strict=True)
    ]
    return good, [(f.row, f.column, f.reason) for chunk in chunks for f in chunk.faults]


def test_a_row_with_too_few_or_too_many_fields_is_left_out_and_the_rest_keep_their_numbers():
    good, faults = rows_and_faults(b"a,b\n1,x\n2\n3,y,z\n4,w\n")
    assert good == [(1, "1", "x"), (4, "4", "w")]
    assert faults == [(2, "", "wrong_field_count"), (3, "", "wrong_field_count")]


def test_an_unclosed_quote_does_not_swallow_the_rows_that_follow():
    good, faults = rows_and_faults(b'a,b\n1,"open\n2,x\n3,y\n')
    assert good == [(2, "2", "x"), (3, "3", "y")]
    assert faults == [(1, "", "unreadable_row")]


def test_two_unclosed_quotes_cost_two_rows():
    good, faults = rows_and_faults(b'a,b\n1,"open\n2,x\n3,"open\n4,y\n')
    assert [row for row, *_ in good] == [2, 4]
    assert [row for row, *_ in faults] == [1, 3]


def test_a_quoted_field_may_hold_line_breaks_delimiters_and_quotes():
    good, faults = rows_and_faults(b'a,b\r\n1,"x,\n""y"""\r\n2,z\r\n')
    assert good == [(1, "1", 'x,\n"y"'), (2, "2", "z")]
    assert not faults


def test_bytes_that_are_no_text_cost_their_row_only_in_a_column_that_is_read():
    content = b"a,b,c\n1,\xff,x\n2,y,\xff\n"
    good, faults = rows_and_faults(content)
    assert good == [(2, "2", "y")]
    assert faults == [(1, "b", "invalid_encoding")]


def test_a_korean_file_is_read_in_its_encoding_and_a_bad_byte_in_it_is_found():
    content = "a,b\n1,간호사\n".encode("cp949") + b"2,\xff\n"
    good, faults = rows_and_faults(content, encoding="cp949")
    assert good == [(1, "1", "간호사")]
    assert faults == [(2, "b", "invalid_encoding")]


def test_a_byte_order_mark_is_no_part_of_the_first_column():
    assert rows_and_faults(b"\xef\xbb\xbfa,b\n1,2\n")[0] == [(1, "1", "2")]


def test_a_blank_line_is_no_row():
    assert [row for row, *_ in rows_and_faults(b"a,b\n1,x\n\n2,y\n\n")[0]] == [1, 2]


def test_a_huge_value_is_cut_when_it_is_read():
    good, _ = rows_and_faults(b"a,b\n1," + b"x" * 5_000_000 + b"\n2,y\n", cut=10)
    assert good == [(1, "1", "x" * 10), (2, "2", "y")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n", "is empty"),
        (b"a,a\n1,2\n", "two columns named 'a'"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\n", "not text"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(content, says):
    with pytest.raises(DataError, match=says):
        rows_and_faults(content)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=12), st.integers(1, 13))
def test_what_csv_writes_is_read_back_at_every_chunk_size(values, rows):
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *values])
    good, faults = rows_and_faults(file.getvalue().encode(), rows=rows)
    assert not faults
    assert good == [(n, *pair) for n, pair in enumerate(values, start=1)]
