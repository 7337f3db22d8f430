"""Event logs in CSV: every line is a row, an event or set aside, whatever the file holds.

Files are read in blocks of whole lines with every value as text. A quote may not span lines: where the
parser makes another number of rows of a block than the block has lines, the block is halved until the
lines at fault stand alone. So a stray quote costs its own line, wherever the blocks happen to be cut.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from common.errors import EventLogError
from common.eventlog import ANY_TIME, MAX_KEPT_CHARACTERS, Bounds, check, require_columns, set_aside
from common.events import LOG_COLUMNS

BLOCK_BYTES = 8 * 2**20
MAX_LINE_BYTES = 2 * BLOCK_BYTES

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BLANK_LINE = re.compile(rb"^\r?(?:\n|\Z)", re.MULTILINE)
_END = "#end"  # one field, so no row; it goes missing where the last line leaves a quote open
_ID_COLUMNS = ("product_id", "user_id", "user_session")


def has_rows(path: Path) -> bool:
    """Whether anything follows the header of a CSV log.

    Raises:
        EventLogError: the file is empty, not UTF-8, or lacks columns.
        OSError: it can't be read.
    """
    blocks = _line_blocks(path)
    _, lines = _without_header(next(blocks, b""), path)
    return bool(lines) or next(blocks, None) is not None


def csv_blocks(path: Path, *, bounds: Bounds = ANY_TIME) -> Iterator[pa.Table]:
    """The rows of a CSV log as blocks of the schema `CHECKED`, in order; those out of bounds are set aside.

    Raises:
        EventLogError: the file is empty, not UTF-8 in its header, lacks columns, or is no text.
        OSError: it can't be read, or its compressed data is damaged.
    """
    blocks = _line_blocks(path)
    names, lines = _without_header(next(blocks, b""), path)
    yield _checked(lines, names, path, bounds)
    for block in blocks:
        yield _checked(block, names, path, bounds)


def _line_blocks(path: Path) -> Iterator[bytes]:
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    rest = b""
    with pa.input_stream(str(path), compression=compression) as stream:
        while data := stream.read(BLOCK_BYTES):
            end = data.rfind(b"\n") + 1
            if end:
                yield rest + data[:end]
                rest = data[end:]
            else:
                rest += data
            if len(rest) > MAX_LINE_BYTES:
                raise EventLogError(f"{path} has a line of more than {MAX_LINE_BYTES} bytes", remedy="It is no CSV log")
    if rest:
        yield rest


def _without_header(block: bytes, path: Path) -> tuple[list[str], bytes]:
    """The names of the columns, and the lines after them."""
    first, _, lines = block.removeprefix(_UTF8_MARK).partition(b"\n")
    if not first.strip():
        raise EventLogError(f"{path} is empty: it has no header", remedy="Give a log with events in it")
    try:
        header = first.decode()
    except UnicodeDecodeError:
        header = ""
    if not header or block.startswith(_UTF16_MARKS) or "\0" in header:
        raise EventLogError(f"{path} is not UTF-8 text", remedy="Save it as CSV in UTF-8")
    try:
        names = next(csv.reader([header.rstrip("\r")]))
    except csv.Error:
        names = [header]
    require_columns(names, path)
    return names, lines


def _checked(lines: bytes, names: list[str], source: Path, bounds: Bounds) -> pa.Table:
    lines, aside = _screened(lines)
    bad_rows: list[str] = []
    raw = pa.concat_tables([_no_rows(names), *_parsed(lines, names, bad_rows)]).combine_chunks()
    aside.extend(("bad_row", line) for line in bad_rows)
    rows = [{"reason": why, "source": str(source), "line": line[:MAX_KEPT_CHARACTERS]} for why, line in aside]
    events = check(_with_integer_ids(raw), source=str(source), bounds=bounds)
    return pa.concat_tables([events, set_aside(rows)])


def _screened(block: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """The lines that can be parsed, and (reason, line) of those that can't."""
    if _is_utf8(block) and (b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")):
        return block, []
    good: list[bytes] = []
    aside: list[tuple[str, str]] = []
    for line in block.removesuffix(b"\n").split(b"\n"):
        if not _is_utf8(line):
            aside.append(("not_utf8", line.decode(errors="backslashreplace")))
        elif b"\r" in line.removesuffix(b"\r"):
            aside.append(("bad_row", line.decode()))
        else:
            good.append(line)
    return b"\n".join(good), aside


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parsed(lines: bytes, names: list[str], bad_rows: list[str]) -> list[pa.Table]:
    """The rows of some lines; lines that are no rows are added to `bad_rows`, blank ones are nothing."""
    if not lines:
        return []
    lines = lines if lines.endswith(b"\n") else lines + b"\n"
    count = lines.count(b"\n")
    invalid: list[str] = []
    table = _parse(lines + _END.encode(), names, invalid)
    if table.num_rows + len(invalid) == count + 1 and invalid[-1:] == [_END]:
        bad_rows.extend(invalid[:-1])
        return [table]
    without_blank = _BLANK_LINE.sub(b"", lines)
    if len(without_blank) < len(lines):
        return _parsed(without_blank, names, bad_rows)
    if count == 1:
        bad_rows.append(lines.decode())
        return []
    cut = lines.rfind(b"\n", 0, len(lines) // 2) + 1 or lines.find(b"\n") + 1
    return _parsed(lines[:cut], names, bad_rows) + _parsed(lines[cut:], names, bad_rows)


def _parse(lines: bytes, names: list[str], invalid: list[str]) -> pa.Table:
    def skip(row: arrow_csv.InvalidRow) -> str:
        invalid.append(row.text)
        return "skip"

    wanted = _wanted(names)
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(lines),
            # other columns may share a name or have none: they get one of their own
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=len(lines) + 1,
                column_names=[name if name in wanted else f"#{at}" for at, name in enumerate(names)],
            ),
            arrow_csv.ParseOptions(invalid_row_handler=skip),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
        )
    except pa.ArrowInvalid:
        invalid.clear()
        return _no_rows(names)


def _wanted(names: list[str]) -> list[str]:
    return [name for name in LOG_COLUMNS if name in names]


def _no_rows(names: list[str]) -> pa.Table:
    return pa.schema([(name, pa.string()) for name in _wanted(names)]).empty_table()


def _with_integer_ids(raw: pa.Table) -> pa.Table:
    """CSV has no types: a tool that held integer ids with a gap as floats wrote 541312140 as 541312140.0."""
    for name in _ID_COLUMNS:
        column = raw[name]
        if pc.any(pc.ends_with(column, ".0")).as_py():
            integers = pc.replace_substring_regex(column, r"^(-?[0-9]+)\.0$", r"\1")
            raw = raw.set_column(raw.column_names.index(name), name, integers)
    return raw
