"""From a log sorted by user to a store of examples, made on Ray Data: users are replayed, then times are put in order.

Two passes through the disk. Each task of the first replays the events of some users and writes their examples sorted by
time; each of the second gathers the examples of one stretch of time from all of those files and writes them as one
block. What a task holds is bounded by `EVENTS` whatever the log's length: a user, and ten minutes of the log, are the
smallest things that are not cut. The driver sees counts and file names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
from numpy.typing import NDArray

from common.catalog import ContinuedHistory
from common.clock import HOUR_US
from common.eventlog import CANONICAL
from common.feature_specs import WIDTH
from common.holdout import user_hashes
from common.partition import Range, ranges_of, read_range, write_partition
from common.replay import example_table
from training.activity import BIN_US, Activity
from training.example_store import POINTS, SCHEMA, ExampleStore, block_path, write_block
from training.outages import Outage, overlaps
from training.reading import SortedLog, Told, rows_of_tasks, untold

EVENTS = 250_000
"""About how many events a task replays, and at most how many examples one puts in order."""

MIN_EVENTS = 20_000
"""Fewer are not worth a task of their own."""

TASKS_PER_CPU = 4
"""Tasks for each CPU where the log is small enough to choose: the last ones then end at about the same time."""

WHOLE_WITHIN_US = HOUR_US
"""A day is complete if the log goes on to within this of its end."""

_REPLAYED = pa.schema(
    [
        ("path", pa.string()),
        ("events", pa.int64()),
        ("users", pa.int64()),
        ("sessions", pa.int64()),
        ("censored", pa.int64()),
        ("unlabelled", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Labels:
    """When a point has a label: its horizon ends within the log and meets no outage."""

    horizon_us: int
    log_end_us: int
    outages: Sequence[Outage] = ()


@dataclass
class Made:
    """What became of a log: rows of each block, and counts."""

    sizes: tuple[int, ...] = ()
    users: int = 0
    sessions: int = 0
    censored: int = 0
    unlabelled: int = 0


def make_store(
    log: SortedLog,
    history: ContinuedHistory,
    labels: Labels,
    *,
    work: Path,
    store: Path,
    cpus: int,
    told: Told = untold,
) -> Made:
    """Write blocks, points and the catalog of a store.

    Args:
        log: the log, sorted by user; its files are removed once they are replayed.
        history: what the shop knew on each day.
        labels: which points have one.
        work: a directory for files on the way.
        store: the directory of the store, empty.
        cpus: of the cluster.
        told: shows progress, in events.
    """
    edges_us = time_edges(log.activity, EVENTS)
    made = Made()
    paths: list[str] = []
    shared = ray.put(history)
    done, total = 0, int(log.sizes.sum())
    tasks = ranges_of(log.sizes, _events_of_task(total, cpus))
    for row in rows_of_tasks(
        [task._asdict() for task in tasks],
        _replay,
        paths=list(log.paths),
        history=[shared],  # in a list, so that Ray hands the reference over instead of a copy for each task
        labels=labels,
        edges_us=edges_us,
        directory=str(work),
    ):
        if row["path"]:
            paths.append(row["path"])
        for name in ("users", "sessions", "censored", "unlabelled"):
            setattr(made, name, getattr(made, name) + row[name])
        done += row["events"]
        told(done, total)
    for path in log.paths:
        Path(path).unlink()
    made.sizes = _put_in_order(paths, len(edges_us) + 1, store)
    _write_points(store, made.sizes)
    # a day that the log breaks off in would be known for ever as a day of half the trade: it belongs to whoever has
    # the rest of it, the next log or the counts that serving keeps
    history.as_of(labels.log_end_us + WHOLE_WITHIN_US).write(store / "catalog.parquet")
    return made


def time_edges(activity: Activity, rows: int) -> NDArray[np.int64]:
    """The times at which blocks of examples begin, the first block's excepted.

    A block has at most `rows` views and carts, and so examples, unless ten minutes of the log have more.
    """
    edges: list[int] = []
    held = 0
    for number, asked in zip(activity.number.tolist(), (activity.views + activity.carts).tolist(), strict=True):
        if held and held + asked > rows:
            edges.append(number * BIN_US)
            held = 0
        held += asked
    return np.array(edges, np.int64)


def _events_of_task(events: int, cpus: int) -> int:
    return min(EVENTS, max(MIN_EVENTS, events // (TASKS_PER_CPU * cpus) + 1))


def _replay(
    tasks: pa.Table,
    *,
    paths: list[str],
    history: list["ray.ObjectRef[ContinuedHistory]"],
    labels: Labels,
    edges_us: NDArray[np.int64],
    directory: str,
) -> Iterator[pa.Table]:
    for task in tasks.to_pylist():
        _, low, high = Range(**task)
        events = read_range(paths, low, high, CANONICAL)
        examples = example_table(
            events, ray.get(history[0]), horizon_us=labels.horizon_us, log_end_us=labels.log_end_us
        )
        uncensored = examples.filter(pc.invert(examples["censored"]))
        kept = _labelled(uncensored, labels)
        path = _write_by_time(kept, edges_us, Path(directory)) if kept.num_rows else None
        users = events["user"].unique()
        sessions = events.group_by(["user", "session"]).aggregate([])
        counts = [events.num_rows, len(users), sessions.num_rows]
        counts += [examples.num_rows - uncensored.num_rows, uncensored.num_rows - kept.num_rows]
        yield pa.table([[path], *([count] for count in counts)], schema=_REPLAYED)


def _labelled(examples: pa.Table, labels: Labels) -> pa.Table:
    hit = overlaps(examples["as_of_us"].to_numpy(), labels.horizon_us, labels.outages)
    return examples.filter(pa.array(~hit)) if hit.any() else examples


def _write_by_time(examples: pa.Table, edges_us: NDArray[np.int64], directory: Path) -> str:
    """Write the examples of some users sorted by the block that they belong to."""
    x = examples["x"].combine_chunks()
    floats = x.flatten()
    raw = pa.py_buffer(floats.to_numpy())
    vectors = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * WIDTH), len(x), [None, raw])
    rows = examples.drop_columns(["x", "censored"])
    rows = rows.append_column("user_hash", pa.array(user_hashes(rows["user"]), pa.uint64())).append_column("x", vectors)
    blocks = np.searchsorted(edges_us, rows["as_of_us"].to_numpy(), side="right").astype(np.int16)
    return write_partition(rows.select(SCHEMA.names), blocks, directory, count=len(edges_us) + 1).path


def _put_in_order(paths: list[str], blocks: int, store: Path) -> tuple[int, ...]:
    """Write the blocks, and tell the rows of each."""
    (store / "blocks").mkdir()
    sizes = dict.fromkeys(range(blocks), 0)
    items = [{"block": block} for block in range(blocks)]
    for row in rows_of_tasks(items, _write_block, paths=paths, store=str(store)):
        sizes[row["block"]] = row["rows"]
    for path in paths:
        Path(path).unlink()
    return tuple(sizes.values())


def _write_block(tasks: pa.Table, *, paths: list[str], store: str) -> Iterator[pa.Table]:
    for block in tasks["block"].to_pylist():
        examples = read_range(paths, block, block + 1, SCHEMA)
        write_block(block_path(Path(store), block), examples)
        yield pa.table({"block": pa.array([block], pa.int64()), "rows": pa.array([examples.num_rows], pa.int64())})


def _write_points(store: Path, sizes: tuple[int, ...]) -> None:
    """Write what the driver keeps of every example; users become the ranks of their hashes."""
    blocks = ExampleStore(store, "", sizes)
    table = blocks.table(["label", "as_of_us", "kind", "user_hash"], slice(None))
    _, codes = np.unique(table["user_hash"].to_numpy(), return_inverse=True)
    points = table.drop_columns(["user_hash"]).append_column("user", pa.array(codes.astype(np.int32)))
    pq.write_table(points.cast(POINTS), store / "points.parquet", compression="none", use_dictionary=False)
