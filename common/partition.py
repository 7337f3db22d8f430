"""Rows sorted by bucket into files from which any range of buckets is cheap to read: a shuffle through the disk.

A log comes in order of time and is needed user by user. Each task that reads a part of it sorts the rows it
holds by bucket and writes them to one file; a later task maps the files into memory and slices its own buckets
out of all of them. So no process ever holds more than its own rows, however long the log is.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BUCKETS = 4_096
"""Buckets of users: more than any range needs, so that ranges of equal work can be cut afterwards."""

FILE_ROWS = 500_000
"""About how many rows a task holds before it writes them: some 60 MB of events."""

_BUCKET = "bucket"

Buckets = NDArray[np.int16]
Sizes = NDArray[np.int64]
"""Rows in each bucket."""


class Partition(NamedTuple):
    """A file of rows sorted by bucket."""

    path: str
    sizes: Sizes


class Range(NamedTuple):
    """The buckets `low` to `high - 1`, the share of one task; `number` names its output."""

    number: int
    low: int
    high: int


def buckets_of(users: pa.ChunkedArray) -> Buckets:
    """The bucket of every row: the same for the same user id in every process and on every machine."""
    encoded = pa.concat_arrays(users.chunks).dictionary_encode() if users.num_chunks else pa.array([], users.type)
    if not len(encoded):
        return np.zeros(0, np.int16)
    names = encoded.dictionary.to_pylist()
    of_name = np.fromiter((zlib.crc32(name.encode()) % BUCKETS for name in names), np.int16, len(names))
    result: Buckets = of_name[encoded.indices.to_numpy()]
    return result


def write_partition(table: pa.Table, buckets: Buckets, directory: Path, *, count: int = BUCKETS) -> Partition:
    """Write rows sorted by their buckets, each in 0 to `count` - 1."""
    order = np.argsort(buckets, kind="stable")
    ordered = table.combine_chunks().append_column(_BUCKET, pa.array(buckets)).take(order).combine_chunks()
    path = directory / f"{uuid4().hex}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, ordered.schema) as writer:
        writer.write_table(ordered)
    return Partition(str(path), np.bincount(buckets, minlength=count).astype(np.int64))


def gathered(tables: Iterable[pa.Table], rows: int = FILE_ROWS) -> Iterator[pa.Table]:
    """The same rows in tables of at least `rows` rows, the last one excepted."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        if count >= rows:
            yield pa.concat_tables(held)
            held, count = [], 0
    if count:
        yield pa.concat_tables(held)


def read_range(paths: Sequence[str], low: int, high: int, schema: pa.Schema) -> pa.Table:
    """The rows of the buckets `low` to `high - 1` in all files; only their pages are read."""
    slices = [schema.empty_table()]
    for path in paths:
        with pa.memory_map(path) as source:
            file = pa.ipc.open_file(source)
            for index in range(file.num_record_batches):
                batch = file.get_batch(index)
                start, end = np.searchsorted(batch.column(_BUCKET).to_numpy(), (low, high))
                if end > start:
                    rows = batch.slice(start, end - start).select(schema.names)
                    slices.append(pa.Table.from_batches([rows]).cast(schema))
    return pa.concat_tables(slices)


def ranges_of(sizes: Sizes, rows: int) -> list[Range]:
    """Consecutive ranges that cover every bucket with rows, each of about `rows` rows or of one bucket."""
    ranges: list[Range] = []
    low = held = 0
    for bucket, size in enumerate(sizes.tolist()):
        if held and held + size > rows:
            ranges.append(Range(len(ranges), low, bucket))
            low, held = bucket, 0
        held += size
    if held:
        ranges.append(Range(len(ranges), low, len(sizes)))
    return ranges
