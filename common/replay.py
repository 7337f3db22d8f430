"""A log replayed user by user: its decision points, their labels and their vectors.

For every (session, product) the first view and the first addition to the cart ask a question, unless the
product was bought earlier in the session. The answer is whether the user buys the product, in any session, in
(as_of, as_of + horizon].
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from common.catalog import CatalogHistory
from common.clock import DAY_US, HOUR_US, day_of
from common.daycounts import DayCounts, count
from common.events import Decision, Event, EventKind
from common.feature_specs import WIDTH
from common.features import matrix, vector
from common.window import window_at

UserEvents = dict[str, list[Event]]
"""Every user's events in canonical order."""

_THURSDAY = 3  # 1970-01-01, with Monday as 0


class Point(NamedTuple):
    """A decision point: the question, what raised it (0 view, 1 cart) and when it may be judged."""

    decision: Decision
    kind: int


class Example(NamedTuple):
    """A decision point with its label; `censored` where its horizon reaches past the end of the log."""

    point: Point
    label: bool
    censored: bool


def decision_of(user: str, event: Event, as_of_us: int) -> Decision:
    """The question that an event raises; hour and weekday are those of `as_of_us` in UTC."""
    day_of_week = (day_of(as_of_us) + _THURSDAY) % 7
    return Decision(
        user=user,
        session=event.session,
        product=event.product,
        category=event.category,
        brand=event.brand,
        price=event.price,
        hour=as_of_us % DAY_US // HOUR_US,
        day_of_week=day_of_week,
        is_weekend=int(day_of_week >= 5),
        as_of_us=as_of_us,
    )


def points_of(user: str, events: Sequence[Event]) -> Iterator[Point]:
    """The decision points of one user's events (in canonical order), in order of time."""
    seen: set[tuple[str, str, int]] = set()
    bought: dict[tuple[str, str], int] = {}
    for event in events:
        pair = (event.session, event.product)
        if event.kind == EventKind.PURCHASE:
            bought.setdefault(pair, event.time_us)
        elif event.kind <= EventKind.CART and (*pair, event.kind) not in seen:
            seen.add((*pair, event.kind))
            if bought.get(pair, event.time_us) >= event.time_us:
                yield Point(decision_of(user, event, event.time_us), int(event.kind))


def labelled(user: str, events: Sequence[Event], *, horizon_us: int, log_end_us: int) -> Iterator[Example]:
    """One user's decision points with their labels.

    Args:
        user: the user's id.
        events: the user's events in canonical order.
        horizon_us: how long after as_of a purchase counts.
        log_end_us: the time of the log's last event, over all users.
    """
    purchases: dict[str, list[int]] = {}
    for event in events:
        if event.kind == EventKind.PURCHASE:
            purchases.setdefault(event.product, []).append(event.time_us)
    for point in points_of(user, events):
        as_of_us = point.decision.as_of_us
        times = purchases.get(point.decision.product, [])
        next_purchase = bisect_right(times, as_of_us)
        label = next_purchase < len(times) and times[next_purchase] <= as_of_us + horizon_us
        yield Example(point, label, as_of_us + horizon_us > log_end_us)


def users_of(table: pa.Table) -> UserEvents:
    """The events of a canonical table (see `common.eventlog`) by user, each user's in canonical order."""
    columns = [table[name].to_pylist() for name in Event._fields]
    users: UserEvents = {}
    for user, *fields in zip(table["user"].to_pylist(), *columns, strict=True):
        users.setdefault(user, []).append(Event(*fields))
    for events in users.values():
        events.sort()
    return users


def day_counts_of(table: pa.Table) -> dict[int, DayCounts]:
    """The counts of each day of a canonical table."""
    columns = (table[name].to_pylist() for name in Event._fields)
    return count(map(Event, *columns))


def vectors_of(points: Sequence[Point], events: Sequence[Event], history: CatalogHistory) -> list[list[float]]:
    """The vector of each decision point of one user, as it was at that instant."""
    return [
        vector(
            point.decision,
            window_at(events, point.decision.as_of_us),
            history.as_of(point.decision.as_of_us),
        )
        for point in points
    ]


POINT_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("session", pa.string()),
        ("product", pa.string()),
        ("as_of_us", pa.int64()),
        ("kind", pa.int8()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
    ]
)
X_FIELD = pa.field("x", pa.list_(pa.float32(), WIDTH))
EXAMPLE_SCHEMA = pa.schema([*POINT_SCHEMA, ("label", pa.int8()), ("censored", pa.bool_()), X_FIELD])


def example_table(
    users: Mapping[str, Sequence[Event]], history: CatalogHistory, *, horizon_us: int, log_end_us: int
) -> pa.Table:
    """Every decision point of some users with label and vector, in `EXAMPLE_SCHEMA`."""
    examples: list[Example] = []
    vectors: list[list[float]] = []
    for user, events in users.items():
        of_user = list(labelled(user, events, horizon_us=horizon_us, log_end_us=log_end_us))
        examples.extend(of_user)
        vectors.extend(vectors_of([example.point for example in of_user], events, history))
    return (
        point_table([example.point for example in examples], vectors)
        .select(POINT_SCHEMA.names)
        .append_column(EXAMPLE_SCHEMA.field("label"), pa.array([int(example.label) for example in examples], pa.int8()))
        .append_column(
            EXAMPLE_SCHEMA.field("censored"), pa.array([example.censored for example in examples], pa.bool_())
        )
        .append_column(X_FIELD, x_column(vectors))
    )


def point_table(points: Sequence[Point], vectors: Sequence[Sequence[float]]) -> pa.Table:
    """Decision points and their vectors as a table: `POINT_SCHEMA` and `x`."""
    rows = [point.decision for point in points]
    columns = {
        "user": pa.array([row.user for row in rows], pa.string()),
        "session": pa.array([row.session for row in rows], pa.string()),
        "product": pa.array([row.product for row in rows], pa.string()),
        "as_of_us": pa.array([row.as_of_us for row in rows], pa.int64()),
        "kind": pa.array([point.kind for point in points], pa.int8()),
        "category": pa.array([row.category for row in rows], pa.string()),
        "brand": pa.array([row.brand for row in rows], pa.string()),
        "price": pa.array([row.price for row in rows], pa.float64()),
    }
    return pa.table(columns, schema=POINT_SCHEMA).append_column(X_FIELD, x_column(vectors))


def x_column(vectors: Sequence[Sequence[float]]) -> pa.FixedSizeListArray:
    """Vectors as one Arrow column of fixed-size float32 lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix(vectors).ravel()), WIDTH)


def x_matrix(table: pa.Table) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The matrix (n, f) float32 of a table's column `x`."""
    column = table["x"].combine_chunks()
    flat = column.flatten() if not isinstance(column, pa.ChunkedArray) else column.chunk(0).flatten()
    result: np.ndarray[tuple[int, int], np.dtype[np.float32]] = flat.to_numpy(zero_copy_only=False).reshape(-1, WIDTH)
    return result
