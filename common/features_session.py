"""The features of this product in this session, and of the session itself."""

from typing import Any, NamedTuple

import numpy as np

from common.clock import SECOND_US
from common.compiled import compiled
from common.feature_inputs import CART, REMOVE, VIEW
from common.feature_specs import AT, NEVER_S
from common.window import MAX_EVENTS


class Cart(NamedTuple):
    """The other products in the cart, in the order in which they were put there."""

    product: Any
    price: Any


@compiled
def empty_cart() -> Any:
    """Room for the cart of a window."""
    return Cart(np.empty(MAX_EVENTS + 1, np.int32), np.empty(MAX_EVENTS + 1, np.float64))


@compiled
def since(ask: Any, time_us: int) -> float:
    """Seconds from a time to the question, at most `NEVER_S`; a time of -1 never was."""
    return seconds(ask.as_of_us - time_us) if time_us >= 0 else NEVER_S


@compiled
def seconds(duration_us: int) -> float:
    """A duration in seconds, at most `NEVER_S`."""
    return min(duration_us / SECOND_US, NEVER_S)


@compiled
def fill_cart(cart: Any, ask: Any, session: Any, n: int) -> int:
    """The other products that lie in the cart now, with their prices; answers how many."""
    size = 0
    for i in range(n):
        product, kind = session.product[i], session.kind[i]
        if kind == VIEW or product == ask.product:
            continue
        place = 0
        while place < size and cart.product[place] != product:
            place += 1
        if kind == CART:
            cart.product[place] = product
            cart.price[place] = session.price[i]
            size = max(size, place + 1)
        elif place < size:
            size -= 1
            for j in range(place, size):
                cart.product[j] = cart.product[j + 1]
                cart.price[j] = cart.price[j + 1]
    return size


@compiled
def distinct(codes: Any, n: int) -> int:
    """How many different codes there are among the first n."""
    found = 0
    for i in range(n):
        j = 0
        while codes[j] != codes[i]:
            j += 1
        found += j == i
    return found


@compiled
def fill_product(x: Any, ask: Any, session: Any, n: int) -> None:
    """The product asked about, in this session."""
    views = carts = removes = all_views = events_since_cart = 0
    in_cart = False
    first, first_cart_us = -1, -1
    for i in range(n):
        kind = session.kind[i]
        all_views += kind == VIEW
        events_since_cart += first_cart_us >= 0
        if session.product[i] != ask.product:
            continue
        if first < 0:
            first = i
        if kind == CART and first_cart_us < 0:
            first_cart_us = session.time_us[i]
        views += kind == VIEW
        carts += kind == CART
        removes += kind == REMOVE
        in_cart = kind == CART or (in_cart and kind == VIEW)
    x[AT.product_views] = views
    x[AT.product_carts] = carts
    x[AT.product_removes] = removes
    x[AT.product_in_cart] = in_cart
    x[AT.product_age_s] = since(ask, session.time_us[first])
    x[AT.since_product_cart_s] = since(ask, first_cart_us)
    x[AT.events_since_cart] = events_since_cart if first_cart_us >= 0 else -1.0
    x[AT.product_view_share] = views / all_views if all_views else 0.0


@compiled
def fill_session(x: Any, ask: Any, session: Any, n: int) -> None:
    """What happened in this session, whatever the product."""
    views = carts = removes = purchases = category_views = views_before_cart = 0
    first_cart_us = other_cart_us = other_view_us = purchase_us = -1
    for i in range(n):
        kind, is_other = session.kind[i], session.product[i] != ask.product
        if kind == VIEW:
            views += 1
            views_before_cart += carts == 0
            category_views += is_other and session.category[i] == ask.category
            if is_other:
                other_view_us = session.time_us[i]
        elif kind == CART:
            carts += 1
            if first_cart_us < 0:
                first_cart_us = session.time_us[i]
            if is_other:
                other_cart_us = session.time_us[i]
        elif kind == REMOVE:
            removes += 1
        else:
            purchases += 1
            purchase_us = session.time_us[i]
    start_us = session.time_us[0]
    age_s = since(ask, start_us)
    x[AT.session_age_s] = age_s
    x[AT.session_views] = views
    x[AT.session_carts] = carts
    x[AT.session_removes] = removes
    x[AT.session_purchases] = purchases
    x[AT.session_categories] = distinct(session.category, n)
    x[AT.views_per_cart] = views / (carts + 1)
    x[AT.time_to_first_cart_s] = NEVER_S if first_cart_us < 0 else seconds(first_cart_us - start_us)
    x[AT.views_before_first_cart] = views_before_cart
    x[AT.since_other_view_s] = since(ask, other_view_us)
    x[AT.since_other_cart_s] = since(ask, other_cart_us)
    x[AT.since_session_purchase_s] = since(ask, purchase_us)
    x[AT.seconds_per_event] = age_s / n
    x[AT.category_views] = category_views


@compiled
def fill_previous(x: Any, ask: Any, session: Any, n: int) -> None:
    """The event before the newest one of this session."""
    x[AT.previous_kind] = -1.0
    x[AT.previous_gap_s] = NEVER_S
    x[AT.previous_same_product] = 0.0
    if n > 1:
        x[AT.previous_kind] = session.kind[n - 2]
        x[AT.previous_gap_s] = seconds(session.time_us[n - 1] - session.time_us[n - 2])
        x[AT.previous_same_product] = session.product[n - 2] == ask.product
