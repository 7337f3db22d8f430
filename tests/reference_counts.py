"""The counts of days once more, event by event in plain Python: the oracle of `common.counting` and of Redis."""

from collections.abc import Iterable

import pyarrow as pa

from common.clock import DAY_US
from common.daycounts import COLUMNS, DayCounts, tally
from common.events import Event, EventKind


def count(events: Iterable[Event]) -> dict[int, DayCounts]:
    """The counts of every day that has events: {days since 1970: counts}."""
    days: dict[int, DayCounts] = {}
    for event in events:
        day = days.setdefault(event.time_us // DAY_US, {})
        keys, column, cents = tally(event)
        for key in keys:
            entry = day.get(key)
            if entry is None:
                entry = day[key] = [0, 0, 0, 0, 0, 0]
            entry[column] += 1
            if column == EventKind.VIEW:
                entry[4] += cents
            entry[5] = max(entry[5], cents)
    return days


def merge(into: dict[int, DayCounts], other: dict[int, DayCounts]) -> None:
    """Add the counts of other events to `into`, in place."""
    for day, counts in other.items():
        known = into.setdefault(day, {})
        for key, entry in counts.items():
            sums = known.get(key)
            if sums is None:
                known[key] = list(entry)
                continue
            for column in range(5):
                sums[column] += entry[column]
            sums[5] = max(sums[5], entry[5])


def from_table(table: pa.Table) -> dict[int, DayCounts]:
    """The counts of a table by day and key; rows of the same day and key are added up."""
    days: dict[int, DayCounts] = {}
    entries = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
    for day, key, entry in zip(table["day"].to_pylist(), table["key"].to_pylist(), entries, strict=True):
        merge(days, {day: {key: list(entry)}})
    return days
