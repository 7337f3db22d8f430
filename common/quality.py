"""How good probabilities are, judged against what happened.

One implementation takes the place of scikit-learn's because every figure is needed with weights, hundreds of
times over the same rows (users resampled): ranks are found once, and a weighted figure costs one pass. Tests
hold it equal to scikit-learn's. A figure that the rows cannot give (no positives, say) is NaN.

Sums of products are no dot products: BLAS would wake its threads for each, ten times slower on a busy machine.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

ECE_BINS = 15
COARSE_GROUPS = 16_384
BALANCED_F1 = "balanced_f1"
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

    def __init__(self, y: ArrayLike, p: ArrayLike, *, max_groups: int | None = None) -> None:
        """Sort.

        Args:
            y: 0 or 1, (n,).
            p: probabilities of 1, (n,).
            max_groups: where there are more different probabilities, neighbours share groups of equal size.
        """
        self._p = np.asarray(p, dtype=np.float64)
        self._y = np.asarray(y, dtype=np.float64)
        self._bought = np.flatnonzero(self._y > 0.5)
        self._loss = log_losses(self._y, self._p)
        self._group = _groups(self._p, max_groups)
        size = np.bincount(self._group)
        self._group_p = np.bincount(self._group, weights=self._p) / size
        self._groups = len(size)

    def coarse(self) -> "Judged":
        """The same in at most `COARSE_GROUPS` groups: cheap enough to be weighted a thousand times."""
        return self if self._groups <= COARSE_GROUPS else Judged(self._y, self._p, max_groups=COARSE_GROUPS)

    def quality(self, weight: ArrayLike | None = None) -> Quality:
        """All four figures, each row counted `weight` times (n,); once each where none is given."""
        if not len(self._p):
            return Quality(math.nan, math.nan, math.nan, math.nan)
        w = self._weights(weight)
        mass = _totals(w, self._group, self._groups)
        positives = _totals(w[self._bought], self._group[self._bought], self._groups)
        return Quality(
            roc_auc=_roc_auc(mass, positives),
            pr_auc=_pr_auc(mass, positives),
            log_loss=_mean(self._loss, w),
            ece=_ece(mass, positives, mass * self._group_p),
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

    def ece_by_chance(self, user: ArrayLike) -> tuple[float, float]:
        """The calibration error that perfect probabilities would show: expected, and hardly (1 in 40) exceeded.

        The gap of a bin is then normal around 0. Its variance is that of its outcomes, inflated by how much more
        alike those of one user are; the error is the mean size of the gaps.

        Args:
            user: whose row each is (n,).
        """
        n = len(self._p)
        if not n:
            return math.nan, math.nan
        bins = _bins(np.bincount(self._group, minlength=self._groups).astype(np.float64))[self._group]
        alike = self._alikeness(_codes(user) * ECE_BINS + bins)
        variance = alike * _totals(self._p * (1.0 - self._p), bins, ECE_BINS)
        expected = float(np.sqrt(variance * 2.0 / math.pi).sum()) / n
        return expected, expected + 1.96 * math.sqrt(float(variance.sum()) * (1.0 - 2.0 / math.pi)) / n

    def _alikeness(self, cell: NDArray[np.intp]) -> float:
        """By what the variance of a sum is larger than if the rows of a cell (n,) were independent; at least 1."""
        rest = self._y - self._p
        together = float(np.square(np.bincount(cell, weights=rest)).sum())
        return max(1.0, together / max(float(np.square(rest).sum()), np.finfo(np.float64).tiny))

    def _weights(self, weight: ArrayLike | None) -> Vector:
        return np.ones_like(self._p) if weight is None else np.asarray(weight, dtype=np.float64)


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
        self._codes = _codes(user)
        self._users = int(self._codes.max()) + 1 if len(self._codes) else 0
        self.draws = draws
        self._seed = seed

    def weights(self, rows: NDArray[np.bool_] | None = None) -> list[Vector]:
        """How often each row (of those chosen by a mask) counts in each draw, `draws` times (n,)."""
        return list(self.each(rows))

    def each(self, rows: NDArray[np.bool_] | None = None) -> Iterator[Vector]:
        """The same, one draw at a time."""
        codes = self._codes if rows is None else self._codes[rows]
        return (counts[codes] for counts in self._counts())

    def sums(self, values: Vector) -> Vector:
        """The sums (k, draws) of values (k, n) over the rows of each draw."""
        of_user = np.stack([np.bincount(self._codes, weights=row, minlength=self._users) for row in values])
        drawn = [np.einsum("ku,u->k", of_user, counts) for counts in self._counts()]
        return np.stack(drawn, axis=1) if drawn else np.zeros((len(values), 0))

    def _counts(self) -> Iterator[Vector]:
        generator = np.random.default_rng(self._seed)
        for _ in range(self.draws if self._users else 0):
            drawn = np.bincount(generator.integers(0, self._users, self._users), minlength=self._users)
            yield drawn.astype(np.float64)


def distributions(
    judged: Mapping[str, Judged],
    resamples: UserResamples,
    rows: NDArray[np.bool_] | None = None,
    *,
    cuts: Mapping[str, float] | None = None,
) -> dict[str, dict[str, Vector]]:
    """Every figure of several models in every draw, (draws,) each; paired, since all share the draws.

    Ranks are coarse here; what this moves a figure by is put back, so that draws lie around the exact figure.

    Args:
        judged: the models on the same rows.
        resamples: of the users.
        rows: which rows of the resamples these are, a mask.
        cuts: the thresholds of those models whose balanced F1 is wanted.
    """
    coarse = {name: of_model.coarse() for name, of_model in judged.items()}
    cut = cuts or {}
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in judged}
    for weight in resamples.each(rows):
        for name, of_model in coarse.items():
            f1 = {BALANCED_F1: of_model.balanced_f1(cut[name], weight)} if name in cut else {}
            drawn[name].append(of_model.quality(weight).as_dict() | f1)
    result = {}
    for name, exact in judged.items():
        shift, metrics = _shift(exact, coarse[name]), [*HIGHER_IS_BETTER, *([BALANCED_F1] if name in cut else [])]
        result[name] = {m: np.array([of[m] for of in drawn[name]]) + shift.get(m, 0.0) for m in metrics}
    return result


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


def log_losses(y: ArrayLike, p: ArrayLike) -> Vector:
    """The log loss of each row (n,)."""
    tiny = np.finfo(np.float64).eps
    clipped = np.clip(np.asarray(p, dtype=np.float64), tiny, 1.0 - tiny)
    return np.asarray(-np.where(np.asarray(y) > 0.5, np.log(clipped), np.log1p(-clipped)), dtype=np.float64)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_], w: Vector) -> float:
    total = float(w.sum())
    return float(np.einsum("i,i->", values, w)) / total if total > 0.0 else math.nan


def _shift(exact: Judged, coarse: Judged) -> dict[str, float]:
    """What coarse ranks take from each figure."""
    if exact is coarse:
        return {}
    without = coarse.quality().as_dict()
    return {name: value - without[name] for name, value in exact.quality().as_dict().items()}


def _groups(p: Vector, max_groups: int | None) -> NDArray[np.intp]:
    """The group (n,) of each row, 0 for the highest probability; equal probabilities share one."""
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    number = np.zeros(len(p), dtype=np.intp)
    number[1:] = np.cumsum(falling[1:] != falling[:-1])
    if max_groups is not None and len(p) and number[-1] >= max_groups:
        size = np.bincount(number)
        middle = (np.cumsum(size) - 0.5 * size) / len(p)
        merged = np.unique((middle * max_groups).astype(np.intp), return_inverse=True)[1]
        number = merged.reshape(-1)[number]
    group = np.empty(len(p), dtype=np.intp)
    group[order] = number
    return group


def _totals(values: Vector, group: NDArray[np.intp], groups: int) -> Vector:
    return np.bincount(group, weights=values, minlength=groups).astype(np.float64, copy=False)


def _codes(user: ArrayLike) -> NDArray[np.intp]:
    return np.unique(np.asarray(user), return_inverse=True)[1].reshape(-1)


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
    return float(np.abs(_totals(positives - probability, _bins(mass), ECE_BINS)).sum()) / total


def _bins(mass: Vector) -> NDArray[np.intp]:
    """The bin of equal mass of each group."""
    middle = (np.cumsum(mass) - 0.5 * mass) / float(mass.sum())
    return np.minimum((middle * ECE_BINS).astype(np.intp), ECE_BINS - 1)
