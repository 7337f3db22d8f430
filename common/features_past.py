"""The shape of the earlier sessions: how many, how long, what they looked for and what came of it.

A session here is a run of consecutive events that share a session id, this session's events skipped.
"""

from typing import Any

from common.clock import DAY_US
from common.compiled import compiled
from common.feature_inputs import CART, PURCHASE, VIEW
from common.feature_specs import AT
from common.features_session import seconds


@compiled
def fill_runs(x: Any, past: Any, n: int) -> None:
    """The earlier sessions one after the other."""
    runs = days = carts = since_purchase = spent_us = began_us = 0
    has_bought = False
    for i in range(n):
        time_us = past.time_us[i]
        days += i == 0 or time_us // DAY_US != past.time_us[i - 1] // DAY_US
        if i == 0 or past.session[i] != past.session[i - 1]:
            runs += 1
            since_purchase += 1
            carts = 0
            began_us = time_us
        else:
            spent_us += time_us - past.time_us[i - 1]
        carts += past.kind[i] == CART
        if past.kind[i] == PURCHASE:
            has_bought = True
            since_purchase = 0
    x[AT.previous_session_carts] = carts
    x[AT.previous_session_s] = seconds(past.time_us[n - 1] - began_us) if n else -1.0
    x[AT.past_days] = days
    x[AT.past_time_s] = seconds(spent_us)
    x[AT.past_session_s] = seconds(spent_us) / runs if runs else -1.0
    x[AT.sessions_since_purchase] = since_purchase if has_bought else -1.0


@compiled
def fill_past_products(x: Any, n: int, products: Any) -> None:
    """The different products that earlier sessions met."""
    met = viewed = carted = 0
    for i in range(n):
        if products.first[i] == i:
            met += 1
            viewed += products.views[i] > 0
            carted += products.views[i] > 0 and products.carts[i] > 0
    x[AT.past_products] = met
    x[AT.past_carted_share] = carted / viewed if viewed else -1.0


@compiled
def fill_past_category(x: Any, ask: Any, past: Any, n: int) -> None:
    """What earlier sessions did in the category asked about, and beside it."""
    views = carts = purchases = of_views = of_carts = of_purchases = 0
    highest = 0.0
    for i in range(n):
        kind, is_of = past.kind[i], past.category[i] == ask.category
        views += kind == VIEW
        of_views += kind == VIEW and is_of
        carts += kind == CART
        of_carts += kind == CART and is_of
        if kind == PURCHASE:
            purchases += 1
            of_purchases += is_of
            highest = max(highest, past.price[i])
    x[AT.past_views_per_cart] = views / (carts + 1) if n else -1.0
    x[AT.past_category_view_share] = of_views / views if views else -1.0
    x[AT.past_category_carts] = of_carts
    x[AT.past_category_buy_share] = of_purchases / purchases if purchases else -1.0
    x[AT.past_highest_purchase] = highest
