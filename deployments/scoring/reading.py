"""Log and points on their way to disk: checked, counted, and sorted by user bucket, in Ray tasks.

Only counts, file names and rows set aside reach the driver.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data

from common.counting import day_counts_of
from common.daycounts import merged
from common.eventlog import kept
from common.log_files import Part, read_parts
from common.partition import BUCKETS, Sizes, buckets_of, gathered, write_partition
from common.quarantine import collect, digest
from deployments.scoring import points as point_files
from deployments.scoring.cluster import errors_of_tasks

Seen = Callable[[int], None]
"""Told how many more rows have been read."""

_SORTED = pa.schema([("path", pa.string()), ("sizes", pa.binary()), ("days", pa.binary()), ("digests", pa.binary())])


@dataclass
class SortedRows:
    """Rows on disk by user bucket."""

    paths: list[str] = field(default_factory=list)
    sizes: Sizes = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))

    def add(self, path: str | None, sizes: bytes) -> None:
        """Take one more file (None where there were no rows to write)."""
        if path is not None:
            self.paths.append(path)
            self.sizes = self.sizes + np.frombuffer(sizes, np.int64)


@dataclass
class SortedLog(SortedRows):
    """A log on disk by user bucket, and the counts of its days, a table for each file."""

    counted: list[pa.Table] = field(default_factory=list)

    def days(self) -> pa.Table:
        """The counts of all days, in `daycounts.DAY_COUNTS`."""
        return merged(self.counted)


def sort_log(
    parts: Sequence[Part], directory: Path, *, quarantine_dir: Path, max_quarantine_ratio: float, seen: Seen
) -> SortedLog:
    """The events of a log's parts, sorted into files below `directory`.

    Raises:
        EventLogError: the log is damaged or breaks the schema too often.
    """
    log = SortedLog()
    report = collect(_digests(parts, directory, log, seen), quarantine_dir)
    report.require_usable(max_quarantine_ratio)
    return log


def sort_points(parts: Sequence[point_files.Part], directory: Path, rejected: Path, *, seen: Seen) -> SortedRows:
    """The points of some parts, sorted into files below `directory`.

    Points that can't be asked are written to `rejected`.

    Raises:
        InputError: a file is damaged.
    """
    asked = SortedRows()
    places = {"directory": str(directory), "rejected": str(rejected)}
    for row in _rows_of_tasks([part._asdict() for part in parts], _sort_points, places):
        asked.add(row["path"], row["sizes"])
        seen(int(np.frombuffer(row["sizes"], np.int64).sum()))
    return asked


def _digests(parts: Sequence[Part], directory: Path, log: SortedLog, seen: Seen) -> Iterator[pa.Table]:
    for row in _rows_of_tasks([part._asdict() for part in parts], _sort_events, {"directory": str(directory)}):
        log.add(row["path"], row["sizes"])
        log.counted.append(_unpacked(row["days"]))
        seen(int(np.frombuffer(row["sizes"], np.int64).sum()))
        yield _unpacked(row["digests"])


def _rows_of_tasks(
    parts: list[dict[str, Any]], task: Callable[..., Iterator[pa.Table]], places: dict[str, str]
) -> Iterator[dict[str, Any]]:
    done = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
        task, batch_format="pyarrow", batch_size=None, fn_kwargs=places
    )
    with errors_of_tasks():
        for block in done.iter_batches(batch_format="pyarrow", batch_size=None):
            yield from block.to_pylist()


def _sort_events(parts: pa.Table, *, directory: str) -> Iterator[pa.Table]:
    for checked in gathered(read_parts(parts)):
        events = kept(checked)
        days = _packed(day_counts_of(events))
        yield _sorted_row(events, Path(directory), days=days, digests=_packed(digest(checked)))


def _sort_points(parts: pa.Table, *, directory: str, rejected: str) -> Iterator[pa.Table]:
    for fields in parts.to_pylist():
        part = point_files.Part(**fields)
        yield from _sort_part(part, Path(directory), Path(rejected))


def _sort_part(part: point_files.Part, directory: Path, rejected: Path) -> Iterator[pa.Table]:
    aside: list[pa.Table] = []

    def askable() -> Iterator[pa.Table]:
        for block in point_files.read_points(part):
            if block.rejected.num_rows:
                aside.append(block.rejected)
            yield block.points

    for points in gathered(askable()):
        yield _sorted_row(points, directory)
    if aside:
        # named by what was read, so that a part that is read again replaces its own file
        name = blake2b(f"{part.path}#{part.first_group}".encode(), digest_size=8).hexdigest()
        pq.write_table(pa.concat_tables(aside), rejected / f"{name}.parquet")


def _sorted_row(table: pa.Table, directory: Path, *, days: bytes = b"", digests: bytes = b"") -> pa.Table:
    if not table.num_rows:
        return pa.table([[None], [b""], [days], [digests]], schema=_SORTED)
    partition = write_partition(table, buckets_of(table["user"]), directory)
    return pa.table([[partition.path], [partition.sizes.tobytes()], [days], [digests]], schema=_SORTED)


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _unpacked(packed: bytes) -> pa.Table:
    with pa.ipc.open_stream(packed) as reader:
        return reader.read_all()
