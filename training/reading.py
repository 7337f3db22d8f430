"""An event log on its way to disk, user by user: checked, counted, and refused before anything is learned from it.

Ray Data reads the log part by part. What is an event goes into files sorted by user (`common.partition`), so a log
may be larger than memory; only counts, file names and rows set aside reach the driver. On a cluster of several
machines the directory must be one that all of them see.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import DataContext
from ray.exceptions import RayTaskError

from common.counting import day_counts_of
from common.errors import CartcastError, EventLogError
from common.eventlog import ANY_TIME, Bounds, kept
from common.log_files import Part, plan_parts, read_parts
from common.partition import BUCKETS, Sizes, buckets_of, gathered, write_partition
from common.quarantine import MAX_RATIO, ReadReport, collect, digest
from training.activity import Activity
from training.ends import span_of

Told = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


def untold(done: int, total: int) -> None:
    """Show nothing."""


_SORTED = pa.schema([("path", pa.string()), ("sizes", pa.binary()), ("rows", pa.int64()), ("digest", pa.binary())])
_DAYS, _ACTIVITY = ".days", ".activity"  # beside a file of events: the counts of its days and of its bins


@dataclass(frozen=True)
class SortedLog:
    """The events of a log in files sorted by user bucket, rows in each bucket, and what was counted on the way."""

    paths: Sequence[str]
    sizes: Sizes
    report: ReadReport
    activity: Activity

    @property
    def span_us(self) -> tuple[int, int]:
        """The times of the first and of the last event."""
        return self.report.first_us or 0, self.report.last_us or 0

    def day_counts(self) -> Iterator[pa.Table]:
        """The counts of the days (see `common.daycounts.DAY_COUNTS`), one table for each file."""
        return (_read(Path(path + _DAYS)) for path in self.paths)


def read_events(
    paths: Iterable[str | Path],
    *,
    directory: Path,
    quarantine_dir: Path,
    max_quarantine_ratio: float = MAX_RATIO,
    bounds: Bounds = ANY_TIME,
    told: Told = untold,
) -> SortedLog:
    """The events of a log, sorted by user into files below `directory`, and what was read.

    A log with strays at its ends (`training.ends`) is read again without them.

    Args:
        paths: files and directories, see `common.log_files`.
        directory: where the files go.
        quarantine_dir: where the rows that are no events are written.
        max_quarantine_ratio: the share of such rows above which the log is refused.
        bounds: rows of another time are set aside.
        told: shows progress where the number of rows is known beforehand, as in Parquet.

    Raises:
        EventLogError: the log is missing, unreadable, empty, or breaks the schema too often.
    """
    parts = plan_parts(paths)
    log = _sort(parts, directory, quarantine_dir, bounds, told)
    log.report.require_usable(max_quarantine_ratio)
    if not log.report.rows_kept:
        return log
    first_us, last_us = span_of(log.activity)
    if first_us <= log.span_us[0] and log.span_us[1] <= last_us:
        return log
    without = bounds._replace(first_us=first_us, last_us=last_us)
    log = _sort(parts, directory, quarantine_dir, without, told)
    log.report.require_usable(max_quarantine_ratio)
    return log


def require_purchases(report: ReadReport) -> None:
    """Refuse a log that nothing can be learned from.

    Raises:
        EventLogError: it has no purchases.
    """
    if not report.purchases:
        kinds = ", ".join(f"{count:,} {name}" for name, count in report.kinds.items()) or "no events at all"
        raise EventLogError(f"the event log has no purchases ({kinds})", remedy="Give a log that has some to learn by")


def rows_of_tasks(
    items: Sequence[dict[str, Any]], task: Callable[..., Iterator[pa.Table]], **arguments: Any
) -> Iterator[dict[str, Any]]:
    """What a task answers for each item, a Ray Data task for each, in no order; an error of ours as it was raised."""
    tasks = ray.data.from_items(list(items), override_num_blocks=len(items)).map_batches(
        task, batch_format="pyarrow", batch_size=None, fn_kwargs=arguments
    )
    with quiet_ray_data(), errors_of_tasks():
        for block in tasks.iter_batches(batch_format="pyarrow", batch_size=None):
            yield from block.to_pylist()


def _sort(parts: Sequence[Part], directory: Path, quarantine_dir: Path, bounds: Bounds, told: Told) -> SortedLog:
    files: list[str] = []
    sizes = np.zeros(BUCKETS, np.int64)
    total = sum(part.rows for part in parts)

    def digests() -> Iterator[pa.Table]:
        done = 0
        items = [part._asdict() for part in parts]
        for row in rows_of_tasks(items, _sort_part, directory=str(directory), bounds=tuple(bounds)):
            if row["path"]:
                files.append(row["path"])
                sizes[:] += np.frombuffer(row["sizes"], np.int64)
            done += row["rows"]
            if total:
                told(done, total)
            with pa.ipc.open_stream(row["digest"]) as stream:
                yield stream.read_all()

    report = collect(digests(), quarantine_dir)
    activity = Activity.sum([Activity.empty(), *(Activity.from_table(_read(Path(path + _ACTIVITY))) for path in files)])
    return SortedLog(files, sizes, report, activity)


def _sort_part(parts: pa.Table, *, directory: str, bounds: tuple[int, int, int]) -> Iterator[pa.Table]:
    for checked in gathered(read_parts(parts, bounds=Bounds(*bounds))):
        events = kept(checked)
        path, sizes = None, b""
        if events.num_rows:
            path, of_buckets = write_partition(events, buckets_of(events["user"]), Path(directory))
            sizes = of_buckets.tobytes()
            _write(Path(path + _DAYS), day_counts_of(events))
            _write(Path(path + _ACTIVITY), Activity.of(events).to_table())
        yield pa.table([[path], [sizes], [checked.num_rows], [_packed(digest(checked))]], schema=_SORTED)


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


@contextmanager
def quiet_ray_data() -> Iterator[None]:
    """Keep Ray Data's plans, bars and tracebacks off the console; its log file still has the first and the last.

    A caller that shows progress of its own would share the terminal with Ray's bars.
    """
    context = DataContext.get_current()
    bars, announced = context.enable_progress_bars, context.print_on_execution_start
    handlers = [handler for handler in logging.getLogger("ray.data").handlers if handler.get_name() == "console"]
    levels = [handler.level for handler in handlers]
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = bars, announced
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


@contextmanager
def errors_of_tasks() -> Iterator[None]:
    """Raise an error of ours as the task raised it, without Ray's wrapping."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CartcastError):
            raise error.cause from None
        raise
