"""The definition of features once more, in plain Python: slow, short, and the oracle of the compiled one.

Nothing but tests may use it. Its sums run in the same order, so vectors must be equal to the last bit.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, SECOND_US
from common.events import Decision, Event, EventKind
from common.feature_specs import LEAST_DISCOUNT, MAX_RATIO, NAMES, NEVER_S
from common.features import Vector, vector
from common.replay import decision_of
from common.window import window_at, with_the_product_in_sight

VIEW, CART, REMOVE, PURCHASE = EventKind


class Point(NamedTuple):
    """A decision point: the question, and what raised it (0 view, 1 cart)."""

    decision: Decision
    kind: int


class Example(NamedTuple):
    """A decision point with its label; `censored` where its horizon reaches past the end of the log."""

    point: Point
    label: bool
    censored: bool


def points_of(user: str, events: Sequence[Event]) -> Iterator[Point]:
    """The decision points of one user's events (in canonical order), in order of time."""
    seen: set[tuple[str, str, int]] = set()
    bought: dict[tuple[str, str], int] = {}
    for event in events:
        pair = (event.session, event.product)
        if event.kind == PURCHASE:
            bought.setdefault(pair, event.time_us)
        elif event.kind <= CART and (*pair, event.kind) not in seen:
            seen.add((*pair, event.kind))
            if bought.get(pair, event.time_us) >= event.time_us:
                yield Point(decision_of(user, event, event.time_us), int(event.kind))


def labelled(user: str, events: Sequence[Event], *, horizon_us: int, log_end_us: int) -> Iterator[Example]:
    """One user's decision points with their labels."""
    purchases: dict[str, list[int]] = {}
    for event in events:
        if event.kind == PURCHASE:
            purchases.setdefault(event.product, []).append(event.time_us)
    for point in points_of(user, events):
        as_of_us = point.decision.as_of_us
        times = purchases.get(point.decision.product, [])
        after = bisect_right(times, as_of_us)
        label = after < len(times) and times[after] <= as_of_us + horizon_us
        yield Example(point, label, as_of_us + horizon_us > log_end_us)


def served(points: Sequence[Point], events: Sequence[Event], history: CatalogHistory) -> list[Vector]:
    """The vector of each decision point of one user, as a router would make it at that instant."""
    return [
        vector(point.decision, window_at(events, point.decision.as_of_us), history.as_of(point.decision.as_of_us))
        for point in points
    ]


def reference_vector(decision: Decision, window: Sequence[Event], catalog: Catalog) -> Vector:
    """What `common.features.vector` must give."""
    seen = with_the_product_in_sight(decision, window)
    session = [event for event in seen if event.session == decision.session]
    past = [event for event in seen if event.session != decision.session]
    cart = _cart(decision, session)
    told = {
        "price": decision.price,
        "hour": decision.hour,
        "day_of_week": decision.day_of_week,
        "is_weekend": decision.is_weekend,
        **_product(decision, session),
        **_session(decision, session),
        **_prices(decision, session, past, list(cart.values()), catalog),
        **_discounts(session, past, catalog),
        **_past(decision, session, past),
        **_runs(past),
        **_shape_of_past(decision, past),
        **_catalog(decision, catalog),
    }
    assert set(told) == set(NAMES)
    return np.array([told[name] for name in NAMES], np.float64).astype(np.float32)


def _since(decision: Decision, events: Sequence[Event], at: int = -1) -> float:
    """Seconds since the last of some events (`at=0`: the first), `NEVER_S` if there is none."""
    return min((decision.as_of_us - events[at].time_us) / SECOND_US, NEVER_S) if events else NEVER_S


def _between(first: Event, second: Event) -> float:
    return min((second.time_us - first.time_us) / SECOND_US, NEVER_S)


def _of(events: Sequence[Event], *kinds: EventKind) -> list[Event]:
    return [event for event in events if event.kind in kinds]


def _cart(decision: Decision, session: Sequence[Event]) -> dict[str, float]:
    cart: dict[str, float] = {}
    for event in session:
        if event.kind == CART:
            cart[event.product] = event.price
        elif event.kind in (REMOVE, PURCHASE):
            cart.pop(event.product, None)
    cart.pop(decision.product, None)
    return cart


def _product(decision: Decision, session: Sequence[Event]) -> dict[str, float]:
    own = [event for event in session if event.product == decision.product]
    carts, views = _of(own, CART), _of(own, VIEW)
    changes = [event.kind for event in own if event.kind != VIEW]
    all_views = len(_of(session, VIEW))
    first = next(i for i, event in enumerate(session) if event.product == decision.product)
    return {
        "product_views": len(views),
        "product_carts": len(carts),
        "product_removes": len(_of(own, REMOVE)),
        "product_in_cart": bool(changes) and changes[-1] == CART,
        "product_age_s": _since(decision, own, 0),
        "since_product_cart_s": _since(decision, carts, 0),
        "events_since_cart": len(session) - 1 - next(i for i, e in enumerate(session) if e is carts[0])
        if carts
        else -1,
        "product_view_share": len(views) / all_views if all_views else 0.0,
        "products_before": len({event.product for event in session[:first]}),
    }


def _session(decision: Decision, session: Sequence[Event]) -> dict[str, float]:
    views, carts, removes, purchases = (_of(session, kind) for kind in EventKind)
    others = [event for event in session if event.product != decision.product]
    previous = session[-2] if len(session) > 1 else None
    return {
        "session_age_s": _since(decision, session, 0),
        "session_views": len(views),
        "session_carts": len(carts),
        "session_removes": len(removes),
        "session_purchases": len(purchases),
        "session_products": len({event.product for event in session}),
        "session_categories": len({event.category for event in session}),
        "views_per_cart": len(views) / (len(carts) + 1),
        "time_to_first_cart_s": _between(session[0], carts[0]) if carts else NEVER_S,
        "views_before_first_cart": len(_of(session[: session.index(carts[0])] if carts else session, VIEW)),
        "carted_share": len({e.product for e in carts} & {e.product for e in views})
        / max(len({e.product for e in views}), 1),
        "since_other_view_s": _since(decision, _of(others, VIEW)),
        "since_other_cart_s": _since(decision, _of(others, CART)),
        "since_session_purchase_s": _since(decision, purchases),
        "previous_kind": previous.kind if previous else -1.0,
        "previous_gap_s": _between(previous, session[-1]) if previous else NEVER_S,
        "previous_same_product": previous is not None and previous.product == decision.product,
        "seconds_per_event": _since(decision, session, 0) / len(session),
        "category_views": len([event for event in _of(others, VIEW) if event.category == decision.category]),
    }


def _ratio(price: float, reference: float) -> float:
    return min(price / reference, MAX_RATIO) if reference > 0.0 else 1.0


def _mean(prices: Sequence[float]) -> float:
    return sum(prices) / len(prices) if prices else 0.0


def _prices(
    decision: Decision, session: Sequence[Event], past: Sequence[Event], cart: Sequence[float], catalog: Catalog
) -> dict[str, float]:
    price = decision.price
    others = [event.price for event in _of(session, VIEW) if event.product != decision.product]
    return {
        "cart_items": len(cart),
        "cart_value": sum(cart),
        "price_vs_session": _ratio(price, _mean(others)),
        "price_vs_session_max": _ratio(price, max([price, *others])),
        "price_vs_cart": _ratio(price, _mean(cart)),
        "price_share_of_cart": _ratio(price, price + sum(cart)),
        "price_vs_past": _ratio(price, _mean([event.price for event in _of(past, VIEW)])),
        "price_vs_high": _ratio(price, catalog.recent_high(decision.product)),
        "price_vs_usual": _ratio(price, catalog.usual_price(decision.product)),
    }


def _past(decision: Decision, session: Sequence[Event], past: Sequence[Event]) -> dict[str, float]:
    views, carts, _, purchases = (_of(past, kind) for kind in EventKind)
    product = [event for event in past if event.product == decision.product]
    category = [event for event in purchases if event.category == decision.category]
    now = [event for event in _of(session, PURCHASE) if event.category == decision.category]
    sessions, converting = {event.session for event in past}, {event.session for event in purchases}
    return {
        "past_purchase_value": sum(event.price for event in purchases),
        "past_converting_share": len(converting) / len(sessions) if sessions else -1.0,
        "since_product_past_s": _since(decision, product),
        "past_sessions": len({event.session for event in past}),
        "past_converting_sessions": len({event.session for event in purchases}),
        "past_views": len(views),
        "past_carts": len(carts),
        "past_purchases": len(purchases),
        "past_product_views": len(_of(product, VIEW)),
        "past_product_carts": len(_of(product, CART)),
        "past_product_purchases": len(_of(product, PURCHASE)),
        "past_category_purchases": len(category),
        "since_past_session_s": _since(decision, past),
        "since_past_cart_s": _since(decision, carts),
        "since_past_purchase_s": _since(decision, purchases),
        "since_category_purchase_s": _since(decision, sorted([*category, *now])),
        "known_for_s": _since(decision, sorted([*past[:1], session[0]]), 0),
    }


def _discounts(session: Sequence[Event], past: Sequence[Event], catalog: Catalog) -> dict[str, float]:
    prices = {event.product: event.price for event in session}
    mean = sum(prices.values()) / len(prices)
    off = [_discount(price, catalog.recent_high(product)) for product, price in prices.items()]
    known = [one for one in off if one is not None]
    viewed = [_discount(event.price, catalog.recent_high(event.product)) for event in _of(past, VIEW)]
    known_past = [one for one in viewed if one is not None]
    return {
        "session_price_spread": math.sqrt(
            sum((price - mean) * (price - mean) for price in prices.values()) / len(prices)
        ),
        "session_discount_min": min(known, default=0.0),
        "session_discount_mean": _mean(known),
        "session_discount_max": max(known, default=0.0),
        "past_discount_mean": _mean(known_past) if known_past else -1.0,
    }


def _discount(price: float, high: float) -> float | None:
    return max(1.0 - price / high, LEAST_DISCOUNT) if high > 0.0 else None


def _runs(past: Sequence[Event]) -> dict[str, float]:
    runs = [list(run) for _, run in groupby(past, key=lambda event: event.session)]
    spent_s = sum(run[-1].time_us - run[0].time_us for run in runs) / SECOND_US
    bought = [i for i, run in enumerate(runs) if _of(run, PURCHASE)]
    return {
        "previous_session_carts": len(_of(runs[-1], CART)) if runs else 0,
        "previous_session_s": _between(runs[-1][0], runs[-1][-1]) if runs else -1.0,
        "past_days": len({event.time_us // DAY_US for event in past}),
        "past_time_s": spent_s,
        "past_session_s": spent_s / len(runs) if runs else -1.0,
        "sessions_since_purchase": len(runs) - 1 - bought[-1] if bought else -1.0,
    }


def _shape_of_past(decision: Decision, past: Sequence[Event]) -> dict[str, float]:
    views, carts, _, purchases = (_of(past, kind) for kind in EventKind)
    of_category = [event for event in past if event.category == decision.category]
    viewed, carted = {event.product for event in views}, {event.product for event in carts}
    return {
        "past_products": len({event.product for event in past}),
        "past_carted_share": len(viewed & carted) / len(viewed) if viewed else -1.0,
        "past_views_per_cart": len(views) / (len(carts) + 1) if past else -1.0,
        "past_highest_purchase": max((event.price for event in purchases), default=0.0),
        "past_category_view_share": len(_of(of_category, VIEW)) / len(views) if views else -1.0,
        "past_category_carts": len(_of(of_category, CART)),
        "past_category_buy_share": len(_of(of_category, PURCHASE)) / len(purchases) if purchases else -1.0,
    }


def _catalog(decision: Decision, catalog: Catalog) -> dict[str, float]:
    product = catalog.product(decision.product, decision.category)
    brand = catalog.brand(decision.brand)
    category = catalog.category(decision.category)
    at_hour = catalog.category_hour(decision.category, decision.hour)
    hour = catalog.hour(decision.hour)
    band = catalog.price_band(decision.price)
    return {
        "product_views_per_day": product.views_per_day,
        "product_trend": product.trend,
        "product_cart_rate": product.cart_rate,
        "product_buy_rate": product.buy_rate,
        "product_cart_to_buy": product.cart_to_buy,
        "product_remove_rate": product.remove_rate,
        "brand_buy_rate": brand.buy_rate,
        "brand_cart_to_buy": brand.cart_to_buy,
        "category_cart_rate": category.cart_rate,
        "category_buy_rate": category.buy_rate,
        "category_cart_to_buy": category.cart_to_buy,
        "category_hour_buy_rate": at_hour.buy_rate,
        "category_hour_cart_to_buy": at_hour.cart_to_buy,
        "hour_buy_rate": hour.buy_rate,
        "hour_cart_to_buy": hour.cart_to_buy,
        "band_buy_rate": band.buy_rate,
        "band_cart_to_buy": band.cart_to_buy,
        "shop_cart_to_buy": catalog.shop.cart_to_buy,
    }
