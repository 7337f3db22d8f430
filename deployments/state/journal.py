"""The journal of predictions: the newest 10,000 in a Redis stream, written off the request path."""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from common.errors import StateUnavailable
from deployments.state.background import repeat
from deployments.state.connection import Script, ScriptCall, StateRedis

STREAM = "journal"
WRITER = "journal-writer"
CAP = 10_000
"""How many newest records can be read."""

WRITER_TTL_S = 86_400
"""How long a writer's last batch is known; it would have to wait that long to write a batch twice."""

RECORDS_AT_ONCE = 500

Record = Mapping[str, Any]


class Entry(NamedTuple):
    """A record and its place in the stream."""

    entry_id: str
    record: dict[str, Any]


class Batch(NamedTuple):
    """Serialised records under a number: written again, they are known by it."""

    writer: str
    number: int
    lines: list[bytes]


class JournalStore:
    """The stream."""

    def __init__(self, redis: StateRedis, *, cap: int = CAP) -> None:
        self._redis = redis
        self._cap = cap
        self._append = Script.read("append_journal")

    async def write(self, records: Sequence[Record]) -> None:
        """Append some records, in one round trip: all of them, or none.

        Raises:
            StateUnavailable: Redis does not answer; whether the records are written is not known.
        """
        await self.append(Batch("", 0, [serialised(record) for record in records]))

    async def append(self, batch: Batch) -> None:
        """Append a batch, unless a batch of its writer with this or a higher number has been appended.

        Raises:
            StateUnavailable: as for `write`, but it is safe to try again.
        """
        keys = (self._redis.key(STREAM), self._redis.key(WRITER, batch.writer))
        await self._redis.run(self._append, [ScriptCall(keys, [batch.number, self._cap, WRITER_TTL_S, *batch.lines])])

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` records, at most the cap, newest first.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        records: list[dict[str, Any]] = []
        end, wanted = "+", min(limit, self._cap)
        while len(records) < wanted:
            count = min(RECORDS_AT_ONCE, wanted - len(records))
            page = await self._redis.call("XREVRANGE", self._redis.key(STREAM), end, "-", "COUNT", count)
            entries = _entries(page)
            records += [entry.record for entry in entries]
            if len(entries) < count:
                break
            end = f"({entries[-1].entry_id}"
        return records

    async def after(self, entry_id: str, limit: int) -> list[Entry]:
        """The oldest `limit` entries after an entry ("0" is before all of them), oldest first.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        return _entries(await self._redis.call("XRANGE", self._redis.key(STREAM), f"({entry_id}", "+", "COUNT", limit))


class Journal:
    """A bounded queue before the stream: putting never waits; when it is full the oldest records make room."""

    def __init__(
        self, store: JournalStore, *, capacity: int = CAP, on_dropped: Callable[[int], object] | None = None
    ) -> None:
        """A queue; nothing is written before `run` or `flush`.

        Args:
            store: where records go.
            capacity: how many records may wait.
            on_dropped: is told how many records were dropped.
        """
        self._store = store
        self._capacity = capacity
        self._on_dropped = on_dropped
        self._waiting: deque[bytes] = deque()
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._unsure: Batch | None = None
        self._flushing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._waiting) + (len(self._unsure.lines) if self._unsure else 0)

    def put_nowait(self, record: Record) -> None:
        """Queue a record; the oldest is dropped if there is no room."""
        line = serialised(record)
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._dropped(1)
        self._waiting.append(line)

    async def flush(self) -> None:
        """Write what waits. A batch of which it is not known whether it arrived is sent again under its number.

        Raises:
            StateUnavailable: Redis does not answer; the records wait on.
        """
        async with self._flushing:
            while batch := self._unsure or self._next_batch():
                self._unsure = batch
                await self._store.append(batch)
                self._unsure = None

    async def run(self, every_s: float = 0.2) -> None:
        """Flush for ever; a lost Redis is waited out."""
        await repeat(self.flush, every_s, "the journal")

    async def close(self) -> None:
        """Write what waits if Redis answers; what it does not take is lost, and counted as dropped."""
        with contextlib.suppress(StateUnavailable):
            await self.flush()
        if lost := len(self):
            self._dropped(lost)

    def _dropped(self, count: int) -> None:
        if self._on_dropped:
            self._on_dropped(count)

    def _next_batch(self) -> Batch | None:
        if not self._waiting:
            return None
        lines = [self._waiting.popleft() for _ in range(min(RECORDS_AT_ONCE, len(self._waiting)))]
        self._number += 1
        return Batch(self._writer, self._number, lines)


def serialised(record: Record) -> bytes:
    """A record as the stream holds it."""
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)


def _entries(page: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Entry]:
    return [Entry(entry_id.decode(), orjson.loads(fields[b"record"])) for entry_id, fields in page]
