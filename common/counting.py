"""The counts of a block of a log by day and key, column by column: what `daycounts.tally` says of each event."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import DAY_US, HOUR_US
from common.compiled import compiled
from common.daycounts import DAY_COUNTS, SHOP_KEY
from common.encoding import HOURS, Codes, category_hour_keys, encoded, encoded_bands, keys_of
from common.feature_inputs import VIEW


class _Block(NamedTuple):
    """What every count reads; `order` sorts by day."""

    order: NDArray[np.int64]
    day: NDArray[np.int64]
    kind: NDArray[np.int8]
    cents: NDArray[np.int64]


def day_counts_of(events: pa.Table) -> pa.Table:
    """The counts of a canonical table's events, in `DAY_COUNTS`."""
    time_us, kind, price = (events[name].to_numpy() for name in ("time_us", "kind", "price"))
    day = time_us // DAY_US
    hour = (time_us % DAY_US // HOUR_US).astype(np.int32)
    block = _Block(np.argsort(day, kind="stable"), day, kind, np.rint(price * 100.0).astype(np.int64))
    products, brands, categories = (encoded(events[name]) for name in ("product", "brand", "category"))
    bands = encoded_bands(price)
    of_category, of_hour = categories.codes * HOURS + hour, np.arange(HOURS)
    return pa.concat_tables(
        [
            _counted(block, products.codes, keys_of("p:", products.values)),
            _counted(block, brands.codes, keys_of("b:", brands.values)),
            _counted(block, categories.codes, keys_of("c:", categories.values)),
            _counted(
                block, of_category, category_hour_keys(categories.values, np.arange(HOURS * len(categories.values)))
            ),
            _counted(block, hour, keys_of("t:", pa.array(of_hour))),
            _counted(block, bands.codes, keys_of("$:", bands.values)),
            _counted(block, np.zeros_like(hour), pa.array([SHOP_KEY])),
        ]
    )


def _counted(block: _Block, codes: Codes, keys: pa.Array) -> pa.Table:
    day, code, figures = _count_cells(*block, codes, len(keys))
    columns = [pa.array(day), keys.take(pa.array(code)), *(pa.array(column) for column in figures.T.copy())]
    return pa.table(columns, schema=DAY_COUNTS)


@compiled
def _count_cells(order: Any, day: Any, kind: Any, cents: Any, codes: Any, n_codes: int) -> Any:
    """Day, code and figures of every (day, code) that has events."""
    cell_of = np.full(n_codes, -1, np.int64)
    cell_day, cell_code = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    figures = np.zeros((len(order), 6), np.int64)
    cells = 0
    first_of_day = 0
    for i in order:
        code = codes[i]
        if cells and cell_day[cells - 1] != day[i]:
            first_of_day = cells
        cell = cell_of[code]
        if cell < first_of_day:
            cell = cell_of[code] = cells
            cell_day[cell], cell_code[cell] = day[i], code
            cells += 1
        figures[cell, kind[i]] += 1
        if kind[i] == VIEW:
            figures[cell, 4] += cents[i]
        figures[cell, 5] = max(figures[cell, 5], cents[i])
    return cell_day[:cells].copy(), cell_code[:cells].copy(), figures[:cells].copy()
