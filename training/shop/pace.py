"""When things happen: arrivals over hours and weekdays, returns, and the gaps between a visit's events.

Gaps are log-normal with the location and spread measured in the real log for each pair of event kinds. All
clocks are integer microseconds that fall on whole milliseconds, as in the real log.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.clock import DAY_US, HOUR_US, SECOND_US

Times = NDArray[np.int64]

# fmt: off
HOUR_SHARES = np.array([42, 37, 39, 39, 36, 36, 30, 26, 23, 22, 18, 22,
                        27, 37, 46, 55, 57, 61, 64, 60, 63, 58, 56, 46])
RETURN_HOUR_SHARES = np.array([40, 34, 33, 30, 30, 31, 20, 19, 13, 10, 12, 13,
                               20, 34, 51, 67, 69, 76, 77, 67, 75, 67, 60, 54])
# fmt: on
"""How first and later sessions spread over the hours of the day, UTC; in proportion."""

WEEKDAY_SHARES = np.array([0.149, 0.164, 0.179, 0.173, 0.166, 0.090, 0.079])
_THURSDAY = 3  # 1970-01-01, with Monday as 0

MAX_GAP_S = 1500.0
MAX_BLOCK_S = 1800.0
VISIT_LIMIT_US = 2 * HOUR_US
"""No new product is met later than this in a session; with the limits on gaps, checkouts and calls it keeps every
purchase after a call within 24 h of the decision points that it answers."""
MAX_CHECKOUT_S = 3600.0
MAX_CALL_S = 14 * 3600.0


class Gap(NamedTuple):
    """A log-normal duration: mean and standard deviation of the logarithm of seconds."""

    log_mean: float
    log_sd: float

    def drawn(self, n: int, rng: Generator, *, limit_s: float = MAX_GAP_S) -> NDArray[np.float64]:
        """Seconds, (n,), at least a millisecond."""
        return np.clip(np.exp(self.log_mean + self.log_sd * rng.standard_normal(n)), 1e-3, limit_s)


SAME_PRODUCT = Gap(0.45, 2.05)
NEXT_PRODUCT = Gap(3.45, 1.42)
AFTER_CART = Gap(3.90, 1.10)
TO_CART = Gap(1.88, 1.03)
CART_AGAIN = Gap(1.25, 1.54)
TO_REMOVAL = Gap(3.35, 1.45)
NEXT_REMOVAL = Gap(2.27, 1.50)
CHECKOUT = Gap(5.81, 0.75)
AFTER_CHECKOUT = Gap(4.80, 1.20)
_CALL = Gap(8.9, 1.1)
_SOON = Gap(8.6, 1.1)
_LATER_DAYS = Gap(1.95, 1.15)


def elapsed_us(seconds: NDArray[np.float64]) -> Times:
    """Whole milliseconds, at least one, as microseconds."""
    return np.maximum(np.rint(seconds * 1e3), 1.0).astype(np.int64) * 1_000


def weekday(time_us: Times) -> Times:
    """0 (Monday) to 6, UTC."""
    return (time_us // DAY_US + _THURSDAY) % 7


def arrivals(n: int, start_us: int, days: int, rng: Generator) -> Times:
    """When shoppers come for the first time, (n,), by weekday and hour."""
    day = np.arange(days) * DAY_US + start_us
    share = WEEKDAY_SHARES[weekday(day)]
    chosen = rng.choice(days, n, p=share / share.sum())
    return day[chosen] + _time_of_day(HOUR_SHARES, n, rng)


def soon(called: NDArray[np.bool_], rng: Generator) -> Times:
    """How long until shoppers are back within a day: called ones within 14 h, (n,)."""
    n = called.size
    by_call = _CALL.drawn(n, rng, limit_s=MAX_CALL_S)
    within_hours = _SOON.drawn(n, rng, limit_s=20 * 3600.0)
    next_day = rng.uniform(8.0, 23.9, n) * 3600.0
    unasked = np.where(rng.random(n) < 0.40, within_hours, next_day)
    return elapsed_us(np.where(called, by_call, unasked) + 20.0)


def later(end_us: Times, rng: Generator) -> Times:
    """When shoppers whose session ended at `end_us` are back, at least 24 h after it, (n,)."""
    n = end_us.size
    days = np.floor(_LATER_DAYS.drawn(n, rng, limit_s=400.0)).astype(np.int64)
    day = end_us // DAY_US + np.maximum(days, 1)
    postponed = (weekday(day * DAY_US) >= 5) & (rng.random(n) < 0.55)
    day += np.where(postponed, 2, 0)
    back = day * DAY_US + _time_of_day(RETURN_HOUR_SHARES, n, rng)
    return np.where(back < end_us + DAY_US, back + DAY_US, back)


def within_groups(group: NDArray[np.int64], steps_us: Times) -> Times:
    """Running sums of `steps_us` that begin anew with every group; equal groups must be neighbours, (n,)."""
    total = np.cumsum(steps_us)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    before = total[first] - steps_us[first]
    return total - np.repeat(before, np.diff(np.append(first, group.size)))


def _time_of_day(shares: NDArray[np.int64], n: int, rng: Generator) -> Times:
    hour = rng.choice(24, n, p=shares / shares.sum())
    return hour * HOUR_US + rng.integers(0, 3_600_000, n) * (SECOND_US // 1000)
