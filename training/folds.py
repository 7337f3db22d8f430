"""Where a fit gets its rows: named by the driver, loaded by the worker that fits."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.members import Fold


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
