"""A block of a log as columns of numbers: whole users, each one's events together and in canonical order."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.encoding import Codes, encoded
from common.events import Event
from common.feature_inputs import Events

TEXTS = ("user", "session", "product", "category", "brand")


class Asked(NamedTuple):
    """Questions as columns; their codes are those of a `Log`."""

    user: Codes
    session: Codes
    product: Codes
    category: Codes
    brand: Codes
    as_of_us: NDArray[np.int64]
    price: NDArray[np.float64]


class Log(NamedTuple):
    """Events as columns, and what their codes stand for."""

    events: Events
    user: Codes  # of every event, as is the brand: no feature asks which brands are equal
    brand: Codes
    first: NDArray[np.int64]  # (users + 1,) where each user's events begin
    values: dict[str, pa.Array]  # by the names of `TEXTS`: the value of every code

    def text(self, name: str, codes: Codes) -> pa.Array:
        """Codes as what they stand for."""
        return self.values[name].take(pa.array(codes))


def columns_of(table: pa.Table, also: pa.Table | None = None) -> tuple[Log, dict[str, Codes]]:
    """A canonical table in any order as columns, and the codes of the texts of another table, in its own order.

    Args:
        table: events of whole users.
        also: questions about them, with the columns `TEXTS`, none of them null.
    """
    n = table.num_rows
    tables = [table] if also is None else [table, also]
    texts = {name: encoded(*(one[name] for one in tables)) for name in TEXTS}
    codes = {name: text.codes[:n] for name, text in texts.items()}
    order = _canonical_order(table, codes["user"])
    events = Events(
        time_us=table["time_us"].to_numpy()[order],
        kind=table["kind"].to_numpy()[order],
        price=table["price"].to_numpy()[order],
        row=np.full(n, -1, np.int32),  # until a catalog is at hand
        **{name: codes[name][order] for name in ("session", "product", "category")},
    )
    user = codes["user"][order]
    first = np.searchsorted(user, np.arange(len(texts["user"].values) + 1))
    log = Log(events, user, codes["brand"][order], first, {name: text.values for name, text in texts.items()})
    return log, {name: text.codes[n:] for name, text in texts.items()}


def _canonical_order(table: pa.Table, user: Codes) -> NDArray[np.int64]:
    """The rows by user and, for each, in the order of `Event`: only events of one microsecond need their content."""
    time_us = table["time_us"].to_numpy()
    order = np.lexsort((time_us, user))
    same = (np.diff(user[order]) == 0) & (np.diff(time_us[order]) == 0)
    if not same.any():
        return order
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    rows = order[tied]
    # sorted by user and time already: sorting them all keeps each tie in its own places
    contents = table.take(pa.array(rows)).select(Event._fields).append_column("by", pa.array(user[rows]))
    keys = [(name, "ascending") for name in ("by", *Event._fields)]
    order[tied] = rows[pc.sort_indices(contents, sort_keys=keys).to_numpy()]
    return order
