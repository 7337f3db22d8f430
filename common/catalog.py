"""The catalog: what the shop knew of its products, brands and categories on the eve of a day.

It is rolled forward one day of trade at a time from integer counts, so that training (from a log), the
router (from Redis) and batch scoring (from a log again) reach the same bits. A decision on day d sees the
state after the last day of trade before d: never its own day.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.clock import day_of
from common.daycounts import (
    SHOP,
    DayCounts,
    band_key,
    brand_key,
    category_hour_key,
    category_key,
    hour_key,
    product_key,
)
from common.errors import BundleError

SLOW_HALF_LIFE_DAYS = 21.0
FAST_HALF_LIFE_DAYS = 3.0
HIGH_BLOCK_DAYS = 15
"""A recent high is the highest price of this block of days and the one before: 15 to 30 days back."""

PRIOR_EVENTS = 30.0
"""How many events of its parent's behaviour an entity starts with (additive smoothing)."""

_SLOW = 0.5 ** (1.0 / SLOW_HALF_LIFE_DAYS)
_FAST = 0.5 ** (1.0 / FAST_HALF_LIFE_DAYS)
_COUNTS = 5  # views, carts, removes, purchases, cents viewed


class Rates(NamedTuple):
    """Smoothed behaviour of one entity; dimensionless rates per event, except the first."""

    views_per_day: float
    cart_rate: float
    buy_rate: float
    cart_to_buy: float
    remove_rate: float
    trend: float


EMPTY_SHOP = Rates(0.0, 0.2, 0.05, 0.25, 0.1, 0.0)
"""What is assumed of a shop without a single day of history."""


class Catalog:
    """The state after some days of trade; immutable, safe to share, cheap to look up.

    Rows of `slow` and `fast` are exponentially decayed counts (views, carts, removes, purchases, cents viewed),
    float64 (k, 5); `high` holds the highest price in cents of the current and the previous block, float64 (k, 2).
    """

    def __init__(
        self,
        index: dict[str, int],
        slow: NDArray[np.float64],
        fast: NDArray[np.float64],
        high: NDArray[np.float64],
        *,
        days: int,
        through_day: int,
    ) -> None:
        self.index = index
        self.slow = slow
        self.fast = fast
        self.high = high
        self.days = days
        self.through_day = through_day
        self._slow_days = (1.0 - _SLOW) / (1.0 - _SLOW**days) if days else 0.0
        self._fast_days = (1.0 - _FAST) / (1.0 - _FAST**days) if days else 0.0
        self._rates: dict[str, tuple[Rates, Rates]] = {}
        self.shop = self._rates_of(SHOP, EMPTY_SHOP)

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.index, self.slow, self.fast, self.high, self.days, self.through_day)

    @classmethod
    def empty(cls) -> "Catalog":
        """The catalog of a shop that has not opened yet."""
        nothing = np.zeros((0, _COUNTS))
        return cls({}, nothing, nothing.copy(), np.zeros((0, 2)), days=0, through_day=-1)

    def category(self, category: str) -> Rates:
        """Of a category; an unknown one has the shop's."""
        return self._rates_of(category_key(category), self.shop)

    def product(self, product: str, category: str) -> Rates:
        """Of a product; an unknown one has its category's rates and no views."""
        return self._rates_of(product_key(product), self.category(category))

    def brand(self, brand: str) -> Rates:
        """Of a brand; an unknown one has the shop's."""
        return self._rates_of(brand_key(brand), self.shop)

    def category_hour(self, category: str, hour: int) -> Rates:
        """Of a category in one hour of the day; smoothed towards the category's."""
        return self._rates_of(category_hour_key(category, hour), self.category(category))

    def hour(self, hour: int) -> Rates:
        """Of the shop in one hour of the day."""
        return self._rates_of(hour_key(hour), self.shop)

    def price_band(self, price: float) -> Rates:
        """Of all products of about that price."""
        return self._rates_of(band_key(price), self.shop)

    def recent_high(self, product: str) -> float:
        """The highest price seen in the last 15 to 30 days, in units of money; 0 where there is none."""
        row = self.index.get(product_key(product))
        return float(self.high[row].max()) / 100.0 if row is not None else 0.0

    def usual_price(self, product: str) -> float:
        """The decayed mean of the prices viewed, in units of money; 0 where there is none."""
        row = self.index.get(product_key(product))
        if row is None or self.slow[row, 0] <= 0.0:
            return 0.0
        return float(self.slow[row, 4] / self.slow[row, 0]) / 100.0

    def _rates_of(self, key: str, parent: Rates) -> Rates:
        known = self._rates.get(key)
        # a request may name another category for a product: what it gets must not be what the next one gets
        if known is not None and known[0] == parent:
            return known[1]
        row = self.index.get(key)
        # an unknown key is not remembered: strangers must not grow a replica's memory
        if row is None:
            return parent._replace(views_per_day=0.0, trend=0.0)
        rates = self._smoothed(row, parent)
        self._rates[key] = (parent, rates)
        return rates

    def _smoothed(self, row: int, parent: Rates) -> Rates:
        views, carts, removes, purchases, _ = self.slow[row].tolist()
        slow_daily = views * self._slow_days
        fast_daily = float(self.fast[row, 0]) * self._fast_days
        return Rates(
            views_per_day=slow_daily,
            cart_rate=(carts + PRIOR_EVENTS * parent.cart_rate) / (views + PRIOR_EVENTS),
            buy_rate=(purchases + PRIOR_EVENTS * parent.buy_rate) / (views + PRIOR_EVENTS),
            cart_to_buy=(purchases + PRIOR_EVENTS * parent.cart_to_buy) / (carts + PRIOR_EVENTS),
            remove_rate=(removes + PRIOR_EVENTS * parent.remove_rate) / (carts + PRIOR_EVENTS),
            trend=math.log((fast_daily + 0.5) / (slow_daily + 0.5)),
        )

    def rolled(self, day: int, counts: DayCounts) -> "Catalog":
        """The catalog after one more day of trade.

        Raises:
            ValueError: `day` is not after the last day that the catalog knows.
        """
        if day <= self.through_day:
            raise ValueError(f"day {day} is not after day {self.through_day}")
        index = self._extended_index(counts)
        grown = len(index) - len(self.index)
        slow = np.vstack([self.slow * _SLOW, np.zeros((grown, _COUNTS))])
        fast = np.vstack([self.fast * _FAST, np.zeros((grown, _COUNTS))])
        high = np.vstack([self._aged_high(day), np.zeros((grown, 2))])
        for key, entry in counts.items():
            row = index[key]
            today = entry[:_COUNTS]
            slow[row] += today
            fast[row] += today
            high[row, 0] = max(high[row, 0], entry[_COUNTS])
        return Catalog(index, slow, fast, high, days=self.days + 1, through_day=day)

    def _extended_index(self, counts: DayCounts) -> dict[str, int]:
        new = sorted(key for key in counts if key not in self.index)
        if not new:
            return self.index
        index = dict(self.index)
        for key in new:
            index[key] = len(index)
        return index

    def _aged_high(self, day: int) -> NDArray[np.float64]:
        blocks = day // HIGH_BLOCK_DAYS - self.through_day // HIGH_BLOCK_DAYS
        if blocks <= 0:
            return self.high
        aged = np.zeros_like(self.high)
        if blocks == 1:
            aged[:, 1] = self.high[:, 0]
        return aged

    def write(self, path: Path) -> None:
        """Write the state as Parquet; `read` gives the same bits back."""
        columns = {"key": pa.array(sorted(self.index, key=self.index.__getitem__), pa.string())}
        for name, array in (("slow", self.slow), ("fast", self.fast), ("high", self.high)):
            columns |= {f"{name}_{i}": pa.array(array[:, i]) for i in range(array.shape[1])}
        table = pa.table(columns).replace_schema_metadata(
            {"days": str(self.days), "through_day": str(self.through_day)}
        )
        pq.write_table(table, path)

    @classmethod
    def read(cls, path: Path) -> "Catalog":
        """The catalog that `write` left at `path`.

        Raises:
            BundleError: the file is not a catalog.
        """
        try:
            table = pq.read_table(path)
            meta = table.schema.metadata or {}
            arrays = {
                name: np.column_stack([table[f"{name}_{i}"].to_numpy() for i in range(width)])
                for name, width in (("slow", _COUNTS), ("fast", _COUNTS), ("high", 2))
            }
            index = {key: row for row, key in enumerate(table["key"].to_pylist())}
            days, through_day = int(meta[b"days"]), int(meta[b"through_day"])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise BundleError(f"{path} is not a catalog: {error}") from error
        return cls(index, **arrays, days=days, through_day=through_day)


def _restore(
    index: dict[str, int],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
    high: NDArray[np.float64],
    days: int,
    through_day: int,
) -> Catalog:
    return Catalog(index, slow, fast, high, days=days, through_day=through_day)


class CatalogHistory:
    """The catalogs of consecutive days of trade: which one a decision may see depends on its day alone."""

    def __init__(self, start: Catalog, days: Mapping[int, DayCounts]) -> None:
        """Roll `start` over every given day after the last that it knows; earlier days are ignored."""
        self._days = [start.through_day]
        self._catalogs = [start]
        for day in sorted(day for day in days if day > start.through_day):
            self._catalogs.append(self._catalogs[-1].rolled(day, days[day]))
            self._days.append(day)

    @property
    def last(self) -> Catalog:
        """The newest catalog."""
        return self._catalogs[-1]

    def as_of(self, time_us: int) -> Catalog:
        """The catalog after the last day of trade before the day of `time_us`.

        For a time on or before the first day that is known, the first catalog: it is the oldest there is.
        """
        return self._catalogs[max(0, bisect_left(self._days, day_of(time_us)) - 1)]


class ContinuedHistory(CatalogHistory):
    """The catalogs that a log's decisions may see when a bundle knows the shop from before.

    After the bundle's last day its catalog is rolled on over the log's days. Up to and on that day it would tell the
    future, so the log alone speaks.
    """

    def __init__(self, of_bundle: Catalog, days: Mapping[int, DayCounts]) -> None:
        """Roll the bundle's catalog over the days after its last, and an empty one over the days before that."""
        super().__init__(of_bundle, days)
        self._through_day = of_bundle.through_day
        self._before = CatalogHistory(Catalog.empty(), {day: days[day] for day in days if day < of_bundle.through_day})

    def as_of(self, time_us: int) -> Catalog:
        """The newest catalog that was known on the eve of the day of `time_us`."""
        return super().as_of(time_us) if day_of(time_us) > self._through_day else self._before.as_of(time_us)
