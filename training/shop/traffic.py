"""As many batches of shoppers as a log of a given size needs, each from its own random stream."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.clock import DAY_US
from common.errors import ConfigError
from training.shop import pace
from training.shop.assortment import stocked
from training.shop.batch import Batch, simulated
from training.shop.behaviour import DEFAULT, Behaviour
from training.shop.floor import World

BATCH_SHOPPERS = 20_000
"""Shoppers simulated together: enough to make numpy's overhead small, few enough to stay under 200 MB."""

MIN_EVENTS = 100
MAX_DAYS = 3_660
_FIRST_GUESS = 6.2  # events per shopper
_LAST_PART = 0.03
"""Batches make up 90 % of what is still missing until that is this share of the log: so its size comes out near."""


@dataclass(frozen=True)
class Plan:
    """A shop and how much happens in it: `events` is approximate, `start_us` a UTC midnight."""

    events: int
    seed: int
    start_us: int
    days: int = 60
    products: int = 400
    behaviour: Behaviour = DEFAULT

    def __post_init__(self) -> None:
        if self.events < MIN_EVENTS:
            raise ConfigError(f"{self.events} events are too few", remedy=f"Ask for at least {MIN_EVENTS}")
        if self.seed < 0:
            raise ConfigError(f"the seed {self.seed} is negative", remedy="Give 0 or more")
        if not 2 <= self.days <= MAX_DAYS:
            raise ConfigError(f"{self.days} days are not possible", remedy=f"Choose from 2 to {MAX_DAYS} days")
        if self.start_us % DAY_US:
            raise ConfigError("a simulated shop opens at midnight UTC", remedy="Give a date without a time")

    @property
    def end_us(self) -> int:
        """The first instant after the log."""
        return self.start_us + self.days * DAY_US


def world_of(plan: Plan) -> World:
    """The shop itself, which depends on seed, days and products but not on the number of events."""
    rng = np.random.default_rng([plan.seed, 0])
    return World(stocked(plan.products, plan.days, rng), plan.behaviour, plan.start_us)


def batches(plan: Plan, world: World) -> Iterator[Batch]:
    """Batches that together hold about `plan.events` events before `plan.end_us`.

    Shoppers and sessions are numbered through all batches; meetings and events at or after the end are left out.
    """
    shoppers = sessions = events = 0
    stream = 0
    while (size := _next_size(plan.events, events, shoppers)) > 0:
        stream += 1
        rng = np.random.default_rng([plan.seed, stream])
        arrival_us = pace.arrivals(size, plan.start_us, plan.days, rng)
        batch = _cut(simulated(world, arrival_us, plan.end_us, rng), plan.end_us)
        for rows in (batch.events, batch.meetings):
            rows["user"] += shoppers
            rows["session"] += sessions
        shoppers, sessions, events = shoppers + size, sessions + batch.sessions, events + batch.events.size
        yield batch


def _next_size(wanted: int, events: int, shoppers: int) -> int:
    """How many shoppers the next batch has; 0 if the log is complete."""
    missing = wanted - events
    if not shoppers:
        return min(BATCH_SHOPPERS, math.ceil(0.5 * missing / _FIRST_GUESS))
    per_shopper = events / shoppers
    if missing < per_shopper:
        return 0
    share = 1.0 if missing < _LAST_PART * wanted else 0.9
    return min(BATCH_SHOPPERS, math.ceil(share * missing / per_shopper))


def _cut(batch: Batch, end_us: int) -> Batch:
    events = batch.events[batch.events["time_us"] < end_us]
    meetings = batch.meetings.copy()
    for name in ("view_us", "cart_us"):
        meetings[name][meetings[name] >= end_us] = 0
    return Batch(events, meetings, batch.sessions)
