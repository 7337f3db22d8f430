"""The files of an event log: which they are, whether they are one, and how they are cut into parts to read.

A log is one or many files or directories of Parquet (`.parquet`), or of CSV with a header, commas and UTF-8
(`.csv`, `.csv.gz`). Directories are searched through; other files in them, and names that start with a dot or
an underscore, are left alone. Parquet and CSV in one log are refused: most likely they are the same events twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import EventLogError
from common.eventlog import ANY_TIME, CHECKED, Bounds, check, require_columns
from common.events import LOG_COLUMNS
from common.log_csv import csv_blocks, has_rows

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv"}
PART_ROWS = 1_000_000
"""About how many rows of a Parquet file one task reads."""

BATCH_ROWS = 65_536

UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises on a damaged file."""


class Part(NamedTuple):
    """What one task reads: a CSV file, or some row groups of a Parquet file, whose rows are known."""

    path: str
    format: str
    first_group: int = 0
    groups: int = 0
    rows: int = 0


def plan_parts(paths: Iterable[str | Path]) -> list[Part]:
    """The parts of a log whose files are there and have the columns; opens each file, reads no rows.

    Raises:
        EventLogError: a missing or unreadable file, nothing to read, mixed formats, wrong columns, no rows.
    """
    files = find_files(paths)
    parts: list[Part] = []
    for path in files:
        try:
            parts.extend(_parquet_parts(path) if format_of(path) == "parquet" else _csv_parts(path))
        except UNREADABLE as error:
            raise unreadable(path, error) from error
    if not parts:
        raise EventLogError(f"the event log has no rows: {_some(files)}", remedy="Give a log with events in it")
    return parts


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files of a log as absolute paths, each once, in order.

    Raises:
        EventLogError: a missing path, a directory without logs, an unknown extension, mixed formats.
    """
    files = list({file.resolve(): file for path in paths for file in _files_at(Path(path).absolute())}.values())
    if not files:
        raise EventLogError("no event log was given", remedy="Name at least one file or directory")
    first = {format_of(file): file for file in reversed(files)}
    if len(first) > 1:
        raise EventLogError(
            f"the event log mixes formats: {first['parquet']} and {first['csv']}",
            remedy="If they hold the same events, name the files of one format; else convert one of them",
        )
    twice = [file for file in files if file.with_name(f"{file.name}.gz") in files]
    if twice:
        raise EventLogError(f"both {twice[0]} and its .gz were given", remedy="Name one of the two")
    return files


def format_of(path: Path) -> str | None:
    """`parquet` or `csv`, by the file's name; None for other files."""
    name = path.name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def read_parts(parts: pa.Table, *, bounds: Bounds = ANY_TIME) -> Iterator[pa.Table]:
    """The rows of some parts (columns of `Part`) as blocks of the schema `CHECKED`; made for `map_batches`.

    Rows of times out of bounds are set aside.

    Raises:
        EventLogError: a file is damaged, or is not what it was when the parts were planned.
    """
    yield CHECKED.empty_table()
    for row in parts.to_pylist():
        part = Part(**row)
        try:
            blocks = _parquet_blocks if part.format == "parquet" else _csv_blocks
            yield from blocks(part, bounds)
        except UNREADABLE as error:
            raise unreadable(Path(part.path), error) from error


def unreadable(path: Path, error: Exception) -> EventLogError:
    """The error of a file that is there and can't be read to its end."""
    if isinstance(error, FileNotFoundError):
        return EventLogError(f"no event log at {path}", remedy="Check the path")
    if isinstance(error, PermissionError):
        return EventLogError(f"cannot read {path}: permission denied", remedy="Allow this user to read it")
    reason = str(error).strip().splitlines()[0][:200].rstrip(".") if str(error).strip() else type(error).__name__
    return EventLogError(f"cannot read {path}: {reason}", remedy="It is damaged or no log: write or fetch it again")


def _files_at(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return _files_in(path)
        if not path.exists():
            raise EventLogError(f"no event log at {path}", remedy="Check the path")
    except OSError as error:
        raise unreadable(path, error) from error
    if format_of(path) is None:
        raise EventLogError(f"{path} is no kind of event log", remedy=f"Name a file of {', '.join(SUFFIXES)}")
    return [path]


def _files_in(directory: Path) -> list[Path]:
    files = [
        file
        for file in sorted(directory.rglob("*"))
        if format_of(file) and file.is_file() and not _is_hidden(file.relative_to(directory))
    ]
    if not files:
        raise EventLogError(
            f"no event log in the directory {directory}", remedy=f"It needs files of {', '.join(SUFFIXES)}"
        )
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _csv_parts(path: Path) -> list[Part]:
    return [Part(str(path), "csv")] if has_rows(path) else []


def _parquet_parts(path: Path) -> list[Part]:
    footer = pq.read_metadata(path)
    require_columns(footer.schema.to_arrow_schema().names, path)
    parts: list[Part] = []
    first = rows = 0
    for group in range(footer.num_row_groups):
        rows += footer.row_group(group).num_rows
        last = group + 1 == footer.num_row_groups
        if rows and (rows >= PART_ROWS or last):
            parts.append(Part(str(path), "parquet", first, group + 1 - first, rows))
            first, rows = group + 1, 0
    return parts


def _csv_blocks(part: Part, bounds: Bounds) -> Iterator[pa.Table]:
    return csv_blocks(Path(part.path), bounds=bounds)


def _parquet_blocks(part: Part, bounds: Bounds) -> Iterator[pa.Table]:
    with pq.ParquetFile(part.path, page_checksum_verification=True) as file:
        present = [name for name in LOG_COLUMNS if name in file.schema_arrow.names]
        groups = list(range(part.first_group, part.first_group + part.groups))
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=present, use_threads=False):
            yield check(pa.Table.from_batches([batch]), source=part.path, bounds=bounds)


def _some(files: Sequence[Path]) -> str:
    return str(files[0]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
