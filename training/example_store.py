"""Examples on disk: Parquet blocks in order of time, of which any rows can be read without the rest.

    blocks/00000.parquet ...   one row per example, see `SCHEMA`; row groups of `GROUP_ROWS`
    points.parquet             label, as_of_us, kind and user code of every example, read whole
    catalog.parquet            the shop after the log's last day (`common.catalog`)
    manifest.json              what was read and kept; written last

The vector is one binary value of 4 f bytes, float32 as they lie in memory, neither compressed nor encoded: 250,000
vectors of 70 floats were read at 1.6 million a second, as a fixed-size list at 0.4, as 70 columns at 0.4, and
compressed at half of each or less. So an example takes 4 f bytes and some 40 of text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.feature_specs import WIDTH
from common.members import Matrix
from common.replay import POINT_SCHEMA

GROUP_ROWS = 16_384
"""Rows of a row group: what is decoded to read one row, 4.6 MB of 70 floats."""

SCHEMA = pa.schema([*POINT_SCHEMA, ("label", pa.int8()), ("user_hash", pa.uint64()), ("x", pa.binary(4 * WIDTH))])
POINTS = pa.schema([("label", pa.int8()), ("as_of_us", pa.int64()), ("kind", pa.int8()), ("user", pa.int32())])

Rows = slice | NDArray[np.integer[Any]]
"""A slice without a step, or ascending positions."""

_ORDER = [(name, "ascending") for name in ("as_of_us", "user", "session", "product", "kind")]
_TEXTS = ("user", "session", "product", "category", "brand")


@dataclass(frozen=True)
class ExampleStore:
    """A store at `path`, finished or in the making; small, picklable, and opened anew wherever it travels.

    `sizes` are the rows of each block.
    """

    path: Path
    identity: str
    sizes: tuple[int, ...]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first row of each block, and the number of all rows at the end, (blocks + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def x(self, rows: Rows) -> Matrix:
        """The vectors of some rows, float32 (m, f); only the row groups that hold them are read."""
        result = np.empty((_length(rows, len(self)), WIDTH), np.float32)
        at = 0
        for batch, chosen in self._batches(["x"], rows):
            block = _vectors(batch.column(0))[chosen]
            result[at : at + len(block)] = block
            at += len(block)
        return result

    def table(self, columns: Sequence[str], rows: Rows) -> pa.Table:
        """Some columns of `SCHEMA` of some rows."""
        wanted = pa.schema([SCHEMA.field(name) for name in columns])
        parts = [wanted.empty_table()]
        for batch, chosen in self._batches(list(columns), rows):
            part = batch[chosen] if isinstance(chosen, slice) else batch.take(pa.array(chosen))
            parts.append(pa.Table.from_batches([part]).select(list(columns)).cast(wanted))
        return pa.concat_tables(parts)

    def points(self) -> dict[str, NDArray[Any]]:
        """The columns of `POINTS` of every row."""
        table = pq.read_table(self.path / "points.parquet", schema=POINTS)
        return {name: table[name].to_numpy() for name in POINTS.names}

    def labels(self, rows: Rows) -> NDArray[np.int8]:
        """The labels of some rows."""
        column = pq.read_table(self.path / "points.parquet", columns=["label"])["label"].to_numpy()
        result: NDArray[np.int8] = column[rows]
        return result

    def _batches(self, columns: list[str], rows: Rows) -> Iterator[tuple[pa.RecordBatch, Any]]:
        """The row groups that hold any of the rows, and which of theirs."""
        for block, size in enumerate(self.sizes):
            start = int(self.starts[block])
            of_block = _within(rows, start, start + size, len(self))
            chosen = {
                low: _within(of_block, low, min(low + GROUP_ROWS, size), size) for low in range(0, size, GROUP_ROWS)
            }
            wanted = {low: of_group for low, of_group in chosen.items() if _length(of_group, size)}
            if not wanted:
                continue
            with pq.ParquetFile(block_path(self.path, block)) as file:
                for low, of_group in wanted.items():
                    table = file.read_row_group(low // GROUP_ROWS, columns=columns, use_threads=False)
                    yield table.combine_chunks().to_batches()[0], of_group


def block_path(store: Path, number: int) -> Path:
    """The file of a block."""
    return store / "blocks" / f"{number:05d}.parquet"


def write_block(path: Path, examples: pa.Table) -> None:
    """Write a block of rows of `SCHEMA` in the one order of examples: time first, ties broken by content.

    So the order does not depend on how users were hashed.
    """
    pq.write_table(
        examples.select(SCHEMA.names).sort_by(_ORDER),
        path,
        row_group_size=GROUP_ROWS,
        compression={name: "none" if name == "x" else "zstd" for name in SCHEMA.names},
        use_dictionary=list(_TEXTS),
        write_statistics=False,
    )


def _length(rows: Rows, n: int) -> int:
    return len(range(*rows.indices(n))) if isinstance(rows, slice) else len(rows)


def _within(rows: Rows, low: int, high: int, n: int) -> Rows:
    """Those rows of n that lie in low to high - 1, counted from low."""
    if isinstance(rows, slice):
        start, stop, step = rows.indices(n)
        if step != 1:
            raise ValueError("rows are a slice without a step, or ascending positions")
        return slice(min(max(start, low), high) - low, max(min(stop, high), low) - low)
    first, past = np.searchsorted(rows, (low, high))
    return rows[first:past] - low


def _vectors(column: pa.FixedSizeBinaryArray) -> Matrix:
    """The vectors of a column, (k, f), without a copy."""
    width = column.type.byte_width // 4
    flat = np.frombuffer(column.buffers()[1], np.float32, len(column) * width, column.offset * 4 * width)
    return flat.reshape(len(column), width)
