"""The base models, each behind one adapter that alone imports its library.

An adapter is a module of this package with five functions and what its search starts from:

    fit(fold: Fold, params, *, seed, threads, rounds=None, on_round=None) -> Fitted
    staged(model, X, rounds, *, threads) -> margins (n,)   of a fitted model's first rounds
    save(model, path)                       in the library's native format, never a pickle
    load(path, *, threads) -> Margin        reads that format; the result maps X (n, f) float32 to margins (n,)
    search_space(trial) -> params           what an Optuna-like `trial` may suggest
    DEFAULTS                                what rolling time splits of a real shop's log liked: a search's first trial
    CHEAPEST                                the point of that space that is fastest to serve, for latency budgets

A booster fits until its loss on the fold's valid part stops falling; given `rounds`, it fits exactly so many on all
that it may learn from, looks at no valid part (which may be empty) and tells `on_round` nothing. A forest always has
all its trees. Weights count by their ratios alone: twice the weight on every row is the same fit.

`adapter(kind)` loads one by name, so that a replica that serves XGBoost never imports CatBoost.
On one thread, a fit is the same for the same fold, params and seed, bit for bit.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from common.bundle import MEMBER_KINDS
from common.errors import ConfigError

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

Margin = Callable[[Matrix], Vector]
"""Raw scores in log-odds, float64 (n,), of vectors float32 (n, f)."""

OnRound = Callable[[int, float], bool]
"""Told (rounds so far, validation log loss); answers True to stop the fit there (pruning)."""

MAX_ROUNDS = 600
"""The most boosting rounds that a search tries: what a row costs to serve and to explain grows with them."""

PATIENCE_ROUNDS = 30
"""Rounds without a better validation log loss before a booster stops."""


@dataclass(frozen=True)
class Fold:
    """What one fit sees: the rows to learn from and how much each counts, and later rows to stop early by."""

    X: Matrix
    y: NDArray[np.int8]
    X_valid: Matrix
    y_valid: NDArray[np.int8]
    weight: Vector | None = None

    @property
    def relative_weight(self) -> Vector | None:
        """The weights with mean 1, so that what is counted in rows (smoothing, a penalty) keeps its meaning."""
        return None if self.weight is None else self.weight / self.weight.mean()


@dataclass(frozen=True)
class Fitted:
    """A fitted base model in its library's own class, its margin, and the rounds (or trees) it kept."""

    model: Any
    margin: Margin
    rounds: int


class Trial(Protocol):
    """The part of an Optuna trial that a search space needs."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...


class Adapter(Protocol):
    """What every adapter module offers."""

    DEFAULTS: Mapping[str, float]
    CHEAPEST: Mapping[str, float]

    def fit(
        self,
        fold: Fold,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        rounds: int | None = None,
        on_round: OnRound | None = None,
    ) -> Fitted: ...

    def staged(self, model: Any, X: Matrix, rounds: int, *, threads: int) -> Vector: ...

    def save(self, model: Any, path: Path) -> None: ...

    def load(self, path: Path, *, threads: int) -> Margin: ...

    def search_space(self, trial: Trial) -> dict[str, Any]: ...


def adapter(kind: str) -> Adapter:
    """The adapter of one member kind; imports that library and no other.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in MEMBER_KINDS:
        raise ConfigError(f"no member kind {kind!r}", remedy=f"Known kinds: {', '.join(MEMBER_KINDS)}")
    return cast(Adapter, importlib.import_module(f"common.members.{kind}_member"))
