"""The shop floor: a batch of shoppers, what they have met so far, and the events they have left."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.clock import DAY_US
from common.events import EventKind
from training.shop import pace
from training.shop.assortment import Assortment
from training.shop.behaviour import Behaviour, Floats
from training.shop.prices import member_cents
from training.shop.record import EVENT, MEETING, Growing, Rows, Shoppers

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

_TRIES = 8


class World(NamedTuple):
    """Where shoppers act: an assortment whose prices begin at `start_us`, a UTC midnight, and their behaviour."""

    assortment: Assortment
    behaviour: Behaviour
    start_us: int


class Block(NamedTuple):
    """Events about one product in a row, both (n, w): looks, additions to the cart, a removal; not all are `on`."""

    time_us: Ids
    on: Flags


class Floor:
    """The shop while a batch of shoppers walks through it."""

    def __init__(self, world: World, shoppers: Shoppers, rng: Generator) -> None:
        self.world = world
        self.shoppers = shoppers
        self.rng = rng
        self.meetings = Growing(MEETING)
        b = world.behaviour
        self._looks_on = np.arange(max(len(b.looks_carted), len(b.looks_left)))
        self._lines_on = np.arange(len(b.lines))
        self._events: list[Rows] = []

    @property
    def events(self) -> Rows:
        """All events so far, in no order."""
        return np.concatenate([np.zeros(0, EVENT), *self._events])

    def emit(self, of: Rows, time_us: Ids, kind: int | NDArray[np.int8]) -> None:
        """Log one event for each row of `of`, which has fields user, session, product and cents."""
        rows = np.empty(time_us.size, EVENT)
        for name in ("user", "session", "product", "cents"):
            rows[name] = of[name]
        rows["time_us"], rows["kind"] = time_us, kind
        self._events.append(rows)

    def shown(self, who: Ids, product: Ids, time_us: Ids) -> tuple[NDArray[np.int32], Floats]:
        """The cents that shoppers are shown, and the deal that they are against the recent high, both (n,)."""
        prices = self.world.assortment.prices
        day = np.clip((time_us - self.world.start_us) // DAY_US, 0, prices.shelf_cents.shape[0] - 1)
        cents = member_cents(prices.shelf_cents[day, product], self.shoppers.member[who])
        return cents, 1.0 - cents / prices.high_cents[day, product]

    def new_products(self, who: Ids, category: NDArray[np.int16]) -> Ids:
        """A product that each shopper has not met yet, or -1 where some tries found none, (n,)."""
        chosen = np.full(who.size, -1, np.int64)
        searching = np.arange(who.size)
        for attempt in range(_TRIES):
            within = category[searching] if attempt < 2 else np.full(searching.size, -1, np.int16)
            product = self.world.assortment.drawn(within, self.rng)
            fresh = ~self.shoppers.has_met(who[searching], product)
            chosen[searching[fresh]] = product[fresh]
            searching = searching[~fresh]
        found = chosen >= 0
        self.shoppers.meet(who[found], chosen[found])
        return chosen

    def block(self, who: Ids, first_us: Ids, looks: NDArray[np.int8], lines: NDArray[np.int8], removed: Flags) -> Block:
        """When each shopper's next events happen, the first of them at `first_us`; moves their clocks to the last."""
        on = np.column_stack([self._looks_on < looks[:, None], self._lines_on < lines[:, None], removed])
        first_cart = self._looks_on.size
        gap_s = np.empty(on.shape)
        for column in range(on.shape[1]):
            gap = (
                pace.SAME_PRODUCT if column < first_cart else pace.TO_CART if column == first_cart else pace.CART_AGAIN
            )
            gap_s[:, column] = gap.drawn(who.size, self.rng)
        gap_s[:, -1] = pace.TO_REMOVAL.drawn(who.size, self.rng)
        gap_s[np.arange(who.size), np.argmax(on, axis=1)] = 0.0
        gap_s *= on
        gap_s *= np.minimum(1.0, pace.MAX_BLOCK_S / np.maximum(gap_s.sum(axis=1), 1e-9))[:, None]
        step_us = np.where(gap_s > 0.0, pace.elapsed_us(gap_s), 0)
        time_us = first_us[:, None] + np.cumsum(step_us, axis=1)
        self.shoppers.clock_us[who] = time_us[:, -1]
        return Block(time_us, on)

    def log_block(self, of: Rows, block: Block) -> None:
        """Log the events of a block, one row of `of` for each of its rows."""
        kinds = np.concatenate(
            [
                np.full(self._looks_on.size, EventKind.VIEW, np.int8),
                np.full(self._lines_on.size, EventKind.CART, np.int8),
                np.full(1, EventKind.REMOVE, np.int8),
            ]
        )
        row, column = np.nonzero(block.on)
        self.emit(of[row], block.time_us[row, column], kinds[column])

    def first_cart_us(self, block: Block) -> Ids:
        """When each row's first addition to the cart happens, 0 where there is none, (n,)."""
        column = self._looks_on.size
        return np.where(block.on[:, column], block.time_us[:, column], 0)
