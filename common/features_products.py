"""The different products of a window: which were carted, how prices spread, how far they are below recent highs."""

import math
from typing import Any, NamedTuple

import numpy as np

from common.catalog_state import recent_high
from common.compiled import compiled
from common.feature_inputs import CART, VIEW
from common.feature_specs import AT, LEAST_DISCOUNT
from common.window import MAX_EVENTS


class Products(NamedTuple):
    """The different products of some events, each in the place of its first event there."""

    first: Any  # of every event: the place of its product
    views: Any
    carts: Any
    price: Any  # of the product's last event
    high: Any  # money, 0 where the shop knows none


@compiled
def empty_products() -> Any:
    """Room for the products of a window."""
    size = MAX_EVENTS + 1
    return Products(
        np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size), np.empty(size)
    )


@compiled
def fill_products(products: Any, events: Any, n: int, entries: Any, position: int) -> None:
    """Tell the products of the first n events apart; `entries` and `position` are the catalog's."""
    for i in range(n):
        place = 0
        while events.product[place] != events.product[i]:
            place += 1
        products.first[i] = place
        if place == i:
            products.views[i] = products.carts[i] = 0
            products.high[i] = recent_high(entries, events.row[i], position)
        products.views[place] += events.kind[i] == VIEW
        products.carts[place] += events.kind[i] == CART
        products.price[place] = events.price[i]


@compiled
def discount(price: float, high: float) -> float:
    """How far a price is below a high, as a share of it; at least `LEAST_DISCOUNT`."""
    return max(1.0 - price / high, LEAST_DISCOUNT)


@compiled
def fill_met(x: Any, ask: Any, session: Any, n: int, products: Any) -> None:
    """The products that this session met."""
    met = met_before = viewed = carted = 0
    total = 0.0
    own = 0
    while session.product[own] != ask.product:
        own += 1
    for i in range(n):
        if products.first[i] == i:
            met += 1
            met_before += i < own
            viewed += products.views[i] > 0
            carted += products.views[i] > 0 and products.carts[i] > 0
            total += products.price[i]
    mean = total / met
    squares = 0.0
    for i in range(n):
        if products.first[i] == i:
            squares += (products.price[i] - mean) * (products.price[i] - mean)
    x[AT.session_products] = met
    x[AT.products_before] = met_before
    x[AT.carted_share] = carted / viewed if viewed else 0.0
    x[AT.session_price_spread] = math.sqrt(squares / met)


@compiled
def fill_session_discounts(x: Any, n: int, products: Any) -> None:
    """How far below their recent highs this session's products are."""
    lowest = highest = total = 0.0
    known = 0
    for i in range(n):
        if products.first[i] == i and products.high[i] > 0.0:
            off = discount(products.price[i], products.high[i])
            lowest = min(lowest, off) if known else off
            highest = max(highest, off) if known else off
            total += off
            known += 1
    x[AT.session_discount_min] = lowest
    x[AT.session_discount_mean] = total / known if known else 0.0
    x[AT.session_discount_max] = highest


@compiled
def fill_past_discount(x: Any, past: Any, n: int, products: Any) -> None:
    """How far below their recent highs the products were that the user viewed in earlier sessions."""
    total = 0.0
    views = 0
    for i in range(n):
        high = products.high[products.first[i]]
        if past.kind[i] == VIEW and high > 0.0:
            total += discount(past.price[i], high)
            views += 1
    x[AT.past_discount_mean] = total / views if views else -1.0
