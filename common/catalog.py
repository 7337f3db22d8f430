"""The catalog: what the shop knew of its products, brands and categories on the eve of a day.

It is rolled forward one day of trade at a time from integer counts, so that training (from a log), the
router (from Redis) and batch scoring (from a log again) reach the same bits. A decision on day d sees the
state after the last day of trade before d: never its own day.
"""

from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.catalog_rolling import Facts, State, facts_of_days, facts_of_state, lock, rolled
from common.catalog_state import (
    BAND,
    BRAND,
    CATEGORY,
    CATEGORY_HOUR,
    CENTS,
    FIGURES,
    HOUR,
    PRODUCT,
    SHOP,
    VIEWS,
    Rates,
    fill_known,
    look_up,
    look_up_all,
    nothing_known,
    recent_high,
)
from common.clock import DAY_US, day_of
from common.daycounts import (
    DAY_COUNTS,
    SHOP_KEY,
    DayCounts,
    band_key,
    brand_key,
    category_hour_key,
    category_key,
    hour_key,
    product_key,
    to_table,
)
from common.errors import BundleError
from common.events import Decision

Days: TypeAlias = pa.Table | Mapping[int, DayCounts]
"""Counts of days: a table (`daycounts.DAY_COUNTS`), or as Redis has them."""


class CatalogHistory:
    """The catalogs of consecutive days of trade: which one a decision may see depends on its day alone.

    Kept as the changes of every key (`catalog_state.Entries`), in a few arrays that processes can share.
    """

    def __init__(self, start: "Catalog", days: Days) -> None:
        """Roll `start` over every given day after the last that it knows; earlier days are ignored."""
        table = _as_table(days)
        self._roll([(start.state(), _after(table, start.through_day))])

    @classmethod
    def of_state(cls, state: State) -> "CatalogHistory":
        """The history of a single state."""
        history = cls.__new__(cls)
        history._roll([(state, DAY_COUNTS.empty_table())])
        return history

    def _roll(self, eras: list[tuple[State, pa.Table]]) -> None:
        """Roll each state over the days of its era, one era after the other."""
        facts: list[Facts] = []
        through_day: list[int] = []
        days: list[int] = []
        for start, table in eras:
            known = pa.concat_arrays([pa.array([], pa.string()), *(fact.keys for fact in facts)]).unique()
            new_days = np.unique(table["day"].to_numpy())
            facts.append(facts_of_state(start, known, len(days)))
            facts.append(facts_of_days(table, new_days, len(days) + 1))
            through_day += [start.through_day, *new_days.tolist()]
            days += range(start.days, start.days + len(new_days) + 1)
        self.days = days
        self.through_day = through_day
        self.keys, self.entries = rolled(facts, through_day, days)
        self._index: tuple[dict[str, int], dict[str, int]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_index": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        lock(self.entries)

    @property
    def last(self) -> "Catalog":
        """The newest catalog."""
        return Catalog(self, len(self.days) - 1)

    def as_of(self, time_us: int) -> "Catalog":
        """The catalog after the last day of trade before the day of `time_us`.

        For a time on or before the first day that is known, the first catalog: it is the oldest there is.
        """
        return Catalog(self, max(bisect_left(self.through_day, day_of(time_us)) - 1, 0))

    def positions(self, times_us: NDArray[np.int64]) -> NDArray[np.int32]:
        """`as_of` for many times: the position of each one's catalog, int32 (n,)."""
        before = np.searchsorted(self.entries.through_day, times_us // DAY_US, side="left") - 1
        return np.maximum(before, 0).astype(np.int32)

    def rows_of(self, keys: pa.Array) -> NDArray[np.int32]:
        """The rows of many keys, int32 (n,); -1 where a key is not known."""
        found = pc.fill_null(pc.index_in(keys, value_set=self.keys), -1)
        rows: NDArray[np.int32] = found.to_numpy(zero_copy_only=False)
        return rows

    @property
    def row_of(self) -> dict[str, int]:
        """Every key's row."""
        return self.index()[0]

    @property
    def row_of_product(self) -> dict[str, int]:
        """Every product's row, by its id."""
        return self.index()[1]

    def index(self) -> tuple[dict[str, int], dict[str, int]]:
        """The rows of all keys and those of products by id; made when first asked for, and left behind on a journey."""
        if self._index is None:
            prefix = product_key("")
            rows = {key: row for row, key in enumerate(self.keys.to_pylist())}
            self._index = rows, {key[len(prefix) :]: row for key, row in rows.items() if key.startswith(prefix)}
        return self._index


class ContinuedHistory(CatalogHistory):
    """The catalogs that a log's decisions may see when a bundle knows the shop from before.

    After the bundle's last day its catalog is rolled on over the log's days. Up to and on that day it would tell the
    future, so the log alone speaks.
    """

    def __init__(self, of_bundle: "Catalog", days: Days) -> None:
        """Roll an empty catalog over the days before the bundle's last, and the bundle's over the days after it."""
        table = _as_table(days)
        before = table.filter(pc.less(table["day"], of_bundle.through_day))
        after = _after(table, of_bundle.through_day)
        if of_bundle.days:
            self._roll([(Catalog.empty().state(), before), (of_bundle.state(), after)])
        else:
            self._roll([(of_bundle.state(), after)])


class Catalog:
    """The state after some days of trade: one position of a history; cheap to make, safe to share."""

    def __init__(self, history: CatalogHistory, position: int) -> None:
        self.history = history
        self.position = position
        self.days = history.days[position]
        self.through_day = history.through_day[position]

    @classmethod
    def empty(cls) -> "Catalog":
        """The catalog of a shop that has not opened yet."""
        return CatalogHistory.of_state(State(pa.array([], pa.string()), np.zeros((0, len(FIGURES))), 0, -1)).last

    def rows_of(self, decision: Decision) -> tuple[int, ...]:
        """The rows of what a question names, in the order of `ENTITIES`; -1 where the catalog has none."""
        row_of = self.history.row_of.get
        return (
            row_of(SHOP_KEY, -1),
            row_of(category_key(decision.category), -1),
            row_of(product_key(decision.product), -1),
            row_of(brand_key(decision.brand), -1),
            row_of(category_hour_key(decision.category, decision.hour), -1),
            row_of(hour_key(decision.hour), -1),
            row_of(band_key(decision.price), -1),
        )

    @property
    def shop(self) -> Rates:
        """Of the whole shop."""
        return self._rates(SHOP)

    def category(self, category: str) -> Rates:
        """Of a category; an unknown one has the shop's."""
        return self._rates(CATEGORY, category=category)

    def product(self, product: str, category: str) -> Rates:
        """Of a product; an unknown one has its category's rates and no views."""
        return self._rates(PRODUCT, product=product, category=category)

    def brand(self, brand: str) -> Rates:
        """Of a brand; an unknown one has the shop's."""
        return self._rates(BRAND, brand=brand)

    def category_hour(self, category: str, hour: int) -> Rates:
        """Of a category in one hour of the day; smoothed towards the category's."""
        return self._rates(CATEGORY_HOUR, category=category, hour=hour)

    def hour(self, hour: int) -> Rates:
        """Of the shop in one hour of the day."""
        return self._rates(HOUR, hour=hour)

    def price_band(self, price: float) -> Rates:
        """Of all products of about that price."""
        return self._rates(BAND, price=price)

    def _rates(self, entity: int, **named: Any) -> Rates:
        asked = Decision("", "", "", "", "", 0.0, 0, 0, 0, 0)._replace(**named)
        known = nothing_known()
        fill_known(known, self.history.entries, np.array(self.rows_of(asked), np.int32), self.position)
        return Rates(*known.rates[entity].tolist())

    def figures(self, key: str) -> NDArray[np.float64] | None:
        """What is known of a key, float64 (FIGURES,); None where that is nothing."""
        figures = np.zeros(len(FIGURES))
        row = self.history.row_of.get(key, -1)
        return figures if look_up(self.history.entries, row, self.position, figures) else None

    def recent_high(self, product: str) -> float:
        """The highest price seen in the last 15 to 30 days, in units of money; 0 where there is none."""
        row = self.history.row_of.get(product_key(product), -1)
        return float(recent_high(self.history.entries, row, self.position))

    def usual_price(self, product: str) -> float:
        """The decayed mean of the prices viewed, in units of money; 0 where there is none."""
        figures = self.figures(product_key(product))
        return float(figures[CENTS] / figures[VIEWS]) / 100.0 if figures is not None and figures[VIEWS] > 0.0 else 0.0

    def state(self) -> State:
        """Everything that is known."""
        figures = np.zeros((len(self.history.keys), len(FIGURES)))
        known = np.zeros(len(figures), np.bool_)
        look_up_all(self.history.entries, self.position, figures, known)
        return State(self.history.keys.filter(pa.array(known)), figures[known], self.days, self.through_day)

    def rolled(self, day: int, counts: DayCounts) -> "Catalog":
        """The catalog after one more day of trade.

        Raises:
            ValueError: `day` is not after the last day that the catalog knows.
        """
        if day <= self.through_day:
            raise ValueError(f"day {day} is not after day {self.through_day}")
        return CatalogHistory(self, {day: counts}).last

    def write(self, path: Path) -> None:
        """Write the state as Parquet; `read` gives the same bits back."""
        state = self.state()
        columns = {"key": state.keys} | {name: pa.array(state.figures[:, i]) for i, name in enumerate(FIGURES)}
        meta = {"days": str(self.days), "through_day": str(self.through_day)}
        pq.write_table(pa.table(columns).replace_schema_metadata(meta), path)

    @classmethod
    def read(cls, path: Path) -> "Catalog":
        """The catalog that `write` left at `path`.

        Raises:
            BundleError: the file is not a catalog.
        """
        try:
            table = pq.read_table(path)
            meta = table.schema.metadata or {}
            figures = np.column_stack([table[name].to_numpy() for name in FIGURES])
            keys = table["key"].combine_chunks().cast(pa.string())
            days, through_day = int(meta[b"days"]), int(meta[b"through_day"])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise BundleError(f"{path} is not a catalog: {error}") from error
        return CatalogHistory.of_state(State(keys, figures, days, through_day)).last


def _after(table: pa.Table, day: int) -> pa.Table:
    is_after = pc.greater(table["day"], day)
    # mostly all of them: a large shop's counts need no second copy
    return table if pc.all(is_after, min_count=0).as_py() else table.filter(is_after)


def _as_table(days: Days) -> pa.Table:
    return to_table(days) if isinstance(days, Mapping) else days
