"""How shoppers decide, as explicit functions of what anyone can see and of one hidden bit, the intent to buy.

Three things are decided: whether a visit is made with the intent to buy, whether a product that is met goes into the
cart, and whether it is bought once it is there. Intent shows only in how long a visit goes on; what can be known of
it is a posterior that is followed exactly (`intent_log_odds`, then the likelihood ratios of `stop_probability`).
What else outcomes share within a visit is luck that nothing before the checkout depends on.
`training/shop/truth.py` turns these functions into the true probability of every decision point.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]


class Known(IntEnum):
    """What a shopper did with a product in the session before; NEW is a product never met."""

    NEW = 0
    VIEWED = 1
    CARTED = 2
    BOUGHT = 3


class Situation(NamedTuple):
    """What can be seen when shoppers meet products; every array is (n,).

    `deal` is 1 - price shown / recent high of the shelf price; `basket` counts other products in the cart now and
    `met` the products met earlier in the session; flags are 0 or 1. `intent` is the probability that the visit is made
    with the intent to buy, given everything seen so far.
    """

    known: NDArray[np.int8]
    cart_appeal: Floats
    buy_appeal: Floats
    price: Floats
    deal: Floats
    member: Floats
    basket: NDArray[np.int32]
    met: NDArray[np.int32]
    hour: NDArray[np.int64]
    weekend: Floats
    recent_buyer: Floats
    bought_here: Floats
    intent: Floats


class Opening(NamedTuple):
    """What can be seen when visits begin; every array is (n,), flags are 0 or 1."""

    member: Floats
    returning: Floats
    recent_buyer: Floats
    bought_here: Floats
    weekend: Floats
    hour: NDArray[np.int64]


# fmt: off
CART_HOURS = (-0.1, -0.1, -0.1, -0.1, -0.15, -0.2, -0.25, -0.3, -0.3, -0.3, -0.25, -0.2,
              -0.1, 0.1, 0.15, 0.15, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05, 0.0, -0.05)
INTENT_HOURS = (-0.2, -0.4, -0.4, -0.4, -0.4, -0.5, -1.3, -2.2, -3.2, -3.0, -3.0, -2.6,
                -0.5, 0.15, 0.25, 0.3, 0.3, 0.3, 0.25, 0.25, 0.3, 0.25, 0.2, 0.2)
STOPS = (0.515, 0.435, 0.395, 0.365, 0.345, 0.325, 0.31, 0.30, 0.29)
# fmt: on


@dataclass(frozen=True)
class IntentWeights:
    """Log-odds that a visit is made with the intent to buy; hours are UTC, 6 to 12 is the night of these shoppers."""

    base: float = -2.2
    member: float = 1.75
    returning: float = 0.3
    recent_buyer: float = 0.6
    bought_here: float = 0.5
    weekend: float = -0.5
    hours: tuple[float, ...] = INTENT_HOURS


@dataclass(frozen=True)
class CartWeights:
    """Log-odds of putting a product in the cart; `again` and `again_*` are for products known before."""

    base: float = -1.58
    deal: float = 1.9
    deal_by_log_price: float = -0.3
    basket: float = 2.9
    any_basket: float = 1.1
    met: float = -0.97
    basket_by_met: float = -0.5
    recent_buyer: float = 0.4
    bought_here: float = 1.2
    weekend: float = -0.15
    hours: tuple[float, ...] = CART_HOURS
    again: tuple[float, ...] = (0.0, -0.65, 2.0, -0.3)
    again_appeal: float = 0.6
    again_member: float = 0.4


@dataclass(frozen=True)
class BuyWeights:
    """Log-odds of buying what is in the cart, with the intent to buy; `again` and `again_*` as for the cart."""

    base: float = 1.6
    deal: float = 3.0
    no_intent: float = -5.3
    per_extra_look: float = -0.25  # for each view of the product before the cart after the first
    again: tuple[float, ...] = (0.0, -1.0, -0.5, 0.2)
    again_appeal: float = 1.0
    again_member: float = 0.7


@dataclass(frozen=True)
class Behaviour:
    """Every parameter of how shoppers behave; the defaults are fitted to two months of a real shop.

    `called_back`, `only_buys` and `recalled_later` have a value for each `Known`.
    """

    intent: IntentWeights = IntentWeights()
    cart: CartWeights = CartWeights()
    buy: BuyWeights = BuyWeights()
    # the funnel
    looks_carted: tuple[float, ...] = (0.905, 0.060, 0.025, 0.006, 0.003, 0.001)  # shares of 1, 2, ... views in a row
    looks_left: tuple[float, ...] = (0.830, 0.095, 0.050, 0.013, 0.007, 0.005)  # the same, of products not carted
    cart_only: float = 0.0095  # share of meetings without a view: carted from a list
    later_cart: float = 0.09  # share of carted products that are carted only after a second look at the visit's end
    second_look: float = 0.05  # share of uncarted products that are looked at once more
    lines: tuple[float, ...] = (0.862, 0.098, 0.030, 0.010)  # shares of 1, 2, ... additions of one product
    removed: float = 0.115
    removed_at_once: float = 0.45
    buys_after_removal: float = 0.25  # factor on the probability to buy
    togetherness: float = 0.995  # correlation of the luck of all purchases of one visit
    double_line: float = 0.058  # share of purchases that are logged twice
    unseen: float = 0.13  # share of checkouts with one more product that the log has never seen
    # browsing
    stays_in_category: float = 0.49
    stops: tuple[float, ...] = STOPS
    stops_member: float = -0.30
    stops_returning: float = -0.15
    stops_intent: float = -0.65
    goes_on_after_checkout: float = 0.10
    # coming back
    member_first: float = 0.10  # of first sessions
    member_at_night: float = 0.4  # factor on it from 6 to 13 h UTC
    member_joins: float = 0.12
    member_stays: float = 0.74
    called_back: tuple[float, ...] = (0.0, 0.018, 0.105, 0.0)  # by an unbought product, within 14 hours
    called_back_member: float = 1.5  # factor for members
    calls_together: float = 0.6  # correlation of the luck of those calls
    only_buys: tuple[float, ...] = (0.0, 0.01, 0.2, 0.0)  # of a recalled product: no view, no cart, just bought
    recalled_later: tuple[float, ...] = (0.0, 0.14, 0.37, 0.15)  # when back after a day or more
    comes_back_soon: tuple[float, ...] = (0.035, 0.08, 0.10, 0.11, 0.13, 0.26)  # by sessions so far, for no reason
    comes_back_later: tuple[float, ...] = (0.105, 0.25, 0.29, 0.33, 0.40, 0.56)
    comes_back_later_member: float = 1.6


def intent_log_odds(w: IntentWeights, o: Opening) -> Floats:
    """Log-odds of the intent to buy when a visit begins, (n,)."""
    facts = w.member * o.member + w.returning * o.returning + w.recent_buyer * o.recent_buyer
    return np.asarray(w.base + facts + w.bought_here * o.bought_here + w.weekend * o.weekend + _at(w.hours, o.hour))


def cart_log_odds(w: CartWeights, s: Situation) -> Floats:
    """Log-odds of putting a product in the cart once it is viewed, (n,)."""
    basket, met = np.log1p(s.basket), np.log1p(s.met)
    new = (
        w.base
        + s.cart_appeal
        + s.deal * (w.deal + w.deal_by_log_price * np.log(s.price / 15.0))
        + w.basket * basket
        + w.any_basket * (s.basket > 0)
        + met * (w.met + w.basket_by_met * basket)
        + w.recent_buyer * s.recent_buyer
        + w.bought_here * s.bought_here
        + w.weekend * s.weekend
        + _at(w.hours, s.hour)
    )
    return np.where(s.known == Known.NEW, new, again_log_odds(w, s.known, s.cart_appeal, s.member))


def buy_log_odds(w: BuyWeights, s: Situation) -> Floats:
    """Log-odds of buying a product once it is in the cart, after one look, with the intent to buy, (n,)."""
    new = w.base + s.buy_appeal + w.deal * s.deal
    return np.where(s.known == Known.NEW, new, again_log_odds(w, s.known, s.buy_appeal, s.member))


def again_log_odds(w: CartWeights | BuyWeights, known: NDArray[np.int8], appeal: Floats, member: Floats) -> Floats:
    """Log-odds of a decision about a product known from the session before, (n,).

    They depend on nothing that happens in between, intent included, so that the truth at the earlier session's
    decision points can foresee them exactly.
    """
    return _at(w.again, known) + w.again_appeal * appeal + w.again_member * member


def stop_probability(b: Behaviour, met: NDArray[np.int32], member: Floats, returning: Floats, intent: Floats) -> Floats:
    """Probability that a visit ends after the product just met; `met` counts this one too, (n,)."""
    base = _at(b.stops, np.minimum(met, len(b.stops)) - 1)
    shift = b.stops_member * member + b.stops_returning * returning + b.stops_intent * intent
    return np.asarray(expit(np.log(base / (1.0 - base)) + shift))


def by_visits(table: tuple[float, ...], visits: NDArray[np.int32]) -> Floats:
    """The table's value for each count of sessions so far (1 is the first); the last stands for all beyond."""
    return _at(table, np.minimum(visits, len(table)) - 1)


def _at(table: tuple[float, ...], index: NDArray[np.integer[Any]]) -> Floats:
    return np.asarray(np.asarray(table)[index])


DEFAULT = Behaviour()
