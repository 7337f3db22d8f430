"""The one definition of features: (decision, window, catalog) -> vector.

Training replays a log through `vector`, the router calls it on windows kept in Redis, batch scoring on slices
of a log. It is pure, reads no clock and uses only what was known at `as_of_us`. What each column means stands
in `common/feature_specs.py`.

Plain Python on purpose: a window holds six events on average and a vector takes some tens of microseconds, the
same code runs in every place without a compiler, and float64 arithmetic in a fixed order gives the same bits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.catalog import Catalog
from common.clock import SECOND_US
from common.events import Decision, Event, EventKind
from common.feature_specs import MAX_RATIO, NEVER_S, WIDTH
from common.window import with_the_product_in_sight

_VIEW, _CART, _REMOVE, _PURCHASE = (int(kind) for kind in EventKind)


def vector(decision: Decision, window: Sequence[Event], catalog: Catalog) -> list[float]:
    """The feature vector of one decision, `WIDTH` finite floats in the order of `feature_specs.SPECS`.

    Args:
        decision: the question; its `as_of_us` is not before any event of the window.
        window: `window_at(events, decision.as_of_us)`.
        catalog: `history.as_of(decision.as_of_us)`.
    """
    session: list[Event] = []
    past: list[Event] = []
    this_session = decision.session
    for event in with_the_product_in_sight(decision, window):
        (session if event.session == this_session else past).append(event)
    cart = _cart(session, decision.product)
    return [
        decision.price,
        float(decision.hour),
        float(decision.day_of_week),
        float(decision.is_weekend),
        *_product_in_session(decision, session),
        *_session(decision, session, cart),
        *_price(decision, session, past, cart, catalog),
        *_past(decision, session, past),
        *_catalog(decision, catalog),
    ]


def matrix(vectors: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Vectors stacked, float32 (n, f), as members take them."""
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), WIDTH)


def _since(decision: Decision, time_us: int) -> float:
    """Seconds from a time to the decision, at most `NEVER_S`; a time of -1 never was."""
    if time_us < 0:
        return NEVER_S
    return min((decision.as_of_us - time_us) / SECOND_US, NEVER_S)


def _cart(session: Sequence[Event], product: str) -> dict[str, float]:
    """Prices of the other products that lie in the cart now, by product."""
    cart: dict[str, float] = {}
    for _, kind, other, _, price, _, _ in session:
        if kind == _CART:
            cart[other] = price
        elif kind >= _REMOVE:
            cart.pop(other, None)
    cart.pop(product, None)
    return cart


def _product_in_session(decision: Decision, session: Sequence[Event]) -> list[float]:
    product = decision.product
    views = carts = removes = all_views = events_since_cart = 0
    in_cart = False
    first_us = first_cart_us = -1
    before: set[str] = set()
    for time_us, kind, other, _, _, _, _ in session:
        if kind == _VIEW:
            all_views += 1
        if first_cart_us >= 0:
            events_since_cart += 1
        if other != product:
            if first_us < 0:
                before.add(other)
            continue
        if first_us < 0:
            first_us = time_us
        if kind == _VIEW:
            views += 1
        elif kind == _CART:
            carts += 1
            in_cart = True
            if first_cart_us < 0:
                first_cart_us = time_us
        else:
            removes += kind == _REMOVE
            in_cart = False
    return [
        float(views),
        float(carts),
        float(removes),
        float(in_cart),
        _since(decision, first_us),
        _since(decision, first_cart_us),
        float(events_since_cart) if first_cart_us >= 0 else -1.0,
        views / all_views if all_views else 0.0,
        float(len(before)),
    ]


def _session(decision: Decision, session: Sequence[Event], cart: dict[str, float]) -> list[float]:
    counts = [0, 0, 0, 0]
    first_cart_us = other_cart_us = purchase_us = -1
    category_views = 0
    product, category = decision.product, decision.category
    for time_us, kind, other, _, _, of_category, _ in session:
        counts[kind] += 1
        if kind == _VIEW:
            if other != product and of_category == category:
                category_views += 1
        elif kind == _CART:
            if first_cart_us < 0:
                first_cart_us = time_us
            if other != product:
                other_cart_us = time_us
        elif kind == _PURCHASE:
            purchase_us = time_us
    views, carts, removes, purchases = counts
    start_us = session[0].time_us
    age_s = _since(decision, start_us)
    previous = session[-2] if len(session) > 1 else None
    return [
        age_s,
        float(views),
        float(carts),
        float(removes),
        float(purchases),
        float(len({event.product for event in session})),
        float(len({event.category for event in session})),
        views / (carts + 1),
        NEVER_S if first_cart_us < 0 else min((first_cart_us - start_us) / SECOND_US, NEVER_S),
        _since(decision, other_cart_us),
        _since(decision, purchase_us),
        float(len(cart)),
        sum(cart.values(), 0.0),
        float(previous.kind) if previous else -1.0,
        min((session[-1].time_us - previous.time_us) / SECOND_US, NEVER_S) if previous else NEVER_S,
        float(previous is not None and previous.product == product),
        age_s / len(session),
        float(category_views),
    ]


def _price(
    decision: Decision, session: Sequence[Event], past: Sequence[Event], cart: dict[str, float], catalog: Catalog
) -> list[float]:
    price, product = decision.price, decision.product
    others = [event.price for event in session if event.kind == _VIEW and event.product != product]
    earlier = [event.price for event in past if event.kind == _VIEW]
    cart_value = sum(cart.values())
    return [
        _ratio(price, sum(others) / len(others)) if others else 1.0,
        _ratio(price, max(price, max(others, default=price))),
        _ratio(price, cart_value / len(cart)) if cart else 1.0,
        _ratio(price, price + cart_value),
        _ratio(price, sum(earlier) / len(earlier)) if earlier else 1.0,
        _ratio(price, catalog.recent_high(product)),
        _ratio(price, catalog.usual_price(product)),
    ]


def _ratio(price: float, reference: float) -> float:
    """`price / reference`, at most `MAX_RATIO`, and 1 where there is nothing to compare with."""
    return min(price / reference, MAX_RATIO) if reference > 0.0 else 1.0


def _past(decision: Decision, session: Sequence[Event], past: Sequence[Event]) -> list[float]:
    counts = [0, 0, 0, 0]
    of_product = [0, 0, 0, 0]
    category_purchases = 0
    last_us = cart_us = purchase_us = category_us = -1
    sessions: set[str] = set()
    converting: set[str] = set()
    product, category = decision.product, decision.category
    for time_us, kind, other, of_session, _, of_category, _ in past:
        counts[kind] += 1
        sessions.add(of_session)
        last_us = time_us
        if other == product:
            of_product[kind] += 1
        if kind == _CART:
            cart_us = time_us
        elif kind == _PURCHASE:
            purchase_us = time_us
            converting.add(of_session)
            if of_category == category:
                category_purchases += 1
                category_us = time_us
    for event in session:
        if event.kind == _PURCHASE and event.category == category:
            category_us = max(category_us, event.time_us)
    first_us = min(past[0].time_us, session[0].time_us) if past else session[0].time_us
    return [
        float(len(sessions)),
        float(len(converting)),
        float(counts[_VIEW]),
        float(counts[_CART]),
        float(counts[_PURCHASE]),
        float(of_product[_VIEW]),
        float(of_product[_CART]),
        float(of_product[_PURCHASE]),
        float(category_purchases),
        _since(decision, last_us),
        _since(decision, cart_us),
        _since(decision, purchase_us),
        _since(decision, category_us),
        _since(decision, first_us),
    ]


def _catalog(decision: Decision, catalog: Catalog) -> list[float]:
    product = catalog.product(decision.product, decision.category)
    brand = catalog.brand(decision.brand)
    category = catalog.category(decision.category)
    at_hour = catalog.category_hour(decision.category, decision.hour)
    hour = catalog.hour(decision.hour)
    band = catalog.price_band(decision.price)
    return [
        product.views_per_day,
        product.trend,
        product.cart_rate,
        product.buy_rate,
        product.cart_to_buy,
        product.remove_rate,
        brand.buy_rate,
        brand.cart_to_buy,
        category.cart_rate,
        category.buy_rate,
        category.cart_to_buy,
        at_hour.buy_rate,
        at_hour.cart_to_buy,
        hour.buy_rate,
        hour.cart_to_buy,
        band.buy_rate,
        band.cart_to_buy,
        catalog.shop.cart_to_buy,
    ]
