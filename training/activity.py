"""How busy a log is over time: counts of its events in short bins, from which its ends and its outages are read."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.clock import SECOND_US
from common.events import EventKind

BIN_US = 600 * SECOND_US

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Activity:
    """Counts (b,) of the bins that have events, in order of time.

    `number` is the time of a bin's start in units of `BIN_US`; `orders` are distinct sessions that bought in the bin,
    since one order of five products is one piece of chance, not five.
    """

    number: Counts
    events: Counts
    views: Counts
    carts: Counts
    orders: Counts

    @classmethod
    def of(cls, events: pa.Table) -> "Activity":
        """The counts of a canonical table (see `common.eventlog`)."""
        of_event = events["time_us"].to_numpy() // BIN_US
        kind = events["kind"].to_numpy()
        number, at = np.unique(of_event, return_inverse=True)
        bought = pc.equal(events["kind"], int(EventKind.PURCHASE))
        buying = pa.table(
            {"bin": pa.array(at).filter(bought.combine_chunks()), "session": events["session"].filter(bought)}
        )
        orders = buying.group_by(["bin", "session"]).aggregate([])["bin"].to_numpy()
        return cls(
            number,
            _counts(at, len(number)),
            _counts(at[kind == EventKind.VIEW], len(number)),
            _counts(at[kind == EventKind.CART], len(number)),
            _counts(orders, len(number)),
        )

    @classmethod
    def empty(cls) -> "Activity":
        """That of a log without events."""
        return cls(*(np.zeros(0, np.int64) for _ in _NAMES))

    @classmethod
    def sum(cls, parts: Iterable["Activity"]) -> "Activity":
        """The counts of all parts of a log together."""
        every = list(parts)
        columns = {name: np.concatenate([getattr(part, name) for part in every]) for name in _NAMES}
        number, at = np.unique(columns.pop("number"), return_inverse=True)
        sums = {name: np.zeros(len(number), np.int64) for name in columns}
        for name, column in columns.items():
            np.add.at(sums[name], at, column)
        return cls(number, **sums)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Activity":
        """The counts that `to_table` gave."""
        return cls(**{name: table[name].to_numpy() for name in _NAMES})

    def to_table(self) -> pa.Table:
        """The counts as a table, a row for each bin."""
        return pa.table({name: getattr(self, name) for name in _NAMES})


_NAMES = [field.name for field in fields(Activity)]


def _counts(at: NDArray[np.intp], length: int) -> Counts:
    return np.bincount(at, minlength=length).astype(np.int64)
