"""The curves of a report: computed on every row, then thinned out to what a screen can show."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from common.ensemble import Vector
from common.quality import ECE_BINS

POINTS = 160
"""Points of a thinned curve: more are not told apart on 400 pixels."""


class Curve(NamedTuple):
    """A line: x and y (k,), and the probability threshold at each of its points."""

    x: Vector
    y: Vector
    threshold: Vector


class Ranking:
    """Rows in falling order of probability, equal ones as one step: what ROC, PR and lift are read from."""

    def __init__(self, y: NDArray[np.int8], p: Vector) -> None:
        """Sort outcomes y (n,) by probabilities p (n,)."""
        order = np.argsort(-p, kind="stable")
        falling = p[order]
        last = np.concatenate([falling[:-1] != falling[1:], [True]]) if len(p) else np.zeros(0, dtype=bool)
        self.bought = np.cumsum(y[order] > 0)[last].astype(np.float64)
        self.shown = (np.flatnonzero(last) + 1).astype(np.float64)
        self.threshold = falling[last]
        self.has_both = len(y) > 0 and 0 < self.bought[-1] < self.shown[-1]

    def roc(self) -> Curve:
        """Share of buyers found over share of non-buyers disturbed.

        References: Fawcett (2006), An introduction to ROC analysis.
        """
        missed = self.shown - self.bought
        x = np.concatenate([[0.0], missed / missed[-1]])
        y = np.concatenate([[0.0], self.bought / self.bought[-1]])
        return thinned(Curve(x, y, np.concatenate([[1.0], self.threshold])))

    def precision_recall(self) -> Curve:
        """Share of buyers among those shown over share of buyers found.

        References: Davis & Goadrich (2006), The relationship between precision-recall and ROC curves.
        """
        return thinned(Curve(self.bought / self.bought[-1], self.bought / self.shown, self.threshold))

    def lift(self) -> Curve:
        """How many times the average rate the top share of points buys, over that share (from 0.5 % on)."""
        share = self.shown / self.shown[-1]
        lift = (self.bought / self.shown) / (self.bought[-1] / self.shown[-1])
        kept = (share >= 0.005) & (self.shown >= 20)
        kept[-1] = True
        return thinned(Curve(share[kept], lift[kept], self.threshold[kept]))


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """The curve at no more than about 2 * `points` of its points: evenly apart along x and along y, ends kept."""
    if len(curve.x) <= 2 * points:
        return curve
    steps = np.linspace(0.0, 1.0, points)
    chosen = [np.searchsorted(travelled, steps * travelled[-1]) for travelled in map(_travelled, (curve.x, curve.y))]
    rows = np.unique(np.clip(np.concatenate([*chosen, [0, len(curve.x) - 1]]), 0, len(curve.x) - 1))
    return Curve(curve.x[rows], curve.y[rows], curve.threshold[rows])


def _travelled(values: Vector) -> Vector:
    result: Vector = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(values)))])
    return result


class Reliability(NamedTuple):
    """Bins of equal mass, (b,) each: mean forecast, observed frequency, its 95 % interval, and rows."""

    forecast: Vector
    observed: Vector
    low: Vector
    high: Vector
    rows: NDArray[np.intp]


def reliability(y: NDArray[np.int8], p: Vector, user: NDArray[np.intp], bins: int = ECE_BINS) -> Reliability:
    """Forecast against frequency in bins of equal mass; intervals allow for rows of one user not being independent.

    The interval is Wilson's with the effective number of rows: that of independent rows which would have the variance
    that the rows, summed by user, show.

    Args:
        y: outcomes (n,).
        p: probabilities (n,).
        user: a code for whose row it is (n,).
        bins: at most so many; fewer where probabilities are equal.

    References: Wilson (1927), Probable inference; Korn & Graubard (1998), Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data.
    """
    order = np.argsort(p, kind="stable")
    rank = np.searchsorted(p[order], p, side="left") + np.searchsorted(p[order], p, side="right")
    bin_of = np.minimum(rank * bins // (2 * max(len(p), 1)), bins - 1)
    _, bin_of = np.unique(bin_of, return_inverse=True)
    rows = np.bincount(bin_of)
    observed = np.bincount(bin_of, weights=y) / rows
    forecast = np.bincount(bin_of, weights=p) / rows
    low, high = wilson(observed, _effective_rows(y - observed[bin_of], bin_of, user, observed, rows))
    return Reliability(forecast, observed, low, high, rows)


def _effective_rows(
    residual: Vector, bin_of: NDArray[np.intp], user: NDArray[np.intp], observed: Vector, rows: NDArray[np.intp]
) -> Vector:
    width = int(user.max()) + 1
    pairs, code = np.unique(bin_of * width + user, return_inverse=True)
    squared = np.bincount(code, weights=residual) ** 2
    variance = np.bincount(pairs // width, weights=squared, minlength=len(rows)) / rows**2
    binomial = observed * (1.0 - observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(variance > 0.0, binomial / variance, rows)
    result: Vector = np.clip(effective, 1.0, rows)
    return result


def wilson(share: Vector, rows: Vector, level: float = 0.95) -> tuple[Vector, Vector]:
    """Wilson's interval of shares (k,) observed on so many rows (k,).

    References: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    z = float(ndtri(0.5 + level / 2.0))
    centre = (share + z**2 / (2.0 * rows)) / (1.0 + z**2 / rows)
    half = z / (1.0 + z**2 / rows) * np.sqrt(share * (1.0 - share) / rows + z**2 / (4.0 * rows**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
