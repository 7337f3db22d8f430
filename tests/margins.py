"""A problem with a known probability, small enough to fit in a second: for tests of what learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.members import Fold


@dataclass(frozen=True)
class Problem:
    """Rows in order of time with their true probability; the first 60 % are for fitting, 20 % for stopping."""

    X: NDArray[np.float32]
    y: NDArray[np.int8]
    p: NDArray[np.float64]

    @property
    def fold(self) -> Fold:
        fit, valid = slice(0, len(self.y) * 6 // 10), slice(len(self.y) * 6 // 10, len(self.y) * 8 // 10)
        return Fold(self.X[fit], self.y[fit], self.X[valid], self.y[valid])

    @property
    def later(self) -> slice:
        return slice(len(self.y) * 8 // 10, len(self.y))


def problem(rows: int = 4_000, features: int = 8, *, seed: int = 3) -> Problem:
    """Purchases that depend on three columns: one by a step, one by a slope, one by a product."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32)
    X[:, 1] = np.floor(np.exp(X[:, 1]))
    logit = -1.5 + 1.2 * (X[:, 0] > 0.5) - 0.5 * X[:, 1] + 0.8 * X[:, 2] * (X[:, 0] > 0)
    p = 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
    return Problem(X, (rng.random(rows) < p).astype(np.int8), p)


def log_loss_of(margin: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The mean log loss of margins in log-odds."""
    return float(np.mean(np.logaddexp(0.0, margin) - margin * y))
