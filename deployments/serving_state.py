"""The router's side of Redis: one connection, what is read for each batch, and what is written behind it."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.clock import Clock
from common.daycounts import DayCounts
from common.errors import ConfigError, StateUnavailable
from common.events import Event
from deployments.experiments import StoredExperiment, assign
from deployments.metrics import CONTENT_TYPE, Metrics
from deployments.monitor import Confusion, LabelMonitor
from deployments.settings import Settings
from deployments.state.background import repeat
from deployments.state.cache import AnswerCache
from deployments.state.connection import StateRedis
from deployments.state.daycounts import DayCountStore
from deployments.state.experiment_store import ExperimentStore, Exposure
from deployments.state.journal import Journal, JournalStore
from deployments.state.windows import StoredEvent, WindowStore

log = logging.getLogger(__name__)

EXPERIMENTS_S = 1.0
"""How often a replica looks for new experiments: so long may a new one answer `control`."""

WRITE_S = 0.2
WAITING_CAP = 20_000
"""Cache entries, and exposures, that may wait to be written; more are dropped, oldest first."""

CONTROL = "control"
"""The variant that unknown and stopped experiments answer: the champion's ensemble."""


class Assignment(NamedTuple):
    """What a user sees of an experiment, None without one, and whether the experiment counts it."""

    variant: str | None
    is_running: bool


@dataclass(frozen=True)
class LiveFigures:
    """What has been seen since the figures began; NaN-free: None where there is nothing yet."""

    predictions: int
    mean_latency_s: float | None
    accuracy: float | None
    matured_labels: int


class ServingState:
    """Everything that the router reads from Redis and writes to it."""

    def __init__(self, redis: StateRedis, *, horizon_s: int) -> None:
        self._redis = redis
        self._windows = WindowStore(redis)
        self._days = DayCountStore(redis)
        self._cache = AnswerCache(redis)
        self._journal_store = JournalStore(redis)
        self._labels = LabelMonitor(redis, horizon_us=horizon_s * 1_000_000)
        self.metrics = Metrics(redis)
        self.experiments = ExperimentStore(redis)
        self._journal = Journal(self._journal_store, on_dropped=self._count_dropped)
        self._tasks: list[asyncio.Task[None]] = []
        self._known: dict[str, StoredExperiment] = {}
        self._to_cache: deque[tuple[bytes, bytes, int]] = deque(maxlen=WAITING_CAP)
        self._to_expose: deque[Exposure] = deque(maxlen=WAITING_CAP)

    @classmethod
    def connect(cls, settings: Settings, *, horizon_s: int) -> "ServingState":
        """The state in the Redis of the settings; labels mature after the served bundle's `horizon_s`.

        Nothing is sent yet.

        Raises:
            ConfigError: no address of a Redis is set.
        """
        if settings.redis_url is None:
            raise ConfigError("no Redis is set", remedy="Start with `python -m deployments serve`, or set REDIS_URL")
        redis = StateRedis.connect(settings.redis_url.get_secret_value())
        return cls(redis, horizon_s=horizon_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write behind the requests, and watch for experiments, as long as this lasts."""
        tasks = self._tasks = [
            asyncio.create_task(self._journal.run(WRITE_S)),
            asyncio.create_task(self.metrics.run()),
            asyncio.create_task(repeat(self._write_behind, WRITE_S, "the write-behind queue")),
            asyncio.create_task(repeat(self._watch_experiments, EXPERIMENTS_S, "the list of experiments")),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(StateUnavailable):
                await self._write_behind()
            self.metrics.inc("exposures_dropped_total", by=len(self._to_expose))
            await self._journal.close()
            await self.metrics.close()
            await self._redis.aclose()

    def check(self) -> None:
        """See that what works behind the requests still does.

        Raises:
            RuntimeError: a task of it has ended; only a new process mends that.
        """
        for task in self._tasks:
            if task.done():
                raise RuntimeError(f"a background task has ended: {task!r}")

    async def alive(self) -> bool:
        """Whether Redis answers."""
        return bool(await self._redis.call("PING"))

    async def windows(self, queries: Sequence[tuple[str, int]]) -> list[list[Event]]:
        """See `WindowStore.windows`."""
        return await self._windows.windows(queries)

    async def append(self, batch: Sequence[StoredEvent]) -> list[bool]:
        """See `WindowStore.append`; counts what came of the events."""
        try:
            stored = await self._windows.append(batch)
        except StateUnavailable:
            self.metrics.inc("events_total", "refused", by=len(batch))
            raise
        self.metrics.inc("events_total", "stored", by=sum(stored))
        self.metrics.inc("events_total", "duplicate", by=len(stored) - sum(stored))
        return stored

    async def day_counts(self, after_day: int, before_day: int) -> dict[int, DayCounts]:
        """See `DayCountStore.day_counts`."""
        return await self._days.day_counts(after_day, before_day)

    async def catalog_revision(self) -> int:
        """See `DayCountStore.revision`."""
        return await self._days.revision()

    def assign(self, experiment_id: str | None, user: str) -> Assignment:
        """The variant that a user sees; `control` of an experiment that is unknown or has been stopped."""
        if experiment_id is None:
            return Assignment(None, is_running=False)
        stored = self._known.get(experiment_id)
        if stored is None or stored.status != "running":
            return Assignment(CONTROL, is_running=False)
        return Assignment(assign(stored.experiment, user), is_running=True)

    async def recall(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AnswerCache.get`; counts what came of it."""
        try:
            entries = await self._cache.get(keys)
        except StateUnavailable:
            self.metrics.inc("cache_requests_total", "error", by=len(keys))
            raise
        hits = sum(entry is not None for entry in entries)
        self.metrics.inc("cache_requests_total", "hit", by=hits)
        self.metrics.inc("cache_requests_total", "miss", by=len(entries) - hits)
        return entries

    def remember(self, items: Sequence[tuple[bytes, bytes]], *, ttl_s: int) -> None:
        """Cache some entries soon; never waits."""
        self._to_cache.extend((key, value, ttl_s) for key, value in items)

    def journal(self, record: Mapping[str, Any]) -> None:
        """Write a prediction down soon; never waits."""
        self._journal.put_nowait(record)

    def expose(self, exposure: Exposure) -> None:
        """Record who was shown what soon; never waits. Without room the oldest is dropped, and counted."""
        if len(self._to_expose) == WAITING_CAP:
            self.metrics.inc("exposures_dropped_total")
        self._to_expose.append(exposure)

    async def newest_predictions(self, limit: int) -> list[dict[str, Any]]:
        """The newest predictions, newest first; this replica's latest are written before it looks."""
        await self._journal.flush()
        return await self._journal_store.newest(limit)

    async def rendered_metrics(self) -> tuple[bytes, str]:
        """The cluster's metrics and their content type."""
        return await self.metrics.render(), CONTENT_TYPE

    async def live_figures(self, version: str) -> LiveFigures:
        """How many predictions there were, how fast, and how right those of one bundle version were."""
        figures = await self.metrics.figures()
        quality = (await self._labels.quality()).get(version, Confusion())
        predictions = int(figures.total("predictions_total"))
        return LiveFigures(
            predictions=predictions,
            mean_latency_s=figures.mean("prediction_latency_seconds") if predictions else None,
            accuracy=quality.accuracy if quality.labels else None,
            matured_labels=quality.labels,
        )

    async def watch_labels(self, now_us: Clock, every_s: float) -> None:
        """Count predictions as their labels mature, and publish how right they were, for ever."""

        async def step() -> None:
            counted = await self._labels.mature(now_us())
            self.metrics.inc("matured_labels_total", by=counted)
            self.metrics.set("model_accuracy", await self._labels.accuracy())
            await self.metrics.flush()

        await repeat(step, every_s, "the watch over labels")

    async def _write_behind(self) -> None:
        while self._to_cache:
            batch = [self._to_cache[i] for i in range(min(500, len(self._to_cache)))]
            ttl_s = batch[0][2]
            await self._cache.put([(key, value) for key, value, _ in batch], ttl_s)
            _drop(self._to_cache, batch)
        while self._to_expose:
            exposures = [self._to_expose[i] for i in range(min(500, len(self._to_expose)))]
            await self.experiments.expose(exposures)
            _drop(self._to_expose, exposures)

    async def _watch_experiments(self) -> None:
        self._known = {stored.experiment.experiment_id: stored for stored in await self.experiments.all()}

    def _count_dropped(self, records: int) -> None:
        self.metrics.inc("journal_dropped_total", by=records)


def _drop(queue: deque[Any], written: Sequence[Any]) -> None:
    """Take what was written off the queue's front; what overflowed meanwhile is gone already."""
    for item in written:
        if queue and queue[0] is item:
            queue.popleft()
