"""Work that goes on beside requests, and waits out a lost Redis."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.errors import StateUnavailable

log = logging.getLogger(__name__)


async def repeat(action: Callable[[], Awaitable[object]], every_s: float, what: str) -> None:
    """Do something for ever, `every_s` seconds after it was last done; logs when Redis is lost and when it is back."""
    lost = False
    while True:
        try:
            await action()
        except StateUnavailable as error:
            if not lost:
                log.warning("%s waits for Redis: %s", what, error)
            lost = True
        else:
            if lost:
                log.info("%s goes on", what)
            lost = False
        await asyncio.sleep(every_s)
