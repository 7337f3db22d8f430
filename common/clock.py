"""The one place where the wall clock is read; everything else takes `now` as a parameter."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Gives the present as UTC microseconds since 1970."""

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


def now_us() -> int:
    """The present, UTC microseconds since 1970."""
    return time.time_ns() // 1_000


def day_of(time_us: int) -> int:
    """The UTC day a time falls on, as days since 1970."""
    return time_us // DAY_US


def to_datetime(time_us: int) -> datetime:
    """A time-zone aware UTC datetime, exact to the microsecond."""
    return datetime.fromtimestamp(time_us // SECOND_US, UTC).replace(microsecond=time_us % SECOND_US)


def to_iso(time_us: int) -> str:
    """ISO 8601 in UTC with microseconds and a Z: `2016-08-01T07:06:52.645000Z`."""
    return to_datetime(time_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_datetime(moment: datetime) -> int:
    """UTC microseconds of a datetime; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds
