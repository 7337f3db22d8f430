"""What brings shoppers back: products they did not buy, habit, and what they look at first.

An unbought product calls its shopper back within hours with a probability of its own; that is part of the truth of
its decision points (`truth.py`). Who is not called may come back unasked, soon or after a day and more. Those
returns have no part in any earlier label: a shopper does not choose a product anew that is known from before, and
the horizon of 24 h has passed when known products are met again after a day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.shop import pace, truth
from training.shop.behaviour import Known, by_visits
from training.shop.checkout import shared_luck
from training.shop.floor import Flags, Floor, Ids
from training.shop.record import Rows
from training.shop.visit import RECENT_US, Recall


class Returns(NamedTuple):
    """The next sessions: who comes when, what they look at first, and what they just buy."""

    who: Ids
    start_us: Ids
    recall: Recall
    only_bought: Ids
    only_answers: Flags


def no_recall(shoppers: int) -> Recall:
    """Nobody remembers a product."""
    nothing = np.zeros(0, np.int64)
    zeros = np.zeros(shoppers, np.int64)
    return Recall(zeros, zeros, nothing, nothing.astype(np.int8), nothing.astype(bool))


def come_back(floor: Floor, over: Flags, met: Ids, end_us: int) -> Returns:
    """Who of those whose session is over comes back before `end_us`.

    Args:
        floor: sets member and returning of those who come back.
        over: whose session is over, (shoppers,).
        met: every meeting of those sessions, in order.
        end_us: when the log ends.
    """
    rows = floor.meetings.rows[met]
    known = _known(rows)
    called_by = _calls(floor, rows, known)
    called = np.zeros(floor.shoppers.size, bool)
    called[rows["user"][called_by]] = True
    later = _unasked(floor, over & ~called, floor.world.behaviour.comes_back_later, member_factor=True)
    soon = _unasked(floor, over & ~called & ~later, floor.world.behaviour.comes_back_soon)
    who = np.flatnonzero(called | soon | later)
    start_us = _starts(floor, who, called, later)
    who, start_us = who[start_us < end_us], start_us[start_us < end_us]
    comes = np.zeros(floor.shoppers.size, bool)
    comes[who] = True
    _renew(floor, who, start_us)
    remembered = comes[rows["user"]] & (called_by | _remembered_later(floor, rows, known, later))
    only = remembered & (floor.rng.random(met.size) < np.asarray(floor.world.behaviour.only_buys)[known])
    again = np.flatnonzero(remembered & ~only)
    return Returns(
        who=who,
        start_us=start_us,
        recall=_recall(floor, met[again], known[again], called_by[again]),
        only_bought=met[only],
        only_answers=called_by[only],
    )


def _known(rows: Rows) -> NDArray[np.int8]:
    carted = np.where(rows["cart_us"] > 0, Known.CARTED, Known.VIEWED)
    return np.where(rows["bought"], Known.BOUGHT, carted).astype(np.int8)


def _calls(floor: Floor, rows: Rows, known: NDArray[np.int8]) -> Flags:
    """Which meetings call their shopper back: only of products that were new then, so that a call never follows
    another within one horizon."""
    b = floor.world.behaviour
    owner = rows["user"].astype(np.int64)
    luck = shared_luck(owner, floor.shoppers.size, b.calls_together, floor.rng)
    member = floor.shoppers.member[owner].astype(float)
    return np.asarray((rows["known"] == Known.NEW) & (luck < truth.call_probability(b, known, member)))


def _unasked(floor: Floor, candidates: Flags, table: tuple[float, ...], *, member_factor: bool = False) -> Flags:
    shoppers = floor.shoppers
    probability = by_visits(table, shoppers.visits)
    if member_factor:
        factor = floor.world.behaviour.comes_back_later_member
        probability = np.minimum(probability * np.where(shoppers.member, factor, 1.0), 0.95)
    return np.asarray(candidates & (floor.rng.random(shoppers.size) < probability))


def _starts(floor: Floor, who: Ids, called: Flags, later: Flags) -> Ids:
    clock_us = floor.shoppers.clock_us[who]
    soon_us = clock_us + pace.soon(called[who], floor.rng)
    return np.where(later[who], pace.later(clock_us, floor.rng), soon_us)


def _renew(floor: Floor, who: Ids, start_us: Ids) -> None:
    b, shoppers = floor.world.behaviour, floor.shoppers
    chance = np.where(shoppers.member[who], b.member_stays, b.member_joins)
    shoppers.member[who] = floor.rng.random(who.size) < chance
    shoppers.returning[who] = start_us - shoppers.clock_us[who] < RECENT_US


def _remembered_later(floor: Floor, rows: Rows, known: NDArray[np.int8], later: Flags) -> Flags:
    b = floor.world.behaviour
    luck = shared_luck(rows["user"].astype(np.int64), floor.shoppers.size, b.calls_together, floor.rng)
    return np.asarray(later[rows["user"]] & (luck < np.asarray(b.recalled_later)[known]))


def _recall(floor: Floor, met: Ids, known: NDArray[np.int8], answers: Flags) -> Recall:
    owner = floor.meetings.rows["user"][met]
    order = np.argsort(owner, kind="stable")
    length = np.bincount(owner, minlength=floor.shoppers.size)
    return Recall(np.cumsum(length) - length, length, met[order], known[order], answers[order])
