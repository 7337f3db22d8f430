"""Where a fit gets its rows: named by the driver, loaded by the worker that fits."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.ensemble import Vector
from common.members import Fold
from training.example_store import ExampleStore, Rows


class FoldSource(Protocol):
    """What travels to a worker instead of the rows themselves; picklable."""

    @property
    def identity(self) -> str:
        """The same for the same rows, labels and weights: what a search may be resumed by."""

    def load(self) -> Fold:
        """The rows, in the worker."""


@dataclass(frozen=True)
class FoldInMemory:
    """Rows that are small enough to travel along."""

    fold: Fold

    @property
    def identity(self) -> str:
        """The hash of the arrays."""
        digest = hashlib.blake2b(digest_size=16)
        weight = np.ones(0) if self.fold.weight is None else self.fold.weight
        for array in (self.fold.X, self.fold.y, self.fold.X_valid, self.fold.y_valid, weight):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def load(self) -> Fold:
        """The rows as they came."""
        return self.fold


@dataclass(frozen=True)
class StoredFold:
    """Rows of a store of examples; `weight` float64 (m,) is of the m rows to fit."""

    store: ExampleStore
    fit_rows: Rows
    valid_rows: Rows
    weight: Vector | None = None

    @property
    def identity(self) -> str:
        """The hash of the store's identity, of which rows, and of the weights."""
        digest = hashlib.blake2b(self.store.identity.encode(), digest_size=16)
        for rows in (self.fit_rows, self.valid_rows):
            named = repr(rows.indices(len(self.store))) if isinstance(rows, slice) else rows.astype(np.int64).tobytes()
            digest.update(named.encode() if isinstance(named, str) else named)
            digest.update(b"|")
        if self.weight is not None:
            digest.update(self.weight.tobytes())
        return digest.hexdigest()

    def load(self) -> Fold:
        """The rows, read from the store's blocks into arrays of their final size."""
        store = self.store
        return Fold(
            X=store.x(self.fit_rows),
            y=store.labels(self.fit_rows),
            X_valid=store.x(self.valid_rows),
            y_valid=store.labels(self.valid_rows),
            weight=self.weight,
        )
