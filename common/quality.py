"""How good probabilities are, judged against what happened.

One implementation takes the place of scikit-learn's because every figure is needed with weights, hundreds of
times over the same rows (users resampled): ranks are found once, and a weighted figure costs one pass. Tests
hold it equal to scikit-learn's. A figure that the rows cannot give (no positives, say) is NaN.

Sums of products are not written as dot products: BLAS would wake its threads for each, which on a busy machine
made all of this ten times slower.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

ECE_BINS = 15
HIGHER_IS_BETTER = {"roc_auc": True, "pr_auc": True, "log_loss": False, "ece": False}
"""The four figures that everything is compared by, and which way each is better."""


@dataclass(frozen=True)
class Quality:
    """Four figures of one set of probabilities: ranking (two), likelihood, calibration."""

    roc_auc: float
    pr_auc: float
    log_loss: float
    ece: float

    def as_dict(self) -> dict[str, float]:
        """The figures by their names."""
        return asdict(self)


class Judged:
    """Probabilities beside their outcomes, sorted once so that weighted figures are cheap.

    Rows of equal probability form one group: no figure depends on the order of rows.
    """

    def __init__(self, y: ArrayLike, p: ArrayLike) -> None:
        """Sort.

        Args:
            y: 0 or 1, (n,).
            p: probabilities of 1, (n,).
        """
        probability = np.asarray(p, dtype=np.float64)
        order = np.argsort(-probability, kind="stable")
        self._order = order
        self._p = probability[order]
        self._y = np.asarray(y, dtype=np.float64)[order]
        self._loss = _losses(self._y, self._p)
        changes = np.flatnonzero(np.diff(self._p)) + 1
        self._starts = np.concatenate([[0], changes]).astype(np.intp) if len(order) else changes

    def quality(self, weight: ArrayLike | None = None) -> Quality:
        """All four figures, each row counted `weight` times (n,); once each where none is given."""
        if not len(self._p):
            return Quality(math.nan, math.nan, math.nan, math.nan)
        w = self._weights(weight)
        mass, positives = self._grouped(w), self._grouped(w * self._y)
        return Quality(
            roc_auc=_roc_auc(mass, positives),
            pr_auc=_pr_auc(mass, positives),
            log_loss=_mean(self._loss, w),
            ece=_ece(mass, positives, self._grouped(w * self._p)),
        )

    def accuracy(self, threshold: float, weight: ArrayLike | None = None) -> float:
        """The share of rows on the right side of `threshold` (a probability at it counts as a yes)."""
        return _mean((self._p >= threshold) == (self._y > 0.5), self._weights(weight))

    def balanced_f1(self, threshold: float, weight: ArrayLike | None = None) -> float:
        """F1 at `threshold` as if both outcomes were equally frequent (1:1).

        It is 2 TPR / (TPR + FPR + 1): always answering yes gives 2/3, a perfect split gives 1.
        """
        w = self._weights(weight)
        yes = self._p >= threshold
        true_rate, false_rate = _mean(yes, w * self._y), _mean(yes, w * (1.0 - self._y))
        return 2.0 * true_rate / (true_rate + false_rate + 1.0)

    def _weights(self, weight: ArrayLike | None) -> Vector:
        if weight is None:
            return np.ones_like(self._p)
        return np.asarray(weight, dtype=np.float64)[self._order]

    def _grouped(self, values: Vector) -> Vector:
        result: Vector = np.add.reduceat(values, self._starts)
        return result


def quality(y: ArrayLike, p: ArrayLike) -> Quality:
    """The four figures of probabilities `p` (n,) against outcomes `y` (n,)."""
    return Judged(y, p).quality()


class UserResamples:
    """Users drawn with replacement, again and again: how far a figure could be off by whom we happened to see.

    Rows of one user are not independent, so users are drawn, not rows. Every iteration gives the same draws,
    which makes differences of two models paired.

    References: Efron & Tibshirani (1993), An introduction to the bootstrap. Field & Welsh (2007), Bootstrapping
    clustered data.
    """

    def __init__(self, user: ArrayLike, *, draws: int = 200, seed: int = 0) -> None:
        """Prepare `draws` draws of the users that the rows (n,) belong to."""
        names, codes = np.unique(np.asarray(user), return_inverse=True)
        self._codes: NDArray[np.intp] = codes.reshape(-1)
        self._users = len(names)
        self.draws = draws
        self._seed = seed

    def weights(self, rows: NDArray[np.bool_] | None = None) -> "list[Vector]":
        """How often each row (of those chosen by a mask) counts in each draw, `draws` times (n,)."""
        generator = np.random.default_rng(self._seed)
        codes = self._codes if rows is None else self._codes[rows]
        counts = (
            np.bincount(generator.integers(0, self._users, self._users), minlength=self._users)
            for _ in range(self.draws if self._users else 0)
        )
        return [drawn[codes].astype(np.float64) for drawn in counts]


def distribution(judged: Judged, weights: "list[Vector]") -> dict[str, Vector]:
    """Every figure in every draw, (draws,) each."""
    drawn = [judged.quality(weight).as_dict() for weight in weights]
    return {name: np.array([figures[name] for figures in drawn]) for name in HIGHER_IS_BETTER}


def interval(values: Vector, *, level: float = 0.95) -> tuple[float, float]:
    """The central interval that holds `level` of the finite values; NaN where there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return math.nan, math.nan
    low, high = np.quantile(finite, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def interval_around(point: float, values: Vector) -> tuple[float, float]:
    """The 95 % interval of a figure that resampling inflates, laid around the figure of the rows themselves.

    The calibration error is one: a resample's noise adds to it, so that its draws can all lie above the figure.
    """
    low, high = interval(values - values[np.isfinite(values)].mean() if np.isfinite(values).any() else values)
    return max(0.0, point + low), point + high


def paired_difference(of: Mapping[str, Vector], to: Mapping[str, Vector], metric: str) -> tuple[float, float]:
    """The 95 % interval of a figure of one model minus the other's, over the same draws."""
    return interval(of[metric] - to[metric])


def _losses(y: Vector, p: Vector) -> Vector:
    tiny = np.finfo(np.float64).eps
    clipped = np.clip(p, tiny, 1.0 - tiny)
    result: Vector = -np.where(y > 0.5, np.log(clipped), np.log1p(-clipped))
    return result


def _mean(values: NDArray[np.float64] | NDArray[np.bool_], w: Vector) -> float:
    total = float(w.sum())
    return float((values * w).sum()) / total if total > 0.0 else math.nan


def _roc_auc(mass: Vector, positives: Vector) -> float:
    """The chance that a positive ranks above a negative, ties half; groups are in falling order."""
    negatives = mass - positives
    all_positive, all_negative = float(positives.sum()), float(negatives.sum())
    if all_positive <= 0.0 or all_negative <= 0.0:
        return math.nan
    below = all_negative - np.cumsum(negatives)
    return float((positives * (below + 0.5 * negatives)).sum()) / (all_positive * all_negative)


def _pr_auc(mass: Vector, positives: Vector) -> float:
    """Average precision: precision at each threshold, weighted by the recall it adds."""
    found, shown = np.cumsum(positives), np.cumsum(mass)
    if found[-1] <= 0.0:
        return math.nan
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0.0)
    return float((precision * positives).sum()) / float(found[-1])


def _ece(mass: Vector, positives: Vector, probability: Vector) -> float:
    """The mean distance between forecast and frequency in bins of equal mass.

    A group's bin is that of its middle, so equal probabilities share one.

    References: Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
    binning; Nixon et al. (2019), Measuring calibration in deep learning (equal-mass bins).
    """
    total = float(mass.sum())
    if total <= 0.0:
        return math.nan
    middle = (np.cumsum(mass) - 0.5 * mass) / total
    bins = np.minimum((middle * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    gap = np.bincount(bins, weights=positives - probability, minlength=ECE_BINS)
    return float(np.abs(gap).sum()) / total
