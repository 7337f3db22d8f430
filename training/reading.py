"""An event log as a Ray dataset: checked, counted, and refused before anything is learned from it.

The log is read once; what was read stays in Ray's object store, which spills to disk, so a log may be larger
than memory. Only counts and rows set aside reach the driver.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray.data
from ray.data import DataContext, Dataset
from ray.exceptions import RayTaskError

from common.errors import CartcastError, EventLogError
from common.eventlog import kept
from common.log_files import plan_parts, read_parts
from common.quarantine import MAX_RATIO, ReadReport, collect, digest


def read_events(
    paths: Iterable[str | Path], *, quarantine_dir: Path, max_quarantine_ratio: float = MAX_RATIO
) -> tuple[Dataset, ReadReport]:
    """The events of a log (schema `common.eventlog.CANONICAL`, in no order) and what was read.

    Args:
        paths: files and directories, see `common.log_files`.
        quarantine_dir: where the rows that are no events are written.
        max_quarantine_ratio: the share of such rows above which the log is refused.

    Raises:
        EventLogError: the log is missing, unreadable, empty, or breaks the schema too often.
    """
    parts = plan_parts(paths)
    with quiet_ray_data(), _errors_of_tasks():
        rows = ray.data.from_items([part._asdict() for part in parts], override_num_blocks=len(parts))
        checked = rows.map_batches(read_parts, batch_format="pyarrow", batch_size=None).materialize()
        digests = checked.map_batches(digest, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
        report = collect(digests.iter_batches(batch_format="pyarrow", batch_size=None), quarantine_dir)
    report.require_usable(max_quarantine_ratio)
    return checked.map_batches(kept, batch_format="pyarrow", batch_size=None, zero_copy_batch=True), report


def require_purchases(report: ReadReport) -> None:
    """Refuse a log that nothing can be learned from.

    Raises:
        EventLogError: it has no purchases.
    """
    if not report.purchases:
        kinds = ", ".join(f"{count:,} {name}" for name, count in report.kinds.items()) or "no events at all"
        raise EventLogError(f"the event log has no purchases ({kinds})", remedy="Give a log that has some to learn by")


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
def _errors_of_tasks() -> Iterator[None]:
    """Raise an error of ours as the task raised it, without Ray's wrapping."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CartcastError):
            raise error.cause from None
        raise
