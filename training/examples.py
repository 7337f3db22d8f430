"""The examples of a log: what the driver holds of them, and where the rest is read from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.catalog import Catalog
from common.ensemble import Vector
from common.members import Matrix
from training.example_shelf import Lease, manifest_of
from training.example_store import ExampleStore, Rows
from training.folds import StoredFold
from training.outages import Outage

BLOCK_ROWS = 65_536
"""Rows whose vectors are read at once where all of them are predicted, 18 MB of 70 floats."""


@dataclass(frozen=True)
class Examples:
    """The labelled decision points of a log, in order of time.

    `y` int8 (n,), 1 where the user bought · `as_of_us` int64 (n,) · `kind` int8 (n,), 0 view and 1 cart · `user` int32
    (n,), a number for each user, the same for the same users however the log was read. Vectors and texts stay on disk.
    `censored` points have a horizon that reaches past the end of the log and `unlabelled` ones one that meets an
    outage: they are not among the n. `counts` are those of the log: users, sessions, products, brands, categories.
    """

    store: ExampleStore
    y: NDArray[np.int8]
    as_of_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    user: NDArray[np.int32]
    censored: int
    unlabelled: int
    outages: Sequence[Outage]
    counts: dict[str, int]
    catalog: Catalog
    lease: Lease

    def __len__(self) -> int:
        return len(self.y)

    def x(self, rows: Rows) -> Matrix:
        """The vectors of some rows, float32 (m, f)."""
        return self.store.x(rows)

    def table(self, columns: Sequence[str], rows: Rows) -> pa.Table:
        """Some of user, session, product, category, brand, price, as_of_us, kind and label of some rows."""
        return self.store.table(columns, rows)

    def fold(self, fit_rows: Rows, valid_rows: Rows, weight: Vector | None = None) -> StoredFold:
        """Rows to fit (m of them, with their weights) and to stop early by, as a worker loads them."""
        return StoredFold(self.store, fit_rows, valid_rows, weight)

    def blocks(self, rows: slice = slice(None)) -> Iterator[slice]:
        """Slices that make up `rows` and are each small enough to have its vectors in memory."""
        start, stop, _ = rows.indices(len(self))
        return (slice(low, min(low + BLOCK_ROWS, stop)) for low in range(start, stop, BLOCK_ROWS))


def open_examples(store: Path) -> Examples:
    """The examples of a finished store."""
    lease = Lease(store)
    manifest: dict[str, Any] = manifest_of(store) or {}
    opened = ExampleStore(store, store.name, tuple(manifest["sizes"]))
    points = opened.points()
    return Examples(
        store=opened,
        y=points["label"],
        as_of_us=points["as_of_us"],
        kind=points["kind"],
        user=points["user"],
        censored=manifest["censored"],
        unlabelled=manifest["unlabelled"],
        outages=[Outage(*outage) for outage in manifest["outages"]],
        counts=manifest["counts"],
        catalog=Catalog.read(store / "catalog.parquet"),
        lease=lease,
    )
