"""What products cost from day to day, in integer cents."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

MEMBER_DISCOUNT = 0.2
"""What a member pays less, on every product: 59 % of the real log's purchases were made at 20 % off."""

HIGH_DAYS = 21
"""How far back a shopper remembers the highest price of a product."""

_REPRICED_PER_DAY = 0.0006  # 8 % of the real products changed their list price within the 61 days
_PROMOTED_PER_WEEK = 0.02
_PROMOTION_DEPTHS = np.array([0.10, 0.15, 0.20, 0.25, 0.30])
_CHEAPEST_CENTS, _DEAREST_CENTS = 79, 25_000


class Prices(NamedTuple):
    """Shelf price and recent high, int32 cents (days, products)."""

    shelf_cents: NDArray[np.int32]
    high_cents: NDArray[np.int32]


def list_prices(median: NDArray[np.float64], log_sd: NDArray[np.float64], rng: Generator) -> NDArray[np.int32]:
    """Log-normal prices that end in .99, int32 cents (n,)."""
    price = np.floor(median * np.exp(log_sd * rng.standard_normal(median.size)))
    return np.asarray(np.clip(price * 100 + 99, _CHEAPEST_CENTS, _DEAREST_CENTS), np.int32)


def priced(list_cents: NDArray[np.int32], days: int, rng: Generator) -> Prices:
    """Prices over `days` days: list prices that rarely move, with a week's promotion now and then."""
    factor = _list_factor(list_cents.size, days, rng) * _promotion_factor(list_cents.size, days, rng)
    shelf = np.maximum(np.rint(list_cents * factor), _CHEAPEST_CENTS).astype(np.int32)
    return Prices(shelf, _recent_high(shelf))


def member_cents(cents: NDArray[np.int32], member: NDArray[np.bool_]) -> NDArray[np.int32]:
    """What shoppers are shown: members get their discount off the shelf price."""
    return np.where(member, np.rint(cents * (1.0 - MEMBER_DISCOUNT)), cents).astype(np.int32)


def _list_factor(products: int, days: int, rng: Generator) -> NDArray[np.float64]:
    moved = rng.random((days, products)) < _REPRICED_PER_DAY
    steps = np.where(moved, rng.uniform(-0.22, 0.22, (days, products)), 0.0)
    return np.asarray(np.exp(np.clip(np.cumsum(steps, axis=0), -0.5, 0.5)))


def _promotion_factor(products: int, days: int, rng: Generator) -> NDArray[np.float64]:
    factor = np.ones((days, products))
    for week_start in range(0, days, 7):
        promoted = np.flatnonzero(rng.random(products) < _PROMOTED_PER_WEEK)
        depth = rng.choice(_PROMOTION_DEPTHS, promoted.size)
        first = week_start + rng.integers(0, 4, promoted.size)
        last = first + rng.integers(3, 8, promoted.size)
        for product, off, start, end in zip(promoted, depth, first, last, strict=True):
            factor[start:end, product] = 1.0 - off
    return factor


def _recent_high(shelf: NDArray[np.int32]) -> NDArray[np.int32]:
    high = shelf.copy()
    for back in range(1, min(HIGH_DAYS, shelf.shape[0])):
        np.maximum(high[back:], shelf[:-back], out=high[back:])
    return high
