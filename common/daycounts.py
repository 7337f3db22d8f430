"""Counts of one day of trade, per product, brand, category, hour and price band.

Integers only (money in cents), so that the order of counting can never change a bit.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from common.clock import DAY_US, HOUR_US
from common.events import Event

SHOP_KEY = "*"

DayCounts = dict[str, list[int]]
"""key -> [views, carts, removes, purchases, sum of viewed prices in cents, highest price in cents]"""

COLUMNS = ("views", "carts", "removes", "purchases", "cents", "high_cents")
DAY_COUNTS = pa.schema([("day", pa.int64()), ("key", pa.string()), *((name, pa.int64()) for name in COLUMNS)])
"""The same as a table: one row for each day and key."""


class Tally(NamedTuple):
    """What one event adds: to which keys, in which column, and its price in cents."""

    keys: tuple[str, ...]
    column: int
    cents: int


def product_key(product: str) -> str:
    """The key of a product."""
    return f"p:{product}"


def brand_key(brand: str) -> str:
    """The key of a brand; the missing brand is one too."""
    return f"b:{brand}"


def category_key(category: str) -> str:
    """The key of a category; the missing category is one too."""
    return f"c:{category}"


def category_hour_key(category: str, hour: int) -> str:
    """The key of a category in one hour of the day."""
    return f"h:{hour}:{category}"


def hour_key(hour: int) -> str:
    """The key of an hour of the day, over the whole shop."""
    return f"t:{hour}"


def band_of(price: float) -> int:
    """The band of a price: four to each factor of e (0.79 and 0.95 share one, 20 and 30 do not)."""
    return math.floor(4.0 * math.log1p(price))


def band_key(price: float) -> str:
    """The key of a price band."""
    return f"$:{band_of(price)}"


def tally(event: Event) -> Tally:
    """What an event adds to the counts of its day."""
    hour = event.time_us % DAY_US // HOUR_US
    keys = (
        product_key(event.product),
        brand_key(event.brand),
        category_key(event.category),
        category_hour_key(event.category, hour),
        hour_key(hour),
        band_key(event.price),
        SHOP_KEY,
    )
    return Tally(keys, int(event.kind), round(event.price * 100.0))


def to_table(days: Mapping[int, DayCounts]) -> pa.Table:
    """Counts by day and key as a table in `DAY_COUNTS`."""
    rows = [(day, key, *entry) for day, counts in days.items() for key, entry in counts.items()]
    columns = zip(*rows, strict=True) if rows else ((),) * len(DAY_COUNTS)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, DAY_COUNTS, strict=True)], DAY_COUNTS
    )


def merged(tables: Iterable[pa.Table]) -> pa.Table:
    """The counts of several parts of a log together."""
    figures = [*((name, "sum") for name in COLUMNS[:-1]), (COLUMNS[-1], "max")]
    together = pa.concat_tables([DAY_COUNTS.empty_table(), *tables]).group_by(["day", "key"]).aggregate(figures)
    return together.select(["day", "key", *("_".join(figure) for figure in figures)]).rename_columns(DAY_COUNTS.names)
