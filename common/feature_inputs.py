"""What the compiled definition of features reads: events and questions as columns of numbers.

Ids and texts are codes: two are equal where their codes are. Nothing else is ever asked of them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from common.events import EventKind
from common.window import MAX_AGE_US, MAX_EVENTS

VIEW, CART, REMOVE, PURCHASE = (int(kind) for kind in EventKind)

Codes = NDArray[np.int32]


class Events(NamedTuple):
    """Events as columns; those of one user stand together, in canonical order."""

    time_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    product: Codes
    session: Codes
    category: Codes
    row: NDArray[np.int32]  # of the product in the catalog, -1 where that has none
    price: NDArray[np.float64]


class Asks(NamedTuple):
    """Questions as columns: `start` to `end - 1` are the events of the window."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    as_of_us: NDArray[np.int64]
    product: Codes
    session: Codes
    category: Codes
    hour: NDArray[np.int64]
    day_of_week: NDArray[np.int64]
    is_weekend: NDArray[np.int64]
    price: NDArray[np.float64]


class Ask(NamedTuple):
    """One question, as compiled functions pass it on."""

    as_of_us: int
    product: int
    session: int
    category: int
    hour: int
    day_of_week: int
    is_weekend: int
    price: float


@compiled
def empty_events(size: int) -> Any:
    """Room for some events."""
    return Events(
        np.empty(size, np.int64),
        np.empty(size, np.int8),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.float64),
    )


@compiled
def ask_of(asks: Any, i: int) -> Any:
    """One question of many."""
    return Ask(
        asks.as_of_us[i],
        asks.product[i],
        asks.session[i],
        asks.category[i],
        asks.hour[i],
        asks.day_of_week[i],
        asks.is_weekend[i],
        asks.price[i],
    )


@compiled
def split(events: Any, start: int, end: int, ask: Any, row: int, session: Any, past: Any) -> tuple[int, int]:
    """Copy a window's events into those of the question's session and the others; answers how many each has.

    The product counts as viewed now where the session has neither viewed nor carted it yet
    (`common.window.with_the_product_in_sight`); `row` is the product's in the catalog.
    """
    n_session = n_past = 0
    is_in_sight = False
    for i in range(start, end):
        if events.session[i] == ask.session:
            _copy(events, i, session, n_session)
            n_session += 1
            is_in_sight |= events.product[i] == ask.product and events.kind[i] <= CART
        else:
            _copy(events, i, past, n_past)
            n_past += 1
    if not is_in_sight:
        session.time_us[n_session] = ask.as_of_us
        session.kind[n_session] = VIEW
        session.product[n_session] = ask.product
        session.session[n_session] = ask.session
        session.category[n_session] = ask.category
        session.row[n_session] = row
        session.price[n_session] = ask.price
        n_session += 1
    return n_session, n_past


@compiled
def _copy(source: Any, i: int, target: Any, j: int) -> None:
    target.time_us[j] = source.time_us[i]
    target.kind[j] = source.kind[i]
    target.product[j] = source.product[i]
    target.session[j] = source.session[i]
    target.category[j] = source.category[i]
    target.row[j] = source.row[i]
    target.price[j] = source.price[i]


@compiled
def window_of(time_us: Any, first: int, last: int, as_of_us: int) -> Any:
    """The window (`common.window.window_at`) among the events `first` to `last - 1` of one user: its start and end."""
    end = first + np.searchsorted(time_us[first:last], as_of_us, side="right")
    oldest = first + np.searchsorted(time_us[first:end], as_of_us - MAX_AGE_US, side="left")
    return max(oldest, end - MAX_EVENTS), end
