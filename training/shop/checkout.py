"""The end of a visit: what is removed, what is bought, and at what time.

Luck is shared: all products of one visit draw correlated uniforms (a Gaussian copula, Sklar 1959), so a checkout
takes most of a cart or nothing, as in the real shop, while each product is bought with exactly its own
probability. Nothing that happens before depends on this luck, so no event before the checkout gives it away.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from common.events import EventKind
from training.shop import pace
from training.shop.behaviour import Floats, Known
from training.shop.floor import Flags, Floor, Ids
from training.shop.record import MEETING, Rows
from training.shop.visit import AT_THE_END


def shared_luck(owner: Ids, owners: int, correlation: float, rng: Generator) -> Floats:
    """Uniforms (n,) that are correlated among rows of the same owner (below `owners`) and else independent."""
    common = rng.standard_normal(owners)[owner]
    own = rng.standard_normal(owner.size)
    return np.asarray(ndtr(np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own))


def settle(floor: Floor, begin: int, only_bought: Ids, answers: Flags) -> Flags:
    """Close a visit for everyone who has carted something in it, or came to buy only.

    Args:
        floor: its clocks move to the checkout for those who buy.
        begin: the visit's first row among the meetings.
        only_bought: earlier meetings whose product is bought now without being looked at.
        answers: for each of those, whether that settles the earlier meeting.

    Returns:
        Who bought, (shoppers,).
    """
    ids = begin + np.flatnonzero(floor.meetings.rows["cart_us"][begin:])
    ids = ids[np.argsort(floor.meetings.rows["user"][ids], kind="stable")]
    met = floor.meetings.rows[ids]
    bought = _drawn_purchases(floor, met)
    _remove(floor, met[met["removal"] == AT_THE_END])
    _cart_again(floor, met[bought & (met["removal"] > 0)])
    floor.meetings.rows["bought"][ids] = bought
    callers = met["caller"][bought]
    floor.meetings.rows["bought"][callers[callers >= 0]] = True
    floor.meetings.rows["bought"][only_bought[answers]] = True
    return _check_out(floor, met[bought], _as_of_now(floor, only_bought))


def _drawn_purchases(floor: Floor, met: Rows) -> Flags:
    b = floor.world.behaviour
    luck = shared_luck(met["user"].astype(np.int64), floor.shoppers.size, b.togetherness, floor.rng)
    factor = np.where(met["removal"] > 0, b.buys_after_removal, 1.0)
    idle = (met["known"] == Known.NEW) & ~floor.shoppers.intends[met["user"]]
    return np.asarray(luck < factor * expit(met["buy_log_odds"] + idle * b.buy.no_intent))


def _remove(floor: Floor, met: Rows) -> None:
    first = np.diff(met["user"], prepend=-1) != 0
    begins = pace.TO_REMOVAL.drawn(met.size, floor.rng)
    goes_on = pace.NEXT_REMOVAL.drawn(met.size, floor.rng)
    floor.emit(met, _in_turn(floor, met, np.where(first, begins, goes_on)), EventKind.REMOVE)
    floor.shoppers.basket -= _per_shopper(floor, met)


def _cart_again(floor: Floor, met: Rows) -> None:
    floor.emit(met, _in_turn(floor, met, pace.CART_AGAIN.drawn(met.size, floor.rng)), EventKind.CART)
    floor.shoppers.basket += _per_shopper(floor, met)


def _check_out(floor: Floor, from_cart: Rows, from_before: Rows) -> Flags:
    """Log the purchases, one instant for each shopper."""
    b, rng, shoppers = floor.world.behaviour, floor.rng, floor.shoppers
    bought = np.concatenate([from_cart, from_before])
    buys = _per_shopper(floor, bought) > 0
    buyers = np.flatnonzero(buys)
    delay_s = pace.CHECKOUT.drawn(buyers.size, rng, limit_s=pace.MAX_CHECKOUT_S)
    shoppers.clock_us[buyers] += pace.elapsed_us(delay_s)
    unseen = _unseen(floor, buyers[rng.random(buyers.size) < b.unseen])
    lines = np.concatenate([bought, unseen])
    lines = np.concatenate([lines, lines[rng.random(lines.size) < b.double_line]])
    floor.emit(lines, shoppers.clock_us[lines["user"]], EventKind.PURCHASE)
    shoppers.basket -= _per_shopper(floor, from_cart)
    shoppers.met += _per_shopper(floor, from_before) + _per_shopper(floor, unseen)
    shoppers.last_purchase_us[buyers] = shoppers.clock_us[buyers]
    shoppers.bought_here |= buys
    return buys


def _unseen(floor: Floor, who: Ids) -> Rows:
    """Products that were never looked at: the log misses some looks of real shoppers."""
    product = floor.new_products(who, np.full(who.size, -1, np.int16))
    found = product >= 0
    return _priced(floor, who[found], product[found])


def _as_of_now(floor: Floor, ids: Ids) -> Rows:
    met = floor.meetings.rows[ids]
    return _priced(floor, met["user"].astype(np.int64), met["product"].astype(np.int64))


def _priced(floor: Floor, who: Ids, product: Ids) -> Rows:
    rows = np.zeros(who.size, MEETING)
    rows["user"], rows["session"], rows["product"] = who, floor.shoppers.session[who], product
    rows["cents"] = floor.shown(who, product, floor.shoppers.clock_us[who])[0]
    return rows


def _in_turn(floor: Floor, met: Rows, gap_s: Floats) -> Ids:
    """Times of one event for each row, sorted by shopper; moves the clocks to each shopper's last."""
    who = met["user"].astype(np.int64)
    time_us = floor.shoppers.clock_us[who] + pace.within_groups(who, pace.elapsed_us(gap_s))
    floor.shoppers.clock_us[who] = time_us  # the last one of a shopper stays: numpy assigns in order
    return time_us


def _per_shopper(floor: Floor, rows: Rows) -> NDArray[np.int32]:
    return np.bincount(rows["user"], minlength=floor.shoppers.size).astype(np.int32)
