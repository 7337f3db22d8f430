"""A visit: shoppers meet product after product, look, fill their carts, and go back to some of what they met.

All shoppers of a batch take the same step together, so a step costs some numpy calls whatever their number.
Nothing here depends on what will be bought: that is settled at the visit's end (`checkout.py`), by
probabilities that are fixed when a product is met and carted.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit

from common.clock import DAY_US, HOUR_US
from training.shop import pace, truth
from training.shop.behaviour import Floats, Known, Opening, Situation, buy_log_odds, intent_log_odds, stop_probability
from training.shop.floor import Flags, Floor, Ids
from training.shop.record import MEETING, Rows

MAX_STEPS = 128
RECENT_US = 30 * DAY_US
LOOK_LATER, CART_LATER = 1, 2
AT_ONCE, AT_THE_END = 1, 2


class Recall(NamedTuple):
    """Products that shoppers come back to before new ones.

    `begin` and `length` (shoppers,) point into `meeting` (k,), rows of earlier meetings sorted by shopper; `known` (k,)
    says how far the product got then, and `answers` (k,) whether this visit answers its call, so that a purchase
    settles the earlier meeting too.
    """

    begin: Ids
    length: Ids
    meeting: Ids
    known: NDArray[np.int8]
    answers: Flags


def browse(floor: Floor, who: Ids, recall: Recall) -> None:
    """Shoppers `who` meet products until each has stopped, then look again at some."""
    begin = floor.meetings.size
    _intend(floor, who)
    active = who
    for step in range(MAX_STEPS):
        if not active.size:
            break
        active = _step(floor, active, step, recall)
    _look_again(floor, begin)


def drawn_count(shares: tuple[float, ...], n: int, rng: Generator) -> NDArray[np.int8]:
    """Counts of one and more with the given shares, (n,)."""
    edges = np.cumsum(shares) / np.sum(shares)
    return (1 + np.searchsorted(edges[:-1], rng.random(n), side="right")).astype(np.int8)


def _step(floor: Floor, active: Ids, step: int, recall: Recall) -> Ids:
    """Each active shopper meets one product; gives those who go on."""
    who, product, known, caller = _choice(floor, active, step, recall)
    shoppers = floor.shoppers
    first_us = shoppers.clock_us[who] + (_gap_us(floor, who) if step else 0)
    shoppers.intent_log_odds[who] += shoppers.went_on[who]
    met, situation = _met(floor, who, product, known, first_us)
    met["caller"] = caller
    now = _decide(floor, met, situation)
    lines = np.where(now, drawn_count(floor.world.behaviour.lines, who.size, floor.rng), 0).astype(np.int8)
    block = floor.block(who, first_us, met["looks"], lines, now & (met["removal"] == AT_ONCE))
    floor.log_block(met, block)
    met["view_us"] = np.where(met["looks"] > 0, first_us, 0)
    met[now] = _carted(floor, met[now], floor.first_cart_us(block)[now], met["looks"][now])
    floor.meetings.append(met)
    shoppers.category[who] = floor.world.assortment.category[product]
    shoppers.after_cart[who] = now
    shoppers.met[who] += 1
    shoppers.basket[who] += now & (met["removal"] != AT_ONCE)
    return who[~_stops(floor, who, step, recall)]


def _choice(floor: Floor, active: Ids, step: int, recall: Recall) -> tuple[Ids, Ids, NDArray[np.int8], Ids]:
    """Who meets which product next, what is known of it, and the meeting that it answers or -1."""
    again = step < recall.length[active]
    spot = recall.begin[active[again]] + step
    product, caller = np.full(active.size, -1, np.int64), np.full(active.size, -1, np.int64)
    known = np.full(active.size, Known.NEW, np.int8)
    product[again] = floor.meetings.rows["product"][recall.meeting[spot]]
    known[again] = recall.known[spot]
    caller[again] = np.where(recall.answers[spot], recall.meeting[spot], -1)
    who = active[~again]
    stays = floor.rng.random(who.size) < floor.world.behaviour.stays_in_category
    product[~again] = floor.new_products(who, np.where(stays, floor.shoppers.category[who], -1).astype(np.int16))
    found = product >= 0
    return active[found], product[found], known[found], caller[found]


def _gap_us(floor: Floor, who: Ids) -> Ids:
    after_cart = floor.shoppers.after_cart[who]
    after = pace.AFTER_CART.drawn(who.size, floor.rng)
    plain = pace.NEXT_PRODUCT.drawn(who.size, floor.rng)
    return pace.elapsed_us(np.where(after_cart, after, plain))


def _met(floor: Floor, who: Ids, product: Ids, known: NDArray[np.int8], time_us: Ids) -> tuple[Rows, Situation]:
    """New rows of meetings, and the situations that decide what comes of them."""
    shoppers, assortment = floor.shoppers, floor.world.assortment
    cents, deal = floor.shown(who, product, time_us)
    met = np.zeros(who.size, MEETING)
    met["user"], met["session"] = who, shoppers.session[who]
    met["product"], met["cents"], met["known"] = product, cents, known
    situation = Situation(
        known=known,
        cart_appeal=assortment.cart_appeal[product],
        buy_appeal=assortment.buy_appeal[product],
        price=cents / 100.0,
        deal=deal,
        member=shoppers.member[who].astype(float),
        basket=shoppers.basket[who],
        met=shoppers.met[who],
        hour=time_us % DAY_US // HOUR_US,
        weekend=(pace.weekday(time_us) >= 5).astype(float),
        recent_buyer=_recent_buyer(floor, who, time_us),
        bought_here=shoppers.bought_here[who].astype(float),
        intent=np.asarray(expit(shoppers.intent_log_odds[who])),
    )
    return met, situation


def _recent_buyer(floor: Floor, who: Ids, time_us: Ids) -> Floats:
    return np.asarray((floor.shoppers.past_purchase_us[who] > time_us - RECENT_US).astype(float))


def _decide(floor: Floor, met: Rows, s: Situation) -> Flags:
    """Draw what each meeting leads to and write down its truth; gives which are carted at once, (n,)."""
    b, rng, n = floor.world.behaviour, floor.rng, met.size
    cart = truth.cart_probability(b, s)
    met["buy_log_odds"] = buy_log_odds(b.buy, s)
    met["calls_carted"] = truth.later_calls(b, s, Known.CARTED)
    met["view_truth"] = truth.view_point(b, s, cart, met["buy_log_odds"], met["calls_carted"])
    unseen = (s.known == Known.NEW) & (rng.random(n) < b.cart_only)
    carted = unseen | (rng.random(n) < cart)
    looks = np.where(carted, drawn_count(b.looks_carted, n, rng), drawn_count(b.looks_left, n, rng))
    met["looks"] = np.where(unseen, 0, looks)
    removed = carted & (rng.random(n) < b.removed)
    at_once = rng.random(n) < b.removed_at_once
    met["removal"] = np.where(removed, np.where(at_once, AT_ONCE, AT_THE_END), 0)
    later = rng.random(n) < np.where(carted, b.later_cart, b.second_look)
    met["pending"] = np.where(later & ~unseen, np.where(carted, CART_LATER, LOOK_LATER), 0)
    return np.asarray(carted & (met["pending"] != CART_LATER))


def _carted(floor: Floor, met: Rows, cart_us: Ids, looks: NDArray[np.int8]) -> Rows:
    """The meetings with the time of the cart, its true probability, and the odds after `looks` views."""
    b = floor.world.behaviour
    intent = truth.intent_of(met["known"], np.asarray(expit(floor.shoppers.intent_log_odds[met["user"]])))
    met["cart_us"] = cart_us
    met["buy_log_odds"] = truth.with_looks(b, met["buy_log_odds"], looks)
    met["cart_truth"] = truth.cart_point(b, met["buy_log_odds"], intent, met["calls_carted"])
    return met


def _intend(floor: Floor, who: Ids) -> None:
    """Visits begin: draw the hidden intent, and note what can be known of it."""
    shoppers = floor.shoppers
    now_us = shoppers.clock_us[who]
    opening = Opening(
        member=shoppers.member[who].astype(float),
        returning=shoppers.returning[who].astype(float),
        recent_buyer=_recent_buyer(floor, who, now_us),
        bought_here=shoppers.bought_here[who].astype(float),
        weekend=(pace.weekday(now_us) >= 5).astype(float),
        hour=now_us % DAY_US // HOUR_US,
    )
    shoppers.intent_log_odds[who] = intent_log_odds(floor.world.behaviour.intent, opening)
    shoppers.intends[who] = floor.rng.random(who.size) < expit(shoppers.intent_log_odds[who])
    shoppers.went_on[who] = 0.0


def _stops(floor: Floor, who: Ids, step: int, recall: Recall) -> Flags:
    """Who stops now; notes what stopping, or going on, says about the intent."""
    shoppers = floor.shoppers
    with_intent, without = (
        stop_probability(
            floor.world.behaviour,
            shoppers.met[who],
            shoppers.member[who].astype(float),
            shoppers.returning[who].astype(float),
            np.full(who.size, intent),
        )
        for intent in (1.0, 0.0)
    )
    late = shoppers.clock_us[who] - shoppers.session_start_us[who] > pace.VISIT_LIMIT_US
    free = (step + 1 >= recall.length[who]) & ~late
    shoppers.went_on[who] = np.where(free, np.log((1.0 - with_intent) / (1.0 - without)), 0.0)
    shoppers.stopped[who] = np.where(free, np.log(with_intent / without), 0.0)
    stops = floor.rng.random(who.size) < np.where(shoppers.intends[who], with_intent, without)
    return np.where(free, stops, late & (step + 1 >= recall.length[who]))


def _look_again(floor: Floor, begin: int) -> None:
    """Second looks at products of this visit, one for each shopper at a time, in the order in which they were met."""
    met = floor.meetings.rows[begin:]
    pending = np.flatnonzero(met["pending"])
    pending = pending[np.argsort(met["user"][pending], kind="stable")]
    rank = pace.within_groups(met["user"][pending].astype(np.int64), np.ones(pending.size, np.int64)) - 1
    who = np.unique(met["user"][pending])
    floor.shoppers.intent_log_odds[who] += floor.shoppers.stopped[who]  # a second look shows that browsing is over
    for turn in range(int(rank.max(initial=-1)) + 1):
        _look_again_once(floor, begin + pending[rank == turn])


def _look_again_once(floor: Floor, ids: Ids) -> None:
    met = floor.meetings.rows[ids]
    who = met["user"].astype(np.int64)
    b, n = floor.world.behaviour, ids.size
    now = met["pending"] == CART_LATER
    looks = np.where(now, drawn_count(b.looks_carted, n, floor.rng), drawn_count(b.looks_left, n, floor.rng))
    lines = np.where(now, drawn_count(b.lines, n, floor.rng), 0).astype(np.int8)
    first_us = floor.shoppers.clock_us[who] + _gap_us(floor, who)
    block = floor.block(who, first_us, looks, lines, now & (met["removal"] == AT_ONCE))
    floor.log_block(met, block)
    met[now] = _carted(floor, met[now], floor.first_cart_us(block)[now], met["looks"][now] + looks[now])
    floor.meetings.rows[ids] = met
    floor.shoppers.after_cart[who] = now
    floor.shoppers.basket[who] += now & (met["removal"] != AT_ONCE)
