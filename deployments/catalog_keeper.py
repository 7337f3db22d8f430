"""The router's catalog: the bundle's, rolled over the days of trade that have come since."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.catalog import Catalog, CatalogHistory
from common.clock import Clock, day_of
from common.daycounts import DayCounts
from common.errors import StateUnavailable

log = logging.getLogger(__name__)

ReadDays = Callable[[int, int], Awaitable[dict[int, DayCounts]]]
"""(after_day, before_day) -> the counts of the days between, both ends left out."""

ReadRevision = Callable[[], Awaitable[int]]
"""A number that grows when an event of a past day arrives late."""


class CatalogKeeper:
    """Holds the catalogs that decisions may see, and rolls them when a day ends or a late event arrives."""

    def __init__(self, start: Catalog, *, days: ReadDays, revision: ReadRevision, now_us: Clock) -> None:
        self._start = start
        self._days = days
        self._revision = revision
        self._now_us = now_us
        self._rolled_on = -1
        self._seen_revision = -1
        self.history = CatalogHistory(start, {})
        self.history.index()

    @property
    def is_rolled(self) -> bool:
        """Whether the days of trade since the bundle have been read once."""
        return self._rolled_on >= 0

    async def refresh(self) -> bool:
        """Roll again if a day has ended or the past has changed; True if the catalogs moved.

        Raises:
            StateUnavailable: Redis does not answer; the catalogs that are held stay in use.
        """
        today = day_of(self._now_us())
        revision = await self._revision()
        if today == self._rolled_on and revision == self._seen_revision:
            return False
        days = await self._days(self._start.through_day, today)
        self.history = await asyncio.to_thread(self._roll, days)
        self._rolled_on, self._seen_revision = today, revision
        return True

    def _roll(self, days: dict[int, DayCounts]) -> CatalogHistory:
        history = CatalogHistory(self._start, days)
        history.index()  # here, on a thread: a large catalog's takes a tenth of a second
        return history

    async def keep_fresh(self, every_s: float) -> None:
        """Refresh for ever; a lost Redis is waited out with the catalogs at hand."""
        while True:
            try:
                if await self.refresh():
                    log.info("catalog rolled through day %d", self.history.last.through_day)
            except StateUnavailable as error:
                log.warning("the catalog stays as it is: %s", error)
            await asyncio.sleep(every_s)
