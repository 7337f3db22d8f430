"""A log replayed: its decision points, their labels and their vectors, a block of whole users at a time."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.catalog import CatalogHistory
from common.catalog_state import BAND, BRAND, CATEGORY, CATEGORY_HOUR, ENTITIES, HOUR, PRODUCT, SHOP
from common.clock import DAY_US, HOUR_US, day_of
from common.daycounts import SHOP_KEY
from common.encoding import HOURS, category_hour_keys, encoded_bands, keys_of
from common.event_columns import Asked, Log, columns_of
from common.events import Decision, Event
from common.feature_inputs import Asks
from common.feature_specs import WIDTH
from common.features import Matrix, Rows, columnar
from common.replay_points import asking, bought_within, windows

UserEvents = dict[str, list[Event]]
"""Every user's events in canonical order."""

_THURSDAY = 3  # 1970-01-01, with Monday as 0
_SATURDAY = 5

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
LABELLED_SCHEMA = pa.schema([*POINT_SCHEMA, ("label", pa.int8()), ("censored", pa.bool_())])
EXAMPLE_SCHEMA = pa.schema([*LABELLED_SCHEMA, X_FIELD])


def example_table(block: pa.Table, history: CatalogHistory, *, horizon_us: int, log_end_us: int) -> pa.Table:
    """Every decision point of a block with label and vector, in `EXAMPLE_SCHEMA`.

    Users come in the order in which they first appear, each one's points in order of time.

    Args:
        block: canonical events of whole users (see `common.eventlog`), in any order.
        history: the catalogs of the whole log.
        horizon_us: how long after as_of a purchase counts.
        log_end_us: the time of the log's last event, over all users; a horizon past it is censored.
    """
    log, _ = columns_of(block)
    at = asking(log)
    points = _points(log, at, horizon_us=horizon_us, log_end_us=log_end_us)
    return points.append_column(X_FIELD, x_column(vectors_of(log, asked_at(log, at), history)))


def point_table(block: pa.Table, *, horizon_us: int, log_end_us: int) -> pa.Table:
    """The same without the vectors, in `LABELLED_SCHEMA`."""
    log, _ = columns_of(block)
    return _points(log, asking(log), horizon_us=horizon_us, log_end_us=log_end_us)


def asked_at(log: Log, at: NDArray[np.int64]) -> Asked:
    """The questions that some events of a log raise."""
    events = log.events
    return Asked(
        log.user[at],
        events.session[at],
        events.product[at],
        events.category[at],
        log.brand[at],
        events.time_us[at],
        events.price[at],
    )


def vectors_of(log: Log, asked: Asked, history: CatalogHistory) -> Matrix:
    """The vector of every question, as it was at that instant: float32 (n, f)."""
    start, end = windows(log.events.time_us, log.first, asked.user, asked.as_of_us)
    day_of_week = (asked.as_of_us // DAY_US + _THURSDAY) % 7
    hour = asked.as_of_us % DAY_US // HOUR_US
    asks = Asks(
        start,
        end,
        asked.as_of_us,
        asked.product,
        asked.session,
        asked.category,
        hour,
        day_of_week,
        (day_of_week >= _SATURDAY).astype(np.int64),
        asked.price,
    )
    of_product = history.rows_of(keys_of("p:", log.values["product"]))
    events = log.events._replace(row=of_product[log.events.product])
    return columnar(events, asks, history, _rows_of(log, asked, asks.hour, of_product, history))


def _rows_of(log: Log, asked: Asked, hour: NDArray[np.int64], of_product: Rows, history: CatalogHistory) -> Rows:
    """The rows of the catalog that each question names, int32 (n, ENTITIES)."""
    bands = encoded_bands(asked.price)
    at_hour, of_hour = np.unique(asked.category * HOURS + hour, return_inverse=True)
    rows = np.empty((len(hour), len(ENTITIES)), np.int32)
    rows[:, SHOP] = history.rows_of(pa.array([SHOP_KEY]))[0]
    rows[:, CATEGORY] = history.rows_of(keys_of("c:", log.values["category"]))[asked.category]
    rows[:, PRODUCT] = of_product[asked.product]
    rows[:, BRAND] = history.rows_of(keys_of("b:", log.values["brand"]))[asked.brand]
    rows[:, CATEGORY_HOUR] = history.rows_of(category_hour_keys(log.values["category"], at_hour))[of_hour]
    rows[:, HOUR] = history.rows_of(keys_of("t:", pa.array(range(HOURS))))[hour]
    rows[:, BAND] = history.rows_of(keys_of("$:", bands.values))[bands.codes]
    return rows


def _points(log: Log, at: NDArray[np.int64], *, horizon_us: int, log_end_us: int) -> pa.Table:
    asked = asked_at(log, at)
    columns = {name: log.text(name, getattr(asked, name)) for name in ("user", "session", "product")}
    columns |= {
        "as_of_us": pa.array(asked.as_of_us),
        "kind": pa.array(log.events.kind[at]),
        "category": log.text("category", asked.category),
        "brand": log.text("brand", asked.brand),
        "price": pa.array(asked.price),
        "label": pa.array(bought_within(log, horizon_us)[at].astype(np.int8)),
        "censored": pa.array(asked.as_of_us + horizon_us > log_end_us),
    }
    return pa.table(columns, schema=LABELLED_SCHEMA)


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
        is_weekend=int(day_of_week >= _SATURDAY),
        as_of_us=as_of_us,
    )


def users_of(table: pa.Table) -> UserEvents:
    """The events of a canonical table (see `common.eventlog`) by user, each user's in canonical order."""
    columns = [table[name].to_pylist() for name in Event._fields]
    users: UserEvents = {}
    for user, *fields in zip(table["user"].to_pylist(), *columns, strict=True):
        users.setdefault(user, []).append(Event(*fields))
    for events in users.values():
        events.sort()
    return users


def x_column(X: Matrix) -> pa.FixedSizeListArray:
    """Vectors as one Arrow column of fixed-size float32 lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), WIDTH)


def x_matrix(table: pa.Table) -> Matrix:
    """The matrix (n, f) float32 of a table's column `x`."""
    column = table["x"].combine_chunks()
    flat = column.flatten() if not isinstance(column, pa.ChunkedArray) else column.chunk(0).flatten()
    result: Matrix = flat.to_numpy(zero_copy_only=False).reshape(-1, WIDTH)
    return result
