"""The counts of each day of trade, as `common.daycounts` counts them; `append_event.lua` does the adding."""

from collections.abc import Mapping

from common.daycounts import DayCounts
from deployments.state.connection import StateRedis

DAYS = "days"
DAY = "day"
REVISION = "past-days-revision"

DAY_TTL_S = 40 * 86_400
"""How long the counts of a day are kept after the last event that was added to them."""

DAYS_CAP = 64
"""How many newest days are counted; an event of an older one goes to its user's window alone."""

FIELDS_CAP = 500_000
"""How many figures a day may have, about 100,000 products: from there on new products are not counted."""

_FIELDS_AT_ONCE = 2_000
_COLUMNS = 6


class DayCountStore:
    """Reads the days' counts; no reply is long, however large the shop."""

    def __init__(self, redis: StateRedis) -> None:
        self._redis = redis

    async def day_counts(self, after_day: int, before_day: int) -> dict[int, DayCounts]:
        """The counts of every day with events between two days, both left out (days since 1970).

        Raises:
            StateUnavailable: Redis does not answer.
        """
        days = await self._redis.call("ZRANGEBYSCORE", self._redis.key(DAYS), f"({after_day}", f"({before_day}")
        counts = {int(day): await self._counts_of(int(day)) for day in days}
        return {day: of_day for day, of_day in counts.items() if of_day}

    async def revision(self) -> int:
        """A number that grows with every event of a day before today: what is known of the past has changed.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        return int(await self._redis.call("GET", self._redis.key(REVISION)) or 0)

    async def _counts_of(self, day: int) -> DayCounts:
        counts: DayCounts = {}
        cursor = -1
        while cursor:
            command = ("HSCAN", self._redis.key(DAY, str(day)), max(cursor, 0), "COUNT", _FIELDS_AT_ONCE)
            cursor, fields = await self._redis.call(*command)
            _enter(counts, fields)
        return counts


def _enter(counts: DayCounts, fields: Mapping[bytes, bytes]) -> None:
    """Enter fields `key|column` into the counts; entering one twice changes nothing."""
    for field, value in fields.items():
        key, _, column = field.decode().rpartition("|")
        counts.setdefault(key, [0] * _COLUMNS)[int(column)] = int(value)
