"""Stretches of a log in which purchases are missing although shoppers were busy: the feed was out, not the demand.

A decision point whose horizon reaches into one looks like "did not buy" whatever the shopper did. Such points have
no label, as those whose horizon reaches past the end of the log.

Of 4,500 drawn logs of 30 days without an outage (0.6 to 1,700 orders a day, whose daily rates scatter by up to 60 %)
four were said to have one, all with 14 orders a day that scatter by 60 %. Twelve hours at 170 orders a day and more
were found in 100 of 100 logs, where daily rates scattered by 30 % in 94; at 14 orders a day hardly ever.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.clock import DAY_US, HOUR_US
from training.activity import BIN_US, Activity

MAX_CHANCE = 1e-3
"""A stretch is an outage where chance would make one like it in fewer than one of a thousand such logs."""

MIN_OUTAGE_US = 2 * HOUR_US
"""A shorter stretch spoils so few labels that a false alarm costs more than it."""

BLOCK_US = 6 * HOUR_US
"""How orders scatter about what is expected is measured on blocks of this length."""

PRIOR_ORDERS = 10.0
"""Expected orders with which an hour of the day starts at the rate of the whole day."""

PRIOR_ORDERS_OF_WEEKDAY = 30.0
"""Expected orders with which a weekday starts at the rate of all: a log has few of each, and days differ by chance."""

FITTED = 10
"""Rates that a block's expectation depends on: four parts of the day and seven weekdays, one of them given."""

HOURS, WEEKDAYS = 24, 7

Floats = NDArray[np.float64]


class Outage(NamedTuple):
    """A stretch [start, end) without purchases, and the orders that were to be expected in it."""

    start_us: int
    end_us: int
    expected_orders: float


def find_outages(activity: Activity) -> list[Outage]:
    """The stretches without a single order that chance does not explain, in order of time.

    Between two orders, before the first and after the last lie n stretches of bins without any. Their expected orders
    are L = sum over bins of views * v[hour] * w[weekday], with v the orders per view in that hour of the day and w
    those on that weekday over what v alone gives, learned from the k orders of the log. Were orders a Poisson process,
    the chance of the stretch would be (1 + L / k) ** -k, nearly exp(-L) where k is large; they scatter more, so its
    logarithm is divided by f >= 1, the dispersion of orders about what is expected. A stretch is an outage where n
    times that chance is below `MAX_CHANCE`, and where the same holds of carts in the place of views, if the log has
    any: so neither a crawler's views nor a broken cart button raises the alarm.

    The longest stretch (by L) is judged first, by rates and dispersion of all other bins; if it is an outage, it is
    left out when the next is judged.

    References: Gelman et al. (2013), Bayesian data analysis, 2.6 (the predictive chance of a Poisson count whose rate
    was learned from k events); Wedderburn (1974), Quasi-likelihood functions (f = Pearson's statistic over its degrees
    of freedom); Dunn (1961), Multiple comparisons among means (the factor n).
    """
    if not activity.orders.any():
        return []
    log = _Dense(activity)
    starts, ends = log.stretches()
    enough = math.log((np.count_nonzero(activity.orders) + 1) / MAX_CHANCE)
    usual = np.ones(log.length, dtype=bool)
    found: list[Outage] = []
    while (longest := log.longest(starts, ends, usual)) is not None:
        start, end = longest
        usual[start:end] = False
        told, expected = log.judged(start, end, usual)
        if told <= enough:
            break
        found.append(Outage((log.first + start) * BIN_US, (log.first + end) * BIN_US, expected))
    return sorted(found)


def overlaps(as_of_us: NDArray[np.int64], horizon_us: int, outages: Sequence[Outage]) -> NDArray[np.bool_]:
    """Whether the horizon (as_of, as_of + horizon] of each point reaches into an outage, (n,)."""
    hit = np.zeros(len(as_of_us), dtype=bool)
    for outage in outages:
        hit |= (as_of_us < outage.end_us) & (as_of_us + horizon_us >= outage.start_us)
    return hit


class _Dense:
    """Every bin of a log from its first to its last, also the empty ones."""

    def __init__(self, activity: Activity) -> None:
        self.first = int(activity.number[0])
        self.length = int(activity.number[-1]) - self.first + 1
        at = activity.number - self.first
        views, carts, self.orders = (np.zeros(self.length) for _ in range(3))
        views[at], carts[at], self.orders[at] = activity.views, activity.carts, activity.orders
        self.shoppers = [column for column in (views, carts) if column.any()]
        bins = np.arange(self.length) + self.first
        self.hour = (bins * BIN_US // HOUR_US % HOURS).astype(np.intp)
        self.weekday = (bins * BIN_US // DAY_US % WEEKDAYS).astype(np.intp)
        self.block = (bins * BIN_US // BLOCK_US - self.first * BIN_US // BLOCK_US).astype(np.intp)

    def stretches(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the stretches without an order that are long enough begin, and where they end."""
        bought = np.flatnonzero(self.orders)
        starts, ends = np.concatenate([[0], bought + 1]), np.concatenate([bought, [self.length]])
        long = (ends - starts) * BIN_US >= MIN_OUTAGE_US
        return starts[long], ends[long]

    def longest(
        self, starts: NDArray[np.intp], ends: NDArray[np.intp], usual: NDArray[np.bool_]
    ) -> tuple[int, int] | None:
        """The stretch in which most orders were to be expected, of those that are still usual."""
        if not len(starts) or not self.shoppers:
            return None
        sums = np.concatenate([[0.0], np.cumsum(self._expected(self.shoppers[0], usual) * usual)])
        at = int(np.argmax(sums[ends] - sums[starts]))
        return (int(starts[at]), int(ends[at])) if sums[ends[at]] > sums[starts[at]] else None

    def judged(self, start: int, end: int, usual: NDArray[np.bool_]) -> tuple[float, float]:
        """How unlikely a stretch is (minus the logarithm of its chance) and its L, the lower of views' and carts'."""
        told, orders = [], []
        k = float(self.orders.sum())
        for shoppers in self.shoppers:
            expected = self._expected(shoppers, usual)
            orders.append(float(expected[start:end].sum()))
            told.append(k * math.log1p(orders[-1] / k) / self._dispersion(expected, usual))
        return min(told), min(orders)

    def _expected(self, shoppers: Floats, usual: NDArray[np.bool_]) -> Floats:
        """The orders that each bin would usually have, (b,)."""
        seen = np.bincount(self.hour, shoppers * usual, HOURS)
        ordered = np.bincount(self.hour, self.orders * usual, HOURS)
        if not seen.sum() or not ordered.sum():
            return np.zeros(self.length)
        rate = ordered.sum() / seen.sum()
        by_hour = shoppers * ((ordered + PRIOR_ORDERS) / (seen + PRIOR_ORDERS / rate))[self.hour]
        meant, ordered = (np.bincount(self.weekday, column * usual, WEEKDAYS) for column in (by_hour, self.orders))
        of_weekday = (ordered + PRIOR_ORDERS_OF_WEEKDAY) / (meant + PRIOR_ORDERS_OF_WEEKDAY)
        result: Floats = by_hour * of_weekday[self.weekday]
        return result

    def _dispersion(self, expected: Floats, usual: NDArray[np.bool_]) -> float:
        """The variance of the orders of a block over their expectation, at least 1."""
        mean, orders = (np.bincount(self.block, column * usual) for column in (expected, self.orders))
        told = mean >= 1.0
        pearson = float(np.sum((orders[told] - mean[told]) ** 2 / mean[told]))
        return max(1.0, pearson / max(1, int(told.sum()) - FITTED))
