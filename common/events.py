"""What an event is, and the one order in which a user's events are read.

A window is a set: which events are known is decided by time alone, and events of the same
microsecond are ordered by their content. So the order of arrival never matters, and a replayed log,
Redis and a batch job see the same window.
"""

import re
from enum import IntEnum
from typing import NamedTuple

ID_PATTERN = r"[A-Za-z0-9_.:@-]{1,100}"
"""What an id of a user, a session, a product or an event may look like."""

ID_REGEX = re.compile(ID_PATTERN)
MAX_PRICE = 100_000.0
MAX_TEXT = 200
"""The longest category_code or brand, in characters."""

LOG_COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
"""The columns of the public REES46 logs; category_id is carried by none of the features."""


class EventKind(IntEnum):
    """The four kinds of event, in the order in which they happen within one microsecond."""

    VIEW = 0
    CART = 1
    REMOVE = 2
    PURCHASE = 3


KIND_BY_NAME = {
    "view": EventKind.VIEW,
    "cart": EventKind.CART,
    "remove_from_cart": EventKind.REMOVE,
    "purchase": EventKind.PURCHASE,
}
NAME_BY_KIND = {kind: name for name, kind in KIND_BY_NAME.items()}


class Event(NamedTuple):
    """One event of one user; the tuple's own order is the canonical order of a window.

    `category` and `brand` are empty where the log has none: a value of their own.
    """

    time_us: int
    kind: int
    product: str
    session: str
    price: float
    category: str
    brand: str


class Decision(NamedTuple):
    """The question: would this user, now in this session, buy this product at this price?

    The fields are those of the HTTP request; `as_of_us` is the instant the question is about.
    """

    user: str
    session: str
    product: str
    category: str
    brand: str
    price: float
    hour: int
    day_of_week: int
    is_weekend: int
    as_of_us: int
