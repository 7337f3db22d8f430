"""What a batch of shoppers leaves behind: rows of events and of meetings between shoppers and products."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]

EVENT = np.dtype(
    [("time_us", "i8"), ("user", "i4"), ("session", "i4"), ("product", "i4"), ("cents", "i4"), ("kind", "i1")]
)
"""One event; `user` counts shoppers, `session` sessions, `product` rows of the assortment, `kind` is an EventKind."""

MEETING = np.dtype(
    [
        ("user", "i4"),
        ("session", "i4"),
        ("product", "i4"),
        ("cents", "i4"),
        ("known", "i1"),  # Known
        ("looks", "i1"),  # views in the first run
        ("removal", "i1"),  # 0 none, 1 at once, 2 at the visit's end
        ("pending", "i1"),  # 0 nothing, 1 a second look, 2 a second look and the cart
        ("bought", "?"),  # within the horizon of the meeting's decision points
        ("caller", "i4"),  # the meeting of an earlier session that this one answers within the horizon, or -1
        ("view_us", "i8"),  # first view, or 0
        ("cart_us", "i8"),  # first addition to the cart, or 0
        ("buy_log_odds", "f8"),  # of buying with intent, after the looks taken before the cart
        ("calls_carted", "f8"),  # P(bought after a call | carted, not bought in the visit)
        ("view_truth", "f8"),
        ("cart_truth", "f8"),
    ]
)
"""One product met by one shopper in one session: up to two decision points, and the outcome they share."""


class Growing:
    """Rows of one dtype that are appended to in place."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._rows = np.zeros(4096, dtype)
        self.size = 0

    @property
    def rows(self) -> Rows:
        """All rows so far; a view that is valid until the next `append`."""
        return self._rows[: self.size]

    def append(self, rows: Rows) -> None:
        """Add rows after the last."""
        wanted = self.size + rows.size
        if wanted > self._rows.size:
            grown = np.zeros(max(wanted, 2 * self._rows.size), self._rows.dtype)
            grown[: self.size] = self.rows
            self._rows = grown
        self._rows[self.size : wanted] = rows
        self.size = wanted


class Shoppers:
    """The state of a batch of shoppers; every array is (n,), one element a shopper. All but `intends` is observable."""

    def __init__(self, arrival_us: NDArray[np.int64], products: int) -> None:
        self.size = n = arrival_us.size
        self.clock_us = arrival_us.copy()
        self.session = np.full(n, -1, np.int64)
        self.session_start_us = arrival_us.copy()
        self.visits = np.zeros(n, np.int32)
        self.member = np.zeros(n, bool)
        self.returning = np.zeros(n, bool)
        self.last_purchase_us = np.full(n, -(1 << 62), np.int64)
        self.past_purchase_us = np.full(n, -(1 << 62), np.int64)
        self.met = np.zeros(n, np.int32)
        self.basket = np.zeros(n, np.int32)
        self.bought_here = np.zeros(n, bool)
        self.intends = np.zeros(n, bool)
        self.intent_log_odds = np.zeros(n)  # what can be known of it
        self.went_on = np.zeros(n)  # log likelihood ratio of not having stopped after the last product
        self.stopped = np.zeros(n)  # the same of having stopped
        self.category = np.full(n, -1, np.int16)
        self.after_cart = np.zeros(n, bool)
        self._seen = np.zeros((n, products // 8 + 1), np.uint8)

    def has_met(self, who: NDArray[np.int64], product: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each shopper has met the product in any session, (n,)."""
        return np.asarray((self._seen[who, product >> 3] >> (product & 7).astype(np.uint8)) & 1 > 0)

    def meet(self, who: NDArray[np.int64], product: NDArray[np.int64]) -> None:
        """Remember it; each shopper may appear once."""
        self._seen[who, product >> 3] |= np.uint8(1) << (product & 7).astype(np.uint8)
