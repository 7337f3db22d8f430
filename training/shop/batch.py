"""A batch of shoppers from their first arrival to the end of the log."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from common.clock import DAY_US, HOUR_US
from training.shop import pace
from training.shop.behaviour import Floats
from training.shop.checkout import settle
from training.shop.floor import Flags, Floor, Ids, World
from training.shop.record import Rows, Shoppers
from training.shop.returns import Returns, come_back, no_recall
from training.shop.visit import browse

_BUYS_AND_LEAVES = 0.5
"""Share of sessions begun to buy remembered products, and nothing else remembered, that see no other product."""


class Batch(NamedTuple):
    """What happened: EVENT rows in no order, MEETING rows, and the number of sessions."""

    events: Rows
    meetings: Rows
    sessions: int


def simulated(world: World, arrival_us: Ids, end_us: int, rng: Generator) -> Batch:
    """Everything that shoppers who arrive at `arrival_us` (n,) do in sessions that begin before `end_us`."""
    floor = Floor(world, Shoppers(arrival_us, world.assortment.size), rng)
    shoppers = floor.shoppers
    nobody, nothing = np.zeros(0, np.int64), np.zeros(0, bool)
    shoppers.member[:] = rng.random(shoppers.size) < _member_share(world, arrival_us)
    coming = Returns(np.arange(shoppers.size), arrival_us, no_recall(shoppers.size), nobody, nothing)
    staying, pool, sessions = np.zeros(shoppers.size, bool), nobody, 0
    while coming.who.size or staying.any():
        _open(floor, coming, sessions)
        sessions += coming.who.size
        here = staying.copy()
        here[coming.who] = True
        begin = floor.meetings.size
        browse(floor, np.flatnonzero(here & ~_only_buys(floor, coming)), coming.recall)
        bought = settle(floor, begin, coming.only_bought, coming.only_answers)
        pool = np.concatenate([pool, np.arange(begin, floor.meetings.size)])
        staying = _stay(floor, here & bought)
        stays = staying[floor.meetings.rows["user"][pool]]
        coming = come_back(floor, here & ~staying, pool[~stays], end_us)
        pool = pool[stays]
    return Batch(floor.events, floor.meetings.rows, sessions)


def _member_share(world: World, arrival_us: Ids) -> Floats:
    """Probability that shoppers are members when they first come, (n,)."""
    b, hour = world.behaviour, arrival_us % DAY_US // HOUR_US
    return b.member_first * np.where((hour >= 6) & (hour < 13), b.member_at_night, 1.0)


def _open(floor: Floor, coming: Returns, sessions: int) -> None:
    """Begin a session for each who comes; sessions are numbered from `sessions`."""
    shoppers, who = floor.shoppers, coming.who
    shoppers.session[who] = sessions + np.arange(who.size)
    shoppers.session_start_us[who] = coming.start_us
    shoppers.clock_us[who] = coming.start_us
    shoppers.past_purchase_us[who] = shoppers.last_purchase_us[who]
    shoppers.visits[who] += 1
    shoppers.met[who] = 0
    shoppers.basket[who] = 0
    shoppers.bought_here[who] = False
    shoppers.after_cart[who] = False
    shoppers.category[who] = -1


def _only_buys(floor: Floor, coming: Returns) -> Flags:
    """Who has come only to buy what was left in the cart, (shoppers,)."""
    buys = np.zeros(floor.shoppers.size, bool)
    buys[floor.meetings.rows["user"][coming.only_bought]] = True
    return np.asarray(buys & (coming.recall.length == 0) & (floor.rng.random(buys.size) < _BUYS_AND_LEAVES))


def _stay(floor: Floor, bought: Flags) -> Flags:
    """Who looks around once more after the checkout; their clocks move on to that."""
    shoppers, rng = floor.shoppers, floor.rng
    in_time = shoppers.clock_us - shoppers.session_start_us < pace.VISIT_LIMIT_US
    stays = bought & in_time & (rng.random(shoppers.size) < floor.world.behaviour.goes_on_after_checkout)
    who = np.flatnonzero(stays)
    shoppers.clock_us[who] += pace.elapsed_us(pace.AFTER_CHECKOUT.drawn(who.size, rng))
    shoppers.after_cart[who] = False
    return stays
