"""Claim: batch scoring keeps so much of the members' own raw throughput, log to Parquet, in flat memory.

The members alone predict ready-made vectors in one process for each CPU; then the whole job runs on the same cores:
a simulated log is read, checked, sorted by user, replayed into vectors, scored and written. Without a champion:

    python -m benchmarks.score --bundle DIRECTORY [--events N ...]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.memory import memory_watched
from common.clock import from_datetime
from common.replay import x_matrix
from deployments.registry import find_bundle
from deployments.scoring.cluster import ray_cluster
from deployments.scoring.ensemble import Ensemble
from deployments.scoring.pipeline import BATCH_ROWS, Job, Summary, score
from deployments.scoring.progress import ScoringProgress
from deployments.settings import load_settings
from training.shop.traffic import Plan
from training.simulate import simulate

EVENTS = (100_000, 400_000)
START_US = from_datetime(datetime(2026, 1, 1, tzinfo=UTC))


def run(seconds: float, bundle: Path | None = None, events: Sequence[int] = EVENTS) -> None:
    """Print rows a second of the members alone and of whole jobs, and the memory that a job needs.

    Args:
        seconds: how long the members alone are measured.
        bundle: a bundle's directory; the champion where it is not given.
        events: sizes of the simulated logs.
    """
    found = bundle or find_bundle(load_settings(), version=None, alias=None).path
    report = Table("", "rows", "seconds", "rows/s", "of the members alone", "peak memory")
    with tempfile.TemporaryDirectory() as scratch, ray_cluster() as cpus:
        jobs = [_measured(found, size, Path(scratch) / str(size)) for size in events]
        X = x_matrix(pq.read_table(jobs[-1][0].out, columns=["x"]))
        alone = _members_alone(found, X, cpus, seconds)
        report.add_row(f"members alone, {cpus} processes", "", f"{seconds:.0f}", f"{alone:,.0f}", "1.00", "")
        for size, (summary, peak_bytes) in zip(events, jobs, strict=True):
            for name, spent_s in (("log to Parquet", summary.elapsed_s), ("scoring", summary.stages_s["scoring"])):
                rate = summary.rows / spent_s
                memory = f"{peak_bytes / 2**20:,.0f} MiB" if name == "scoring" else ""
                report.add_row(
                    f"{name}, {size:,} events", f"{summary.rows:,}", f"{spent_s:.1f}", f"{rate:,.0f}",
                    f"{rate / alone:.2f}", memory,
                )  # fmt: skip
    Console().print(report)


def _measured(bundle: Path, events: int, scratch: Path) -> tuple[Summary, int]:
    """A job on a simulated log of that size, and its peak memory in bytes; Ray runs already."""
    scratch.mkdir()
    console = Console(stderr=True)
    simulate(Plan(events=events, seed=events, start_us=START_US), scratch / "log.parquet", console=console)
    job = Job(
        events=[scratch / "log.parquet"],
        bundle=bundle,
        out=scratch / "out",
        quarantine_dir=scratch / "quarantine",
        with_features=True,
    )
    with memory_watched() as peak:
        return score(job, ScoringProgress(console)), max(peak)


def _members_alone(bundle: Path, X: NDArray[np.float32], processes: int, seconds: float) -> float:
    """Rows a second of all members together, one thread each, in so many processes at once."""
    context = get_context("spawn")
    with context.Pool(processes) as pool:
        rates = pool.starmap(_rate, [(bundle, X[:100_000], seconds)] * processes)
    return sum(rates)


def _rate(bundle: Path, X: NDArray[np.float32], seconds: float) -> float:
    ensemble = Ensemble(bundle)
    ensemble.members(X[:BATCH_ROWS])
    rows = 0
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        at = rows % len(X)
        rows += len(next(iter(ensemble.members(X[at : at + BATCH_ROWS]).values())))
    return rows / spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a bundle's directory (default: the champion)")
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS, help="sizes of the logs (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring the members alone (%(default)s)")
    options = parser.parse_args(sys.argv[1:])
    run(options.seconds, options.bundle, options.events)
