"""What a feature vector costs: one at a time, a micro-batch, a block of users; beside plain Python on the same ones.

Another shop's log instead of a simulated one, and no champion needed:

    python -m benchmarks.features [--events PATH]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, from_datetime
from common.counting import day_counts_of
from common.daycounts import DAY_COUNTS
from common.eventlog import check, kept
from common.events import Decision, Event
from common.features import vector, vectors
from common.replay import decision_of, example_table, point_table, users_of, x_matrix
from common.window import window_at
from tests.reference_features import reference_vector
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate

EVENTS = 200_000
ASKED = 256
BATCH = 32
WINDOWS = (6, 50, 100)
"""Events in the windows that are measured; 6 is the mean of a real shop."""

PRODUCTS, BRANDS, DAYS = 100_000, 10_000, 60
KEYS_A_DAY = 60_000

Asked = tuple[Decision, Sequence[Event], Catalog]


def run(seconds: float, log: Path | None = None) -> None:
    """Print CPU microseconds of one core, and times the cost of plain Python."""
    console, table = Console(), _simulated() if log is None else kept(check(pq.read_table(log), source=str(log)))
    history = CatalogHistory(Catalog.empty(), day_counts_of(table))
    asked = _asked(table, history)
    report = Table("events in the window", "one", f"{BATCH} at once", "plain Python", "one", f"{BATCH} at once")
    for size in WINDOWS:
        report.add_row(str(size), *_costs([(d, w[-size:], c) for d, w, c in asked if len(w) >= size], seconds))
    console.print(report)
    console.print(_columnar(table, history, seconds))
    console.print(_large_history())


def _simulated() -> pa.Table:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "log.parquet"
        simulate(Plan(EVENTS, 5, from_datetime(DEFAULT_START)), path, Path(scratch) / "truth.parquet")
        return kept(check(pq.read_table(path), source="simulated"))


def _asked(table: pa.Table, history: CatalogHistory) -> list[Asked]:
    """Questions of the users with the most events, so that there are windows of every size."""
    users = sorted(users_of(table).items(), key=lambda item: -len(item[1]))
    asked: list[Asked] = []
    for user, events in users[:ASKED]:
        decision = decision_of(user, events[-1], events[-1].time_us)
        asked.append((decision, window_at(events, decision.as_of_us), history.as_of(decision.as_of_us)))
    return asked


def _costs(asked: Sequence[Asked], seconds: float) -> list[str]:
    if len(asked) < BATCH:
        return ["too few users with so many events"]
    batches = [tuple(zip(*asked[at : at + BATCH], strict=True)) for at in range(0, len(asked) - BATCH + 1, BATCH)]
    one_us = _us_each(lambda: [vector(*one) for one in asked], len(asked), seconds)
    batch_us = _us_each(lambda: [vectors(*batch) for batch in batches], BATCH * len(batches), seconds)
    python_us = _us_each(lambda: [reference_vector(*one) for one in asked], len(asked), seconds)
    figures = [f"{us:.1f} us" for us in (one_us, batch_us, python_us)]
    return [*figures, f"{python_us / one_us:.1f} times", f"{python_us / batch_us:.1f} times"]


def _columnar(table: pa.Table, history: CatalogHistory, seconds: float) -> str:
    end_us = int(table["time_us"].to_numpy().max())

    def examples() -> pa.Table:
        return example_table(table, history, horizon_us=DAY_US, log_end_us=end_us)

    n, points = len(table), len(examples())
    whole_us = _us_each(examples, points, seconds)
    labels_us = _us_each(lambda: point_table(table, horizon_us=DAY_US, log_end_us=end_us), points, seconds)
    counts_us = _us_each(lambda: day_counts_of(table), n, seconds)
    assert np.isfinite(x_matrix(examples())).all()
    return (
        f"{n:,} events, {points:,} decision points at once: {whole_us:.1f} us a point "
        f"({labels_us:.1f} us of it points and labels), {whole_us * points / n:.1f} us an event; "
        f"day counts {counts_us:.2f} us an event"
    )


def _large_history() -> str:
    """A history of 100,000 products and 10,000 brands over 60 days of brisk trade."""
    rng = np.random.default_rng(7)
    days = []
    for day in range(DAYS):
        product = np.unique((PRODUCTS * rng.random(KEYS_A_DAY) ** 2).astype(np.int64))
        keys = [f"p:{code}" for code in product] + [f"b:{code}" for code in range(BRANDS)]
        figures = rng.integers(0, 50, (len(DAY_COUNTS) - 2, len(keys)))
        days.append(pa.table([pa.array(np.full(len(keys), day)), pa.array(keys), *map(pa.array, figures)], DAY_COUNTS))
    table = pa.concat_tables(days)
    started_s = time.process_time()
    history = CatalogHistory(Catalog.empty(), table)
    spent_s = time.process_time() - started_s
    size = sum(column.nbytes for column in (*history.entries, history.keys))
    return (
        f"{len(table):,} counts of {DAYS} days and {len(history.keys):,} keys: {size / 2**20:.0f} MiB, {spent_s:.1f} s"
    )


def _us_each(work: Callable[[], object], each: int, seconds: float) -> float:
    """CPU microseconds of each: the least of some runs, since others use the machine too."""
    work()
    spent: list[float] = []
    until_s = time.perf_counter() + seconds / 10
    while not spent or time.perf_counter() < until_s:
        started_s = time.process_time()
        work()
        spent.append(time.process_time() - started_s)
    return min(spent) / each * 1e6


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--events", type=Path, help="a log in Parquet (default: a simulated shop)")
    run(10.0, arguments.parse_args().events)
