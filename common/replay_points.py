"""Which events ask a question, and what the answer was: compiled passes over a log's columns.

For every (session, product) of a user the first view and the first addition to the cart ask, unless the product was
bought earlier in the session. The answer is whether the user buys the product, in any session, in (as_of, as_of +
horizon].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from common.encoding import Codes
from common.event_columns import Log
from common.feature_inputs import CART, PURCHASE, window_of

_NEVER = np.iinfo(np.int64).max


def asking(log: Log) -> NDArray[np.int64]:
    """The events of a log that ask, as indices in ascending order."""
    asks = np.zeros(len(log.user), np.bool_)
    pair = log.events.session.astype(np.int64) * len(log.values["product"]) + log.events.product
    _mark_first(np.argsort(pair, kind="stable"), pair, log.user, log.events, asks)
    return np.flatnonzero(asks)


def bought_within(log: Log, horizon_us: int) -> NDArray[np.bool_]:
    """Of every event whether its user buys its product within the horizon after it."""
    pair = log.user.astype(np.int64) * len(log.values["product"]) + log.events.product
    bought = np.zeros(len(pair), np.bool_)
    _mark_bought(np.argsort(pair, kind="stable"), pair, log.events, horizon_us, bought)
    return bought


@compiled
def windows(time_us: Any, first: Any, user: Any, as_of_us: Any) -> Any:
    """The start and end of the window of every question, by its user's code."""
    start, end = np.empty(len(user), np.int64), np.empty(len(user), np.int64)
    for i in range(len(user)):
        start[i], end[i] = window_of(time_us, first[user[i]], first[user[i] + 1], as_of_us[i])
    return start, end


@compiled
def _mark_first(order: Any, pair: Any, user: Any, events: Any, asks: Any) -> None:
    """`order` sorts by pair (session, product); the events of a pair stay in the order of users and time."""
    has_viewed = has_carted = False
    bought_us = _NEVER
    for at in range(len(order)):
        i = order[at]
        if at == 0 or pair[i] != pair[order[at - 1]] or user[i] != user[order[at - 1]]:
            has_viewed = has_carted = False
            bought_us = _NEVER
        kind, time_us = events.kind[i], events.time_us[i]
        if kind == PURCHASE:
            bought_us = min(bought_us, time_us)
        elif kind == CART:
            asks[i] = not has_carted and bought_us >= time_us
            has_carted = True
        elif kind < CART:
            asks[i] = not has_viewed and bought_us >= time_us
            has_viewed = True


@compiled
def _mark_bought(order: Any, pair: Any, events: Any, horizon_us: int, bought: Any) -> None:
    """`order` sorts by pair (user, product) and, within one, by time; read from its end."""
    next_us = tied_us = _NEVER  # of purchases: the next one later than the event, one at its very instant
    for at in range(len(order) - 1, -1, -1):
        i = order[at]
        time_us = events.time_us[i]
        if at == len(order) - 1 or pair[i] != pair[order[at + 1]]:
            next_us = tied_us = _NEVER
        elif tied_us > time_us and tied_us < _NEVER:
            next_us, tied_us = tied_us, _NEVER
        bought[i] = next_us < _NEVER and next_us - time_us <= horizon_us
        if events.kind[i] == PURCHASE:
            tied_us = time_us


def shown(log: Log, asked: dict[str, Codes], as_of_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The event that shows what a question is about, as an index; -1 where none does.

    It is the newest view of or addition to the cart of the product in that session, else the user's newest event on the
    product. Nothing after as_of is looked at.

    Args:
        log: the events.
        asked: the codes of the questions' `user`, `session` and `product`.
        as_of_us: the questions' instants.
    """
    products = len(log.values["product"])
    pair = log.user.astype(np.int64) * products + log.events.product
    order = np.argsort(pair, kind="stable")
    asked_pair = asked["user"].astype(np.int64) * products + asked["product"]
    first = np.searchsorted(pair, asked_pair, side="left", sorter=order)
    last = np.searchsorted(pair, asked_pair, side="right", sorter=order)
    found = np.full(len(as_of_us), -1, np.int64)
    _find_shown(order, first, last, log.events, asked["session"], as_of_us, found)
    return found


@compiled
def _find_shown(order: Any, first: Any, last: Any, events: Any, session: Any, as_of_us: Any, found: Any) -> None:
    for i in range(len(found)):
        for at in range(last[i] - 1, first[i] - 1, -1):
            event = order[at]
            if events.time_us[event] > as_of_us[i]:
                continue
            if found[i] < 0:
                found[i] = event
            if events.session[event] == session[i] and events.kind[event] <= CART:
                found[i] = event
                break
