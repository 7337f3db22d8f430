"""The columns of a feature vector: name, unit, range and one line of meaning each.

The order here is the order of the vector, and `SCHEMA_HASH` stands for all of it: names, bounds of the window,
and the revision of the computation. Whoever changes what a feature computes raises `REVISION`.
"""

import hashlib
from collections import namedtuple
from typing import Any, NamedTuple

from common.window import MAX_AGE_DAYS, MAX_EVENTS

REVISION = 5
NEVER_S = float(MAX_AGE_DAYS * 86_400)
"""Stands for "not within the window" in every duration, seconds."""

MAX_RATIO = 1e6
"""The largest ratio of two prices: a price of next to nothing must not make a vector infinite."""

LEAST_DISCOUNT = -10.0
"""The lowest discount: a price of eleven times the recent high or more."""


class Spec(NamedTuple):
    """One feature. `low` and `high` bound every value that can be computed."""

    name: str
    group: str
    unit: str
    low: float
    high: float
    meaning: str


_INF = float("inf")
_N = float(MAX_EVENTS + 1)


def _flag(name: str, group: str, meaning: str) -> Spec:
    return Spec(name, group, "0/1", 0.0, 1.0, meaning)


def _count(name: str, group: str, meaning: str) -> Spec:
    return Spec(name, group, "events", 0.0, _N, meaning)


def _seconds(name: str, group: str, meaning: str) -> Spec:
    return Spec(name, group, "s", 0.0, NEVER_S, meaning)


def _ratio(name: str, group: str, meaning: str) -> Spec:
    return Spec(name, group, "ratio", 0.0, MAX_RATIO, meaning)


def _discount(name: str, group: str, meaning: str) -> Spec:
    return Spec(name, group, "ratio", LEAST_DISCOUNT, 1.0, meaning)


def _rate(name: str, meaning: str) -> Spec:
    return Spec(name, "catalog", "per event", 0.0, _INF, meaning)


SPECS: tuple[Spec, ...] = (
    # what the request says
    Spec("price", "request", "money", 0.0, 100_000.0, "price of the product as shown"),
    Spec("hour", "request", "h", 0.0, 23.0, "hour of the day, UTC"),
    Spec("day_of_week", "request", "day", 0.0, 6.0, "day of the week, UTC: 0 is Monday"),
    _flag("is_weekend", "request", "the day is a Saturday or a Sunday, UTC"),
    # this product in this session
    _count("product_views", "product", "views of the product in this session"),
    _count("product_carts", "product", "times the product was put in the cart in this session"),
    _count("product_removes", "product", "times the product was taken out of the cart in this session"),
    _flag("product_in_cart", "product", "the product is in the cart now"),
    _seconds("product_age_s", "product", "time since the session's first event on the product"),
    _seconds("since_product_cart_s", "product", "time since the product was first put in the cart in this session"),
    Spec(
        "events_since_cart",
        "product",
        "events",
        -1.0,
        _N,
        "session's events since the product was put in the cart, -1 if never",
    ),
    Spec("product_view_share", "product", "ratio", 0.0, 1.0, "share of the session's views that went to the product"),
    _count("products_before", "product", "other products that the session met before this one"),
    # the session
    _seconds("session_age_s", "session", "time since the first event of this session"),
    _count("session_views", "session", "views in this session"),
    _count("session_carts", "session", "additions to the cart in this session"),
    _count("session_removes", "session", "removals from the cart in this session"),
    _count("session_purchases", "session", "products bought in this session"),
    _count("session_products", "session", "different products met in this session"),
    _count("session_categories", "session", "different categories met in this session"),
    _ratio("views_per_cart", "session", "views per addition to the cart: views / (carts + 1)"),
    _seconds("time_to_first_cart_s", "session", "time from the session's start to its first addition to the cart"),
    _count("views_before_first_cart", "session", "views before the session's first addition to the cart"),
    Spec("carted_share", "session", "ratio", 0.0, 1.0, "share of the products viewed in this session that were carted"),
    _seconds("since_other_view_s", "session", "time since another product was viewed in this session"),
    _seconds("since_other_cart_s", "session", "time since another product was put in the cart in this session"),
    _seconds("since_session_purchase_s", "session", "time since the last purchase in this session"),
    _count("cart_items", "session", "different products in the cart now, this product left out"),
    Spec(
        "cart_value",
        "session",
        "money",
        0.0,
        _INF,
        "sum of the prices of the products in the cart now, this product left out",
    ),
    Spec(
        "previous_kind",
        "session",
        "kind",
        -1.0,
        3.0,
        "session's event before its newest: -1 none, 0 view, 1 cart, 2 remove, 3 purchase",
    ),
    _seconds("previous_gap_s", "session", "time between the session's newest event and the one before it"),
    _flag("previous_same_product", "session", "the session's event before its newest was about this product"),
    _seconds("seconds_per_event", "session", "session's age divided by its events"),
    _count("category_views", "session", "views of the product's category in this session, other products"),
    # the price beside other prices
    _ratio("price_vs_session", "price", "price / mean price viewed in this session, other products (1 if none)"),
    _ratio("price_vs_session_max", "price", "price / highest price viewed in this session"),
    _ratio("price_vs_cart", "price", "price / mean price of the other products in the cart (1 if none)"),
    Spec(
        "price_share_of_cart",
        "price",
        "ratio",
        0.0,
        1.0,
        "price / (price + sum of the prices of the other products in the cart)",
    ),
    _ratio("price_vs_past", "price", "price / mean price viewed in earlier sessions (1 if none)"),
    Spec(
        "session_price_spread", "price", "money", 0.0, 100_000.0, "standard deviation of the session's products' prices"
    ),
    _discount(
        "session_discount_min",
        "price",
        "lowest discount (1 - price / recent high) among the session's products (0 if none)",
    ),
    _discount(
        "session_discount_mean",
        "price",
        "mean discount (1 - price / recent high) of the session's products (0 if none)",
    ),
    _discount(
        "session_discount_max",
        "price",
        "highest discount (1 - price / recent high) among the session's products (0 if none)",
    ),
    _ratio("price_vs_high", "price", "price / product's highest price of the last 15 to 30 days (1 if unknown)"),
    _ratio("price_vs_usual", "price", "price / product's usual price (1 if unknown)"),
    # the user before this session
    _count("past_sessions", "user", "earlier sessions of the user"),
    _count("past_converting_sessions", "user", "earlier sessions with a purchase"),
    _count("past_views", "user", "views in earlier sessions"),
    _count("past_carts", "user", "additions to the cart in earlier sessions"),
    _count("past_purchases", "user", "products bought in earlier sessions"),
    Spec("past_purchase_value", "user", "money", 0.0, _INF, "money spent in earlier sessions"),
    Spec("past_converting_share", "user", "ratio", -1.0, 1.0, "share of earlier sessions with a purchase, -1 if none"),
    _discount(
        "past_discount_mean",
        "user",
        "mean discount (1 - price / recent high) of views in earlier sessions (-1 if none)",
    ),
    _count("previous_session_carts", "user", "additions to the cart in the previous session"),
    Spec("previous_session_s", "user", "s", -1.0, NEVER_S, "how long the previous session lasted, -1 if none"),
    _seconds("past_time_s", "user", "time spent in earlier sessions"),
    Spec("past_session_s", "user", "s", -1.0, NEVER_S, "mean length of the earlier sessions, -1 if none"),
    Spec("past_days", "user", "days", 0.0, MAX_AGE_DAYS + 1.0, "different days (UTC) with an earlier session's events"),
    Spec(
        "sessions_since_purchase",
        "user",
        "sessions",
        -1.0,
        _N,
        "earlier sessions begun since the last purchase in one, -1 if none",
    ),
    _count("past_products", "user", "different products met in earlier sessions"),
    Spec(
        "past_carted_share",
        "user",
        "ratio",
        -1.0,
        1.0,
        "share of the products viewed in earlier sessions that were carted, -1 if none",
    ),
    Spec(
        "past_views_per_cart",
        "user",
        "ratio",
        -1.0,
        _N,
        "views / (additions to the cart + 1) in earlier sessions, -1 if none",
    ),
    Spec("past_highest_purchase", "user", "money", 0.0, 100_000.0, "highest price bought in earlier sessions"),
    Spec(
        "past_category_view_share",
        "user",
        "ratio",
        -1.0,
        1.0,
        "share of earlier sessions' views that went to this category, -1 if none",
    ),
    _count("past_category_carts", "user", "additions to the cart of this category in earlier sessions"),
    Spec(
        "past_category_buy_share",
        "user",
        "ratio",
        -1.0,
        1.0,
        "share of earlier sessions' purchases that were of this category, -1 if none",
    ),
    _seconds("since_product_past_s", "user", "time since the product was last met in an earlier session"),
    _count("past_product_views", "user", "views of this product in earlier sessions"),
    _count("past_product_carts", "user", "times this product was carted in earlier sessions"),
    _count("past_product_purchases", "user", "times this product was bought in earlier sessions"),
    _count("past_category_purchases", "user", "products of this category bought in earlier sessions"),
    _seconds("since_past_session_s", "user", "time since the last event of an earlier session"),
    _seconds("since_past_cart_s", "user", "time since the last addition to the cart in an earlier session"),
    _seconds("since_past_purchase_s", "user", "time since the last purchase in an earlier session"),
    _seconds(
        "since_category_purchase_s", "user", "time since a product of this category was bought, in whichever session"
    ),
    _seconds("known_for_s", "user", "time since the oldest event in the user's window"),
    # what the shop knows, as of the day before
    Spec(
        "product_views_per_day",
        "catalog",
        "events/day",
        0.0,
        _INF,
        "views of the product per day, older days counting less",
    ),
    Spec(
        "product_trend",
        "catalog",
        "log ratio",
        -_INF,
        _INF,
        "the product's views of the last days against those of the last weeks",
    ),
    _rate("product_cart_rate", "additions to the cart per view of the product, smoothed"),
    _rate("product_buy_rate", "purchases per view of the product, smoothed"),
    _rate("product_cart_to_buy", "purchases per addition to the cart of the product, smoothed"),
    _rate("product_remove_rate", "removals per addition to the cart of the product, smoothed"),
    _rate("brand_buy_rate", "purchases per view of the brand"),
    _rate("brand_cart_to_buy", "purchases per addition to the cart of the brand"),
    _rate("category_cart_rate", "additions to the cart per view of the category"),
    _rate("category_buy_rate", "purchases per view of the category"),
    _rate("category_cart_to_buy", "purchases per addition to the cart of the category"),
    _rate("category_hour_buy_rate", "purchases per view of the category in this hour of the day"),
    _rate("category_hour_cart_to_buy", "purchases per addition to the cart of the category in this hour"),
    _rate("hour_buy_rate", "purchases per view of the shop in this hour of the day"),
    _rate("hour_cart_to_buy", "purchases per addition to the cart of the shop in this hour"),
    _rate("band_buy_rate", "purchases per view of products of about this price"),
    _rate("band_cart_to_buy", "purchases per addition to the cart of products of about this price"),
    _rate("shop_cart_to_buy", "purchases per addition to the cart of the whole shop, lately"),
)

NAMES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
WIDTH = len(SPECS)

AT: Any = namedtuple("Columns", NAMES)(*range(WIDTH))
"""The column of every feature by its name, as constants that compiled code can read: `x[AT.price]`."""


def _schema_hash() -> str:
    text = repr((REVISION, MAX_EVENTS, MAX_AGE_DAYS, [(spec.name, spec.unit) for spec in SPECS]))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


SCHEMA_HASH = _schema_hash()
"""Names the feature definition: 16 hexadecimal digits. A bundle with another one is refused."""
