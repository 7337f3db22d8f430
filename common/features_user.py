"""The features of prices beside each other, and of the user before this session."""

from typing import Any

from common.compiled import compiled
from common.feature_inputs import CART, PURCHASE, VIEW
from common.feature_specs import AT, MAX_RATIO
from common.features_session import distinct, since


@compiled
def ratio(price: float, reference: float) -> float:
    """`price / reference`, at most `MAX_RATIO`, and 1 where there is nothing to compare with."""
    return min(price / reference, MAX_RATIO) if reference > 0.0 else 1.0


@compiled
def fill_prices(x: Any, ask: Any, session: Any, n: int, past: Any, n_past: int) -> None:
    """The price shown beside those that the user has viewed."""
    total = highest = past_total = 0.0
    others = past_views = 0
    for i in range(n):
        if session.kind[i] == VIEW and session.product[i] != ask.product:
            total += session.price[i]
            highest = max(highest, session.price[i])
            others += 1
    for i in range(n_past):
        if past.kind[i] == VIEW:
            past_total += past.price[i]
            past_views += 1
    x[AT.price_vs_session] = ratio(ask.price, total / others) if others else 1.0
    x[AT.price_vs_session_max] = ratio(ask.price, max(ask.price, highest))
    x[AT.price_vs_past] = ratio(ask.price, past_total / past_views) if past_views else 1.0


@compiled
def fill_cart_prices(x: Any, ask: Any, cart: Any, size: int) -> None:
    """What else lies in the cart."""
    value = 0.0
    for i in range(size):
        value += cart.price[i]
    x[AT.cart_items] = size
    x[AT.cart_value] = value
    x[AT.price_vs_cart] = ratio(ask.price, value / size) if size else 1.0
    x[AT.price_share_of_cart] = ratio(ask.price, ask.price + value)


@compiled
def fill_past(x: Any, ask: Any, past: Any, n: int) -> None:
    """What the user did in earlier sessions, whatever the product."""
    views = carts = purchases = converting = 0
    value = 0.0
    cart_us = purchase_us = -1
    for i in range(n):
        kind = past.kind[i]
        views += kind == VIEW
        if kind == CART:
            carts += 1
            cart_us = past.time_us[i]
        elif kind == PURCHASE:
            converting += _is_first_purchase_of_its_session(past, i)
            purchases += 1
            value += past.price[i]
            purchase_us = past.time_us[i]
    sessions = distinct(past.session, n)
    x[AT.past_sessions] = sessions
    x[AT.past_converting_share] = converting / sessions if sessions else -1.0
    x[AT.past_purchase_value] = value
    x[AT.past_converting_sessions] = converting
    x[AT.past_views] = views
    x[AT.past_carts] = carts
    x[AT.past_purchases] = purchases
    x[AT.since_past_session_s] = since(ask, past.time_us[n - 1] if n else -1)
    x[AT.since_past_cart_s] = since(ask, cart_us)
    x[AT.since_past_purchase_s] = since(ask, purchase_us)


@compiled
def _is_first_purchase_of_its_session(past: Any, i: int) -> bool:
    for j in range(i):  # noqa: SIM110 - all() of a generator cannot be compiled
        if past.kind[j] == PURCHASE and past.session[j] == past.session[i]:
            return False
    return True


@compiled
def fill_past_product(x: Any, ask: Any, session: Any, n: int, past: Any, n_past: int) -> None:
    """What the user did with this product and its category in earlier sessions."""
    views = carts = purchases = of_category = 0
    product_us = category_us = -1
    for i in range(n_past):
        kind = past.kind[i]
        if past.product[i] == ask.product:
            views += kind == VIEW
            carts += kind == CART
            purchases += kind == PURCHASE
            product_us = past.time_us[i]
        if kind == PURCHASE and past.category[i] == ask.category:
            of_category += 1
            category_us = past.time_us[i]
    for i in range(n):
        if session.kind[i] == PURCHASE and session.category[i] == ask.category:
            category_us = max(category_us, session.time_us[i])
    first_us = session.time_us[0]
    x[AT.past_product_views] = views
    x[AT.past_product_carts] = carts
    x[AT.past_product_purchases] = purchases
    x[AT.since_product_past_s] = since(ask, product_us)
    x[AT.past_category_purchases] = of_category
    x[AT.since_category_purchase_s] = since(ask, category_us)
    x[AT.known_for_s] = since(ask, min(first_us, past.time_us[0]) if n_past else first_us)
