"""Events for tests: made by hand, drawn at random, or read from the real shop where its log is present."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from common.clock import DAY_US, SECOND_US
from common.events import KIND_BY_NAME, Decision, Event, EventKind
from common.replay import UserEvents, decision_of, users_of

VIEW, CART, REMOVE, PURCHASE = EventKind
MONDAY = 17_014
"""2016-08-01, a Monday, as days since 1970."""
NOON_US = MONDAY * DAY_US + DAY_US // 2
STORE_LOG = "store_events_2016-08_09.parquet"


def event(
    at_s: float,
    kind: EventKind = VIEW,
    product: str = "mug",
    session: str = "now",
    price: float = 10.0,
    category: str = "kitchen",
    brand: str = "acme",
) -> Event:
    """An event some seconds after noon of `MONDAY`."""
    return Event(NOON_US + round(at_s * SECOND_US), int(kind), product, session, price, category, brand)


def asks(at_s: float, product: str = "mug", session: str = "now", price: float = 10.0, **changes: str) -> Decision:
    """The question about a product some seconds after noon of `MONDAY`."""
    seen = event(at_s, VIEW, product, session, price, **changes)
    return decision_of("ann", seen, seen.time_us)


def canonical(users: Mapping[str, Sequence[Event]]) -> pa.Table:
    """Events of several users as one canonical table (see `common.eventlog`), in order of time as a log is."""
    rows = sorted((tuple(event), user) for user, events in users.items() for event in events)
    columns = list(zip(*(fields for fields, _ in rows), strict=True)) or [()] * len(Event._fields)
    types = [pa.int64(), pa.int8(), pa.string(), pa.string(), pa.float64(), pa.string(), pa.string()]
    arrays = {name: pa.array(column, kind) for name, column, kind in zip(Event._fields, columns, types, strict=True)}
    return pa.table(arrays | {"user": pa.array([user for _, user in rows], pa.string())})


def raw(users: Mapping[str, Sequence[Event]]) -> pa.Table:
    """The same events in the public REES46 columns, as a shop would hand them in."""
    table = canonical(users)
    names = {int(kind): name for name, kind in KIND_BY_NAME.items()}
    return pa.table(
        {
            "event_time": table["time_us"].cast(pa.timestamp("us", tz="UTC")),
            "event_type": pa.array([names[kind] for kind in table["kind"].to_pylist()]),
            "product_id": table["product"],
            "category_id": pa.array([1] * table.num_rows, pa.int64()),
            "category_code": _null_if_empty(table["category"]),
            "brand": _null_if_empty(table["brand"]),
            "price": table["price"],
            "user_id": table["user"],
            "user_session": table["session"],
        }
    )


def _null_if_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


@st.composite
def histories(draw: st.DrawFn, max_events: int = 60) -> list[Event]:
    """One user's events over some 40 days, in canonical order, with repeated instants and few products."""
    events = st.builds(
        Event,
        time_us=st.one_of(
            st.integers(NOON_US, NOON_US + 5),  # ties
            st.integers(NOON_US, NOON_US + 600 * SECOND_US),
            st.integers(NOON_US - 40 * DAY_US, NOON_US + 2 * DAY_US),
        ),
        kind=st.sampled_from([int(kind) for kind in EventKind]),
        product=st.sampled_from(["mug", "cap", "pen", "bag"]),
        session=st.sampled_from(["now", "then", "once"]),
        price=st.one_of(st.sampled_from([0.01, 9.99, 100_000.0]), st.floats(0.01, 500.0)),
        category=st.sampled_from(["kitchen", "apparel", ""]),
        brand=st.sampled_from(["acme", ""]),
    )
    return sorted(draw(st.lists(events, min_size=1, max_size=max_events)))


def shared_data(name: str) -> Path:
    """A file of the shared data; skips the test where it is absent."""
    path = Path(os.environ.get("CARTCAST_SHARED_DATA", "../shared/data")) / name
    if not path.is_file():
        pytest.skip(f"{path} is not here (CARTCAST_SHARED_DATA says where it could be)")
    return path


def store_table() -> pa.Table:
    """The whole real log as a canonical table; skips the test where it is absent."""
    log = pq.read_table(shared_data(STORE_LOG))
    kinds = [int(KIND_BY_NAME[name]) for name in log["event_type"].to_pylist()]
    return pa.table(
        {
            "time_us": log["event_time"].cast(pa.int64()),
            "kind": pa.array(kinds, pa.int8()),
            "product": log["product_id"].cast(pa.string()),
            "session": log["user_session"].cast(pa.string()),
            "price": log["price"],
            "category": pc.fill_null(log["category_code"].cast(pa.string()), ""),
            "brand": pc.fill_null(log["brand"].cast(pa.string()), ""),
            "user": log["user_id"].cast(pa.string()),
        }
    )


def simulated_users(seed: int, users: int = 60, days: int = 6) -> UserEvents:
    """A small shop drawn from a seed: sessions of views, carts, removals and purchases over some days."""
    rng = np.random.default_rng(seed)
    prices = np.round(rng.uniform(2.0, 80.0, 30), 2)
    shop: UserEvents = {}
    for user in range(users):
        for session in range(rng.integers(1, 5)):
            start_us = MONDAY * DAY_US + int(rng.integers(days * DAY_US))
            for step in range(rng.integers(1, 14)):
                product = int(rng.integers(len(prices)))
                kind = rng.choice(4, p=[0.62, 0.2, 0.06, 0.12])
                time_us = start_us + step * int(rng.integers(1, 90)) * SECOND_US
                shop.setdefault(f"u{user}", []).append(
                    Event(
                        time_us,
                        int(kind),
                        f"p{product}",
                        f"u{user}-{session}",
                        float(prices[product]),
                        ("apparel", "kitchen", "office", "")[product % 4],
                        ("acme", "")[product % 2],
                    )
                )
    return {user: sorted(events) for user, events in shop.items()}


def sample_of(table: pa.Table, one_in: int) -> UserEvents:
    """Every n-th user of a canonical table, with all of their events."""
    names = sorted(pc.unique(table["user"]).to_pylist())[::one_in]
    return users_of(table.filter(pc.is_in(table["user"], pa.array(names))))
