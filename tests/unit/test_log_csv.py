"""Event logs in CSV: a line is a row, whatever it holds and wherever the blocks are cut."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import log_csv
from common.errors import EventLogError
from common.eventlog import REJECTED, kept
from common.log_csv import csv_blocks, has_rows

HEADER = b"event_time,event_type,product_id,price,user_id,user_session,brand\n"
LINE = b"2019-10-01 00:00:00 UTC,view,1,2.5,ann,s-1,acme\n"


def read(path: Path) -> tuple[int, list[dict[str, str]]]:
    """How many events a file has, and the rows that are set aside."""
    checked = pa.concat_tables(csv_blocks(path))
    return kept(checked).num_rows, [json.loads(row) for row in checked[REJECTED].drop_null().to_pylist()]


@pytest.fixture
def log(tmp_path):
    """Writes a CSV log of some lines below the header."""

    def write(lines: bytes, header: bytes = HEADER) -> Path:
        path = tmp_path / "log.csv"
        path.write_bytes(header + lines)
        return path

    return write


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2019-10-01 00:00:00 UTC,view,1\n", "bad_row"),
        (LINE.replace(b"acme", b"acme,extra"), "bad_row"),
        (LINE.replace(b"view", b'"view'), "bad_row"),
        (LINE.replace(b"acme", b'"acme'), "bad_row"),
        (LINE.replace(b"acme", b"ac\rme"), "bad_row"),
        (b"   \n", "bad_row"),
        (LINE.replace(b"acme", b"soci\xe9t\xe9"), "not_utf8"),
        (LINE.replace(b"view", b"viewed"), "unknown_event_type"),
        (LINE.replace(b",1,", b",,"), "bad_product_id"),
    ],
)
def test_a_bad_line_is_set_aside_and_its_neighbours_are_events(log, line: bytes, reason: str):
    events, aside = read(log(LINE + line + LINE + LINE))

    assert events == 3
    assert [row["reason"] for row in aside] == [reason]


def test_a_line_that_is_no_row_is_kept_as_it_stands(log):
    path = log(b"a,b\n" + LINE)

    assert read(path)[1] == [{"reason": "bad_row", "source": str(path), "line": "a,b"}]


def test_a_quote_does_not_span_lines(log):
    events, aside = read(log(LINE + LINE.replace(b"acme", b'"ac\nme"') + LINE))

    assert events == 2
    assert [row["reason"] for row in aside] == ["bad_row", "bad_row"]


def test_quotes_within_a_line_are_read(log):
    checked = pa.concat_tables(csv_blocks(log(LINE.replace(b"acme", b'"a, ""b"""') + LINE.replace(b"acme", b'24" tv'))))

    assert kept(checked)["brand"].to_pylist() == ['a, "b"', '24" tv']


def test_blank_lines_are_no_rows_and_windows_line_ends_are_read(log):
    assert read(log(b"\r\n\n" + LINE.replace(b"\n", b"\r\n") + b"\n\r\n" + LINE.rstrip(b"\n"))) == (2, [])


def test_a_byte_order_mark_columns_in_another_order_and_nameless_ones_are_read(log):
    header = b'\xef\xbb\xbf"user_session",,user_id,price,product_id,event_type,event_time,,note\r\n'

    assert read(log(b"s-1,,ann,2.5,1,view,2019-10-01T00:00:00Z,,x\r\n", header)) == (1, [])


def test_integers_that_a_tool_wrote_as_floats_are_integers_again(log):
    checked = pa.concat_tables(csv_blocks(log(LINE.replace(b"ann", b"541312140.0") + LINE.replace(b"ann", b"v1.0"))))

    assert kept(checked)["user"].to_pylist() == ["541312140", "v1.0"]


def test_compressed_files_read_the_same(log):
    path = log(LINE * 3 + b"a,b\n")
    compressed = path.with_name("log.CSV.GZ")
    compressed.write_bytes(gzip.compress(path.read_bytes()))

    assert read(compressed)[0] == read(path)[0] == 3


def test_knows_whether_anything_follows_the_header(log):
    assert not has_rows(log(b""))
    assert has_rows(log(LINE))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (HEADER.decode().encode("utf-16"), "is not UTF-8"),
        (HEADER.decode().encode("utf-16-le"), "is not UTF-8"),
        (b"event_time,\xff\n", "is not UTF-8"),
        (HEADER.replace(b",", b";"), "lacks the columns event_time, .*; it has event_time;event_type"),
        (HEADER.replace(b"price", b"cost"), "lacks the columns price; it has .*cost"),
        (b"PAR1\x15\x04\n", "lacks the columns"),
    ],
)
def test_a_header_that_is_none_is_refused(log, header: bytes, says: str):
    with pytest.raises(EventLogError, match=says):
        has_rows(log(b"", header))


def test_a_file_without_lines_is_refused(log, monkeypatch):
    monkeypatch.setattr(log_csv, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(log_csv, "MAX_LINE_BYTES", 2_000)

    with pytest.raises(EventLogError, match="has a line of more than 2000 bytes"):
        read(log(LINE + b"x" * 10_000))


def test_a_truncated_compressed_file_cannot_be_read_to_its_end(tmp_path):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"".join(LINE.replace(b"ann", b"u%d" % i) for i in range(5_000)))[:-2_000])

    with pytest.raises(OSError, match="Truncated"):
        read(path)


PIECES = st.sampled_from(
    [LINE, LINE, LINE, b'"', b"\n", b"\r", b"\r\n", b",", b"\xff", b"\0", b"a,b\n", b'x"y', b"\n\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25).map(b"".join), st.integers(120, 400))
def test_every_line_is_an_event_or_set_aside_wherever_blocks_are_cut(tmp_path_factory, lines: bytes, block_bytes: int):
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    path.write_bytes(HEADER + lines)
    rows = [line for line in lines.split(b"\n") if line not in (b"", b"\r")]
    whole = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_csv, "BLOCK_BYTES", block_bytes)
        patch.setattr(log_csv, "MAX_LINE_BYTES", 10_000)
        in_blocks = read(path)

    assert whole[0] + len(whole[1]) == len(rows)
    assert in_blocks[0] == whole[0]
    assert sorted(map(str, in_blocks[1])) == sorted(map(str, whole[1]))
