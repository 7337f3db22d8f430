"""Users' windows: events go in once each, in any order, and come out as `common.window.window_at` has them."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import orjson

from common.clock import DAY_US, Clock, day_of, now_us
from common.daycounts import tally
from common.events import Event
from common.window import MAX_AGE_DAYS, MAX_AGE_US, MAX_EVENTS, window_at
from deployments.state import daycounts, purchases
from deployments.state.connection import Argument, Script, ScriptCall, StateRedis
from deployments.state.experiment_store import EXPOSED, SUMS

DAY_S = 86_400

WINDOW_CAP = 2 * MAX_EVENTS
"""How many newest events of a user are kept: twice a window, so that a decision may lie some events back."""

EVENT_ID_TTL_S = 2 * DAY_S
"""How long an event may be sent again and still be known."""

EVENTS_PER_CALL = 32
"""Events of one run of the script: few replies to read, and others wait for Redis 1 to 2 ms at most."""

EVENTS_AT_ONCE = 256
"""Events of one round trip, so that a large batch does not miss the deadline of a call on a busy machine."""

_FIELDS = len(Event._fields)


class StoredEvent(NamedTuple):
    """An event, whose it is, and the id by which it is known when it comes again."""

    user: str
    event: Event
    event_id: str


def content_id(user: str, event: Event) -> str:
    """An id for an event that came without one: the same for the same content (32 hexadecimal digits)."""
    return hashlib.blake2b(orjson.dumps([user, *event]), digest_size=16).hexdigest()


class WindowStore:
    """The newest events of every user."""

    def __init__(
        self,
        redis: StateRedis,
        *,
        cap: int = WINDOW_CAP,
        event_id_ttl_s: int = EVENT_ID_TTL_S,
        now_us: Clock = now_us,
    ) -> None:
        self._redis = redis
        self._cap = cap
        self._event_id_ttl_s = event_id_ttl_s
        self._now_us = now_us
        self._append = Script.read("append_event")

    async def append(self, batch: Sequence[StoredEvent]) -> list[bool]:
        """Store events; False for each whose id had been stored before: the first content stays.

        An event moves its user's window, the counts of its day, the index of purchases and the outcomes of
        experiments in one atomic step, so the caller has nothing else to tell. One round trip for 256 events.

        Raises:
            StateUnavailable: Redis does not answer. Some events may be stored; sending all of them again is safe.
        """
        stored: list[bool] = []
        for start in range(0, len(batch), EVENTS_AT_ONCE):
            calls = self._calls(batch[start : start + EVENTS_AT_ONCE])
            replies = await self._redis.run(self._append, calls)
            stored += [one == 1 for reply in replies for one in reply]
        return stored

    async def windows(self, queries: Sequence[tuple[str, int]]) -> list[list[Event]]:
        """For each (user, as_of_us) `window_at(<the user's events, sorted>, as_of_us)`, in one round trip.

        Exact while at most `cap - MAX_EVENTS` events of the user lie after as_of_us.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        replies = await self._redis.pipeline(
            [
                ("ZRANGEBYSCORE", self._redis.key("win", user), as_of_us - MAX_AGE_US, as_of_us)
                for user, as_of_us in queries
            ]
        )
        rows = orjson.loads(b"[" + b",".join(chain.from_iterable(replies)) + b"]")
        windows: list[list[Event]] = []
        start = 0
        for (_, as_of_us), members in zip(queries, replies, strict=True):
            end = start + len(members)
            events = sorted(Event._make(row[:_FIELDS]) for row in rows[start:end])
            windows.append(window_at(events, as_of_us))
            start = end
        return windows

    def _calls(self, batch: Sequence[StoredEvent]) -> list[ScriptCall]:
        fixed_keys = (self._redis.key(daycounts.DAYS), self._redis.key(daycounts.REVISION))
        fixed = self._fixed_arguments()
        calls = []
        for start in range(0, len(batch), EVENTS_PER_CALL):
            events = batch[start : start + EVENTS_PER_CALL]
            keys = [*fixed_keys, *chain.from_iterable(map(self._keys_of, events))]
            calls.append(ScriptCall(keys, [*fixed, *chain.from_iterable(map(_arguments_of, events))]))
        return calls

    def _fixed_arguments(self) -> tuple[Argument, ...]:
        return (
            self._event_id_ttl_s,
            self._cap,
            MAX_AGE_DAYS * DAY_S,
            daycounts.DAYS_CAP,
            daycounts.DAY_TTL_S,
            daycounts.FIELDS_CAP,
            purchases.CAP,
            purchases.TTL_S,
            day_of(self._now_us()),
            self._redis.key(daycounts.DAY, ""),
            self._redis.key(SUMS, ""),
        )

    def _keys_of(self, stored: StoredEvent) -> tuple[str, ...]:
        key, user = self._redis.key, stored.user
        return (
            key("event", stored.event_id),
            key("win", user),
            key(daycounts.DAY, str(stored.event.time_us // DAY_US)),
            key(purchases.BOUGHT, user),
            key(EXPOSED, user),
        )


def _arguments_of(stored: StoredEvent) -> tuple[Argument, ...]:
    event = stored.event
    keys, column, cents = tally(event)
    return (event.time_us, orjson.dumps([*event, stored.event_id]), event.time_us // DAY_US, column, cents, *keys)
