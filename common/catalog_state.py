"""The state of the catalog as compiled code reads it: the past of every key, and what it comes to on a day.

Counts fade by a constant factor for every day of trade. A key's state is kept for the days on which it changed;
what it is on another day is that of the last change before, faded once for each day of trade since then: one
multiplication a day, so the bits are those of rolling every key every day. Memory grows with what happened,
not with products times days.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled

SLOW_HALF_LIFE_DAYS = 21.0
FAST_HALF_LIFE_DAYS = 3.0
HIGH_BLOCK_DAYS = 15
"""A recent high is the highest price of this block of days and the one before: 15 to 30 days back."""

PRIOR_EVENTS = 30.0
"""How many events of its parent's behaviour an entity starts with (additive smoothing)."""

SLOW = 0.5 ** (1.0 / SLOW_HALF_LIFE_DAYS)
FAST = 0.5 ** (1.0 / FAST_HALF_LIFE_DAYS)

FIGURES = ("views", "carts", "removes", "purchases", "cents", "recent_views", "high_cents", "high_before_cents")
"""Of a key: counts and cents viewed, fading slowly; views, fading fast; highest prices of two blocks."""

VIEWS, CARTS, REMOVES, PURCHASES, CENTS, RECENT_VIEWS, HIGH, HIGH_BEFORE = range(len(FIGURES))
UNKNOWN = -1.0
"""Stands in `VIEWS` where a key is known no more."""

ENTITIES = ("shop", "category", "product", "brand", "category_hour", "hour", "band")
SHOP, CATEGORY, PRODUCT, BRAND, CATEGORY_HOUR, HOUR, BAND = range(len(ENTITIES))

PARENTS = (-1, SHOP, CATEGORY, SHOP, CATEGORY, SHOP, SHOP)
"""Towards whom each entity's rates are smoothed; the shop's towards `EMPTY_SHOP`."""


class Rates(NamedTuple):
    """Smoothed behaviour of one entity; dimensionless rates per event, except the first."""

    views_per_day: float
    cart_rate: float
    buy_rate: float
    cart_to_buy: float
    remove_rate: float
    trend: float


EMPTY_SHOP = Rates(0.0, 0.2, 0.05, 0.25, 0.1, 0.0)
"""What is assumed of a shop without a single day of history."""


class Entries(NamedTuple):
    """Every change of every key, key by key, each key's in order of time."""

    offset: NDArray[np.int64]  # (keys + 1,) where each key's entries begin
    position: NDArray[np.int32]  # (entries,) after which day of trade, counted from the oldest known
    figures: NDArray[np.float64]  # (entries, FIGURES)
    through_day: NDArray[np.int64]  # (positions,) the day itself
    daily: NDArray[np.float64]  # (positions, 2) what makes of a faded count one per day: slow, fast


@compiled
def _newest_entry(entries: Any, row: int, position: int) -> Any:
    """The last change of a key (-1: none) up to a day of trade; -1 where nothing is known of it."""
    if row < 0:
        return -1
    low, high = entries.offset[row], entries.offset[row + 1]
    while low < high:
        middle = (low + high) // 2
        if entries.position[middle] <= position:
            low = middle + 1
        else:
            high = middle
    if low == entries.offset[row] or entries.figures[low - 1, VIEWS] < 0.0:
        return -1
    return low - 1


@compiled
def look_up(entries: Any, row: int, position: int, figures: Any) -> bool:
    """Write the figures of a key (-1: none) after a day of trade; False if nothing is known of it."""
    entry = _newest_entry(entries, row, position)
    if entry < 0:
        return False
    for figure in range(len(figures)):
        figures[figure] = entries.figures[entry, figure]
    then = entries.position[entry]
    fade(figures, position - then, entries.through_day[then], entries.through_day[position])
    return True


@compiled
def look_up_all(entries: Any, position: int, figures: Any, known: Any) -> None:
    """`look_up` of every key: figures (keys, FIGURES) and whether anything is known (keys,)."""
    for row in range(len(known)):
        known[row] = look_up(entries, row, position, figures[row])


@compiled
def fade(figures: Any, days_of_trade: int, from_day: int, to_day: int) -> None:
    """Let some days of trade pass over the figures of a key."""
    for _ in range(days_of_trade):
        for figure in range(VIEWS, CENTS + 1):
            figures[figure] *= SLOW
        figures[RECENT_VIEWS] *= FAST
    blocks = to_day // HIGH_BLOCK_DAYS - from_day // HIGH_BLOCK_DAYS
    if blocks > 0:
        figures[HIGH_BEFORE] = figures[HIGH] if blocks == 1 else 0.0
        figures[HIGH] = 0.0


@compiled
def recent_high(entries: Any, row: int, position: int) -> float:
    """The highest price of a product in the last 15 to 30 days before a day of trade, money; 0 where there is none."""
    entry = _newest_entry(entries, row, position)
    if entry < 0:
        return 0.0
    now, then = entries.through_day[position], entries.through_day[entries.position[entry]]
    blocks = now // HIGH_BLOCK_DAYS - then // HIGH_BLOCK_DAYS
    cents = entries.figures[entry, HIGH] if blocks <= 1 else 0.0
    if blocks == 0:
        cents = max(cents, entries.figures[entry, HIGH_BEFORE])
    return cents / 100.0


class Known(NamedTuple):
    """What the catalog says of a question, kept until the next one, which often names the same shop, hour or brand."""

    figures: Any  # (ENTITIES, FIGURES) zero where nothing is known
    rates: Any  # (ENTITIES + 1, Rates) the last row is `EMPTY_SHOP`, the shop's parent
    rows: Any  # (ENTITIES,) of what it was read for
    position: Any  # (1,)
    is_new: Any  # (ENTITIES + 1,) whether the last question changed it; the last place is the day's


@compiled
def nothing_known() -> Any:
    """Room for what the catalog says of a question."""
    rates = np.zeros((len(PARENTS) + 1, len(EMPTY_SHOP)))
    for rate in range(len(EMPTY_SHOP)):
        rates[-1, rate] = EMPTY_SHOP[rate]
    return Known(
        np.zeros((len(PARENTS), len(FIGURES))),
        rates,
        np.empty(len(PARENTS), np.int32),
        np.full(1, -1, np.int32),
        np.ones(len(PARENTS) + 1, np.bool_),
    )


@compiled
def fill_known(known: Any, entries: Any, rows: Any, position: int) -> None:
    """Read what a question names.

    Args:
        known: is written.
        entries: the catalog's.
        rows: (ENTITIES,) the key of each, -1 where the catalog has none: an unknown entity has its parent's rates.
        position: the day of trade after which.
    """
    known.is_new[-1] = known.position[0] != position
    known.position[0] = position
    for entity in range(len(PARENTS)):
        known.is_new[entity] = known.is_new[PARENTS[entity]] or known.rows[entity] != rows[entity]
        if not known.is_new[entity]:
            continue
        known.rows[entity] = rows[entity]
        figures, parent, own = known.figures[entity], known.rates[PARENTS[entity]], known.rates[entity]
        if look_up(entries, rows[entity], position, figures):
            _smooth(figures, parent, entries.daily[position], own)
            continue
        for figure in range(len(figures)):
            figures[figure] = 0.0
        for rate in range(len(own)):
            own[rate] = parent[rate]
        own[0] = own[5] = 0.0


@compiled
def _smooth(figures: Any, parent: Any, daily: Any, own: Any) -> None:
    slow_daily, fast_daily = figures[VIEWS] * daily[0], figures[RECENT_VIEWS] * daily[1]
    views, carts = figures[VIEWS] + PRIOR_EVENTS, figures[CARTS] + PRIOR_EVENTS
    own[0] = slow_daily
    own[1] = (figures[CARTS] + PRIOR_EVENTS * parent[1]) / views
    own[2] = (figures[PURCHASES] + PRIOR_EVENTS * parent[2]) / views
    own[3] = (figures[PURCHASES] + PRIOR_EVENTS * parent[3]) / carts
    own[4] = (figures[REMOVES] + PRIOR_EVENTS * parent[4]) / carts
    own[5] = math.log((fast_daily + 0.5) / (slow_daily + 0.5))


@compiled
def roll(row: Any, position: Any, figures: Any, is_state: Any, through_day: Any) -> None:
    """Turn what each day added into what was known after it, in place.

    Args:
        row: (n,) the key of each entry; entries are sorted by key and position.
        position: (n,) its day of trade.
        figures: (n, FIGURES) what the day added, or a whole state.
        is_state: (n,) whether it is a whole state, which replaces what was.
        through_day: (positions,) the days themselves.
    """
    before = np.empty(figures.shape[1])
    for i in range(1, len(row)):
        if is_state[i] or row[i] != row[i - 1] or figures[i - 1, VIEWS] < 0.0:
            continue
        for figure in range(len(before)):
            before[figure] = figures[i - 1, figure]
        fade(before, position[i] - position[i - 1], through_day[position[i - 1]], through_day[position[i]])
        for figure in range(VIEWS, RECENT_VIEWS + 1):
            figures[i, figure] += before[figure]
        figures[i, HIGH] = max(figures[i, HIGH], before[HIGH])
        figures[i, HIGH_BEFORE] = before[HIGH_BEFORE]
