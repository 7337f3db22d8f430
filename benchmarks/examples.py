"""Claim: examples are made at a rate that falls neither with a log's length nor with its catalogue, in bounded memory.

A simulated log is read, checked, replayed and put on disk by Ray Data on the machine's cores, as `train` does it; then
the same events once more with 100,000 products of 10,000 brands. 10^7 events take some minutes and 5 GB of disk:

    python -m benchmarks.examples [--events N ...]
"""

import argparse
import math
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.memory import memory_watched
from common.clock import DAY_US, from_datetime, now_us
from training.cluster import prepare, ray_cluster
from training.progress import Progress
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.state import State

EVENTS = (100_000, 1_000_000)
WARM_UP_EVENTS = 5_000
TWINS = 250
"""Products that each simulated one becomes in the large catalogue: 400 become 100,000."""

BRANDS = 10_000


@dataclass(frozen=True)
class Made:
    """What a log cost to make into examples."""

    title: str
    events: int
    examples: int
    spent_s: float
    peak_bytes: int
    disk_bytes: int


def run(_seconds: float, events: Sequence[int] = EVENTS) -> None:
    """Print events a second and core, the growth, and the memory that examples need."""
    with tempfile.TemporaryDirectory() as scratch, _cluster(Path(scratch)) as cpus:
        logs = [_simulated(Path(scratch), size) for size in (WARM_UP_EVENTS, *events)]
        _measured("warm-up", logs[0], Path(scratch))
        made = [_measured("400 products, 4 brands", log, Path(scratch)) for log in logs[1:]]
        medium = logs[1 + sorted(range(len(events)), key=lambda at: abs(events[at] - 1_000_000))[0]]
        large = _measured("100,000 products, 10,000 brands", _with_large_catalogue(medium), Path(scratch))
    _print(made, large, cpus)


def _print(made: Sequence[Made], large: Made, cpus: int) -> None:
    report = Table("log", "events", "examples", "seconds", "events/s", "per core", "peak memory", "disk per example")
    for row in (*made, large):
        rate = row.events / row.spent_s
        report.add_row(
            row.title, f"{row.events:,}", f"{row.examples:,}", f"{row.spent_s:.1f}", f"{rate:,.0f}",
            f"{rate / cpus:,.0f}", f"{row.peak_bytes / 2**20:,.0f} MiB", f"{row.disk_bytes / row.examples:.0f} bytes",
        )  # fmt: skip
    console = Console(width=140)
    console.print(report)
    for less, more in pairwise(made):
        growth = math.log(more.spent_s / less.spent_s) / math.log(more.events / less.events)
        console.print(f"{less.events:,} to {more.events:,} events: time grows with events to the power of {growth:.2f}")
    (same,) = [row for row in made if row.events == large.events]
    console.print(f"the large catalogue takes {large.spent_s / same.spent_s:.2f} of the time of the small one")


@contextmanager
def _cluster(scratch: Path) -> Iterator[int]:
    state = _state(scratch)
    state.make()
    prepare(None, state.ray_token)
    with ray_cluster() as cpus:
        yield cpus


def _state(scratch: Path) -> State:
    return State(scratch / "state", "sqlite:///none")


def _simulated(scratch: Path, events: int) -> Path:
    path = scratch / f"log-{events}.parquet"
    simulate(
        Plan(events=events, seed=events, start_us=from_datetime(DEFAULT_START)), path, console=Console(stderr=True)
    )
    return path


def _with_large_catalogue(log: Path) -> Path:
    """The same events, each user's products being one of `TWINS` of what they were, under brands of their own."""
    path = log.with_name(f"large-{log.name}")
    with pq.ParquetFile(log) as source, pq.ParquetWriter(path, source.schema_arrow) as sink:
        for batch in source.iter_batches(500_000):
            rows = pa.table(batch)
            users, products = rows["user_id"].to_pylist(), rows["product_id"].to_pylist()
            pairs = zip(users, products, strict=True)
            twins = [product * 1_000 + _spread(user, TWINS) for user, product in pairs]
            brands = [f"brand-{_spread(twin, BRANDS)}" for twin in twins]
            for name, values in (("product_id", twins), ("brand", brands)):
                field = source.schema_arrow.field(name)
                rows = rows.set_column(rows.column_names.index(name), field, pa.array(values, field.type))
            sink.write_table(rows)
    return path


def _spread(what: object, over: int) -> int:
    return zlib.crc32(str(what).encode()) % over


def _measured(title: str, log: Path, scratch: Path) -> Made:
    from training.log import read_log  # it imports Ray, whose environment `_cluster` set

    started_s = time.perf_counter()
    with memory_watched() as noted:
        read = read_log(
            [log],
            state=_state(scratch),
            horizon_us=DAY_US,
            max_quarantine_ratio=0.01,
            progress=Progress(Console(quiet=True)),
            now_us=now_us(),
        )
        spent_s = time.perf_counter() - started_s
    store = read.examples.store.path
    disk_bytes = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    return Made(title, read.report.rows_read, len(read.examples), spent_s, max(noted), disk_bytes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS, help="sizes of the logs (%(default)s)")
    run(0.0, parser.parse_args(sys.argv[1:]).events)
