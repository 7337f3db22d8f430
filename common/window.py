"""A window: what is known of a user at an instant, bounded in number and in age."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from common.clock import DAY_US
from common.events import Decision, Event, EventKind

MAX_EVENTS = 100
"""The newest events that a window keeps; 99 % of a real shop's users had fewer than 54 in two months."""

MAX_AGE_DAYS = 30
MAX_AGE_US = MAX_AGE_DAYS * DAY_US


def window_at(events: Sequence[Event], as_of_us: int) -> list[Event]:
    """The last `MAX_EVENTS` events no older than `MAX_AGE_DAYS`, up to and including `as_of_us`.

    Args:
        events: one user's events in canonical order (`sorted(events)`).
        as_of_us: the instant of the decision; events of that very microsecond are known.
    """
    end = bisect_right(events, as_of_us, key=_time)
    start = bisect_left(events, as_of_us - MAX_AGE_US, hi=end, key=_time)
    return list(events[max(start, end - MAX_EVENTS) : end])


def with_the_product_in_sight(decision: Decision, window: Sequence[Event]) -> Sequence[Event]:
    """The window, plus a view at `as_of_us` where the session has neither viewed nor carted the product yet.

    A shop asks about a product because the shopper is looking at it. Training examples always begin with
    such an event; without this rule an unknown user, or a lost Redis, would give a vector that no
    training example resembles.
    """
    for event in reversed(window):
        if event.product == decision.product and event.session == decision.session and event.kind <= EventKind.CART:
            return window
    seen = Event(
        decision.as_of_us,
        EventKind.VIEW,
        decision.product,
        decision.session,
        decision.price,
        decision.category,
        decision.brand,
    )
    return [*window, seen]


def _time(event: Event) -> int:
    return event.time_us
