"""The one definition of features: (question, window, catalog) -> vector.

Training replays a log through it, the router calls it on windows kept in Redis, batch scoring on slices of a log. It
is pure, reads no clock and uses only what was known at `as_of_us`. What each column means stands in
`common/feature_specs.py` and docs/features.md.

    common/feature_inputs.py     events and questions as columns, and the window of a question among them
    common/features_session.py   this product in this session, the session
    common/features_products.py  the different products of a window
    common/features_user.py      prices, the user before this session
    common/features_past.py      the shape of the earlier sessions
    common/features_catalog.py   what the shop knew on the eve
    common/catalog_state.py      how the catalog's figures fade, and how rates are smoothed

All of these are compiled, as one function over columns; every place calls that one. Arithmetic is float64 in the order
in which it is written, and a vector is float32: the same bits whoever computes it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, count, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.catalog import Catalog, CatalogHistory
from common.catalog_state import PRODUCT, Entries, fill_known, nothing_known
from common.compiled import compiled
from common.events import Decision, Event
from common.feature_inputs import Asks, Events, ask_of, empty_events, split
from common.feature_specs import AT, WIDTH
from common.features_catalog import fill_rates_of_shop, fill_shop_prices
from common.features_past import fill_past_category, fill_past_products, fill_runs
from common.features_products import (
    empty_products,
    fill_met,
    fill_past_discount,
    fill_products,
    fill_session_discounts,
)
from common.features_session import empty_cart, fill_cart, fill_previous, fill_product, fill_session
from common.features_user import fill_cart_prices, fill_past, fill_past_product, fill_prices
from common.window import MAX_EVENTS

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]
Rows = NDArray[np.int32]
Positions = NDArray[np.int32]

_NO_EVENTS: tuple[tuple[Any, ...], ...] = ((),) * len(Event._fields)


def vector(decision: Decision, window: Sequence[Event], catalog: Catalog) -> Vector:
    """The feature vector of one decision: float32 (f,), finite, in the order of `feature_specs.SPECS`.

    Args:
        decision: the question; its `as_of_us` is not before any event of the window.
        window: `window_at(events, decision.as_of_us)`.
        catalog: `history.as_of(decision.as_of_us)`.

    Raises:
        ValueError: the window is longer than any window.
    """
    row: Vector = vectors([decision], [window], [catalog])[0]
    return row


def vectors(decisions: Sequence[Decision], windows: Sequence[Sequence[Event]], catalogs: Sequence[Catalog]) -> Matrix:
    """The vectors of some decisions, float32 (n, f): those of one micro-batch for less than one by one."""
    X = np.empty((len(decisions), WIDTH), np.float32)
    if not decisions:
        return X
    history = catalogs[0].history
    if any(catalog.history is not history for catalog in catalogs):  # never where it counts
        return np.concatenate([vectors([d], [w], [c]) for d, w, c in zip(decisions, windows, catalogs, strict=True)])
    events, asks = _columns(decisions, windows, history.row_of_product)
    rows = np.array([catalog.rows_of(d) for d, catalog in zip(decisions, catalogs, strict=True)], np.int32)
    positions = np.array([catalog.position for catalog in catalogs], np.int32)
    _fill(X, events, asks, history.entries, rows, positions)
    return X


def columnar(events: Events, asks: Asks, history: CatalogHistory, rows: Rows) -> Matrix:
    """The vectors of many questions about the events of many users, float32 (n, f).

    Args:
        events: columns of events, each user's together and in canonical order.
        asks: columns of questions; their windows are ranges of `events`.
        history: the catalogs that the questions may see.
        rows: int32 (n, ENTITIES) what each question names, as rows of `history` (`history.rows_of`).
    """
    X = np.empty((len(asks.start), WIDTH), np.float32)
    _fill(X, events, asks, history.entries, rows, history.positions(asks.as_of_us))
    return X


def warm_up() -> None:
    """Compile, or load what was compiled: seconds that no client should wait for."""
    asked = Decision("", "", "", "", "", 1.0, 0, 0, 0, 0)
    vector(asked, [], Catalog.empty())


def _columns(
    decisions: Sequence[Decision], windows: Sequence[Sequence[Event]], row_of_product: Mapping[str, int]
) -> tuple[Events, Asks]:
    """Decisions and their windows as columns of numbers."""
    n, sizes = len(decisions), [len(window) for window in windows]
    if max(sizes) > MAX_EVENTS:  # compiled code would write past its arrays
        raise ValueError(f"a window of {max(sizes)} events: `window_at` keeps {MAX_EVENTS}")
    every = n + sum(sizes)
    _, sessions, products, categories, _, asked_prices, hours, days, weekends, as_of_us = zip(*decisions, strict=True)
    times, kinds, of_product, of_session, prices, of_category, _ = (
        zip(*chain.from_iterable(windows), strict=True) if every > n else _NO_EVENTS
    )
    code: defaultdict[str, int] = defaultdict(count().__next__)
    texts = chain(products, of_product, sessions, of_session, categories, of_category)
    product, session, category = np.fromiter(map(code.__getitem__, texts), np.int32, 3 * every).reshape(3, every)
    events = Events(
        np.array(times, np.int64),
        np.array(kinds, np.int8),
        product[n:],
        session[n:],
        category[n:],
        np.array(list(map(row_of_product.get, of_product, repeat(-1))), np.int32),
        np.array(prices, np.float64),
    )
    end = np.array(list(accumulate(sizes)), np.int64)
    as_of, hour, day_of_week, is_weekend = np.array((as_of_us, hours, days, weekends), np.int64)
    asks = Asks(
        end - sizes,
        end,
        as_of,
        product[:n],
        session[:n],
        category[:n],
        hour,
        day_of_week,
        is_weekend,
        np.array(asked_prices, np.float64),
    )
    return events, asks


def _fill(X: Matrix, events: Events, asks: Asks, entries: Entries, rows: Rows, positions: Positions) -> None:
    # without names: numba looks into a plain tuple in half the time, and a lone question would notice
    _fill_rows(X, tuple(events), tuple(asks), tuple(entries), rows, positions)


@compiled
def _fill_rows(X: Any, of_events: Any, of_asks: Any, of_entries: Any, rows: Any, positions: Any) -> None:
    """Write the vector of every question: the definition, group by group."""
    events, asks, entries = Events(*of_events), Asks(*of_asks), Entries(*of_entries)
    x = np.empty(WIDTH)
    session, past = empty_events(MAX_EVENTS + 1), empty_events(MAX_EVENTS + 1)
    cart, products = empty_cart(), empty_products()
    known = nothing_known()
    for i in range(len(X)):
        ask = ask_of(asks, i)
        n, n_past = split(events, asks.start[i], asks.end[i], ask, rows[i, PRODUCT], session, past)
        fill_request(x, ask)
        fill_product(x, ask, session, n)
        fill_session(x, ask, session, n)
        fill_previous(x, ask, session, n)
        fill_prices(x, ask, session, n, past, n_past)
        fill_cart_prices(x, ask, cart, fill_cart(cart, ask, session, n))
        fill_past(x, ask, past, n_past)
        fill_past_category(x, ask, past, n_past)
        fill_runs(x, past, n_past)
        fill_past_product(x, ask, session, n, past, n_past)
        fill_products(products, session, n, entries, positions[i])
        fill_met(x, ask, session, n, products)
        fill_session_discounts(x, n, products)
        fill_products(products, past, n_past, entries, positions[i])
        fill_past_products(x, n_past, products)
        fill_past_discount(x, past, n_past, products)
        fill_known(known, entries, rows[i], positions[i])
        fill_shop_prices(x, ask, known.figures[PRODUCT])
        fill_rates_of_shop(x, known.rates)
        for column in range(WIDTH):
            X[i, column] = x[column]


@compiled
def fill_request(x: Any, ask: Any) -> None:
    """What the request says."""
    x[AT.price] = ask.price
    x[AT.hour] = ask.hour
    x[AT.day_of_week] = ask.day_of_week
    x[AT.is_weekend] = ask.is_weekend
