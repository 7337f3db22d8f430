"""Redis frozen, killed, full or wrong: always `StateUnavailable`, soon, and nothing acknowledged is lost."""

import asyncio
import contextlib
import time

import pytest

from common.errors import ConfigError, StateUnavailable
from deployments.experiments import Experiment
from deployments.metrics import Metrics
from deployments.monitor import LabelMonitor
from deployments.state.cache import AnswerCache
from deployments.state.connection import StateRedis
from deployments.state.daycounts import DayCountStore
from deployments.state.experiment_store import ExperimentStore, Exposure
from deployments.state.journal import Journal, JournalStore
from deployments.state.purchases import PurchaseIndex, PurchaseQuestion
from deployments.state.windows import StoredEvent, WindowStore
from tests.logs import NOON_US, event

pytestmark = pytest.mark.anyio

TIMEOUT_S = 0.2
PATIENCE_S = 2 * TIMEOUT_S + 1.1
"""Twice the timeout by contract, and what a busy machine adds."""

EXPERIMENT = Experiment(
    experiment_id="checkout", variants=("a", "b"), traffic_split={"a": 0.5, "b": 0.5}, primary_metric="conversion"
)
BATCH = [StoredEvent(f"u{i}", event(i), f"e{i}") for i in range(200)]


def everything(redis):
    """Every operation on the state, each as a function that begins it."""
    journal, experiments, cache = JournalStore(redis), ExperimentStore(redis), AnswerCache(redis)
    metrics = Metrics(redis)
    metrics.inc("matured_labels_total")
    queue = Journal(journal)
    queue.put_nowait({"request_id": "r"})
    return {
        "append": lambda: WindowStore(redis).append(BATCH),
        "windows": lambda: WindowStore(redis).windows([("u1", NOON_US)] * 32),
        "day_counts": lambda: DayCountStore(redis).day_counts(0, 100_000),
        "revision": DayCountStore(redis).revision,
        "bought": lambda: PurchaseIndex(redis).bought([PurchaseQuestion("u1", "mug", 0, NOON_US)]),
        "get": lambda: cache.get([b"k"]),
        "put": lambda: cache.put([(b"k", b"v")], 300),
        "write": lambda: journal.write([{"request_id": "r"}]),
        "newest": lambda: journal.newest(10),
        "journal flush": queue.flush,
        "metrics flush": metrics.flush,
        "figures": metrics.figures,
        "define": lambda: experiments.define(EXPERIMENT, 0),
        "get experiment": lambda: experiments.get("checkout"),
        "all": experiments.all,
        "stop": lambda: experiments.stop("checkout", 0),
        "expose": lambda: experiments.expose([Exposure("checkout", "u1", "a", 0.5, 0)]),
        "results": lambda: experiments.results("checkout"),
        "mature": lambda: LabelMonitor(redis).mature(NOON_US),
        "quality": LabelMonitor(redis).quality,
    }


async def assert_all_unavailable(redis):
    for name, begin in everything(redis).items():
        started_s = time.monotonic()
        with pytest.raises(StateUnavailable):
            await begin()
        assert time.monotonic() - started_s < PATIENCE_S, name


async def test_a_frozen_redis_is_unavailable_in_time_to_every_operation(own_redis, connect):
    await ExperimentStore(connect(own_redis.url, timeout_s=5.0)).define(EXPERIMENT, 0)
    connected = connect(own_redis.url, timeout_s=TIMEOUT_S)
    with contextlib.suppress(StateUnavailable):  # connects, however busy the machine is
        await connected.call("PING")

    own_redis.freeze()

    await assert_all_unavailable(connected)
    await assert_all_unavailable(connect(own_redis.url, timeout_s=TIMEOUT_S))


async def test_many_callers_of_a_frozen_redis_wait_no_longer_than_one(own_redis, connect):
    redis = connect(own_redis.url, timeout_s=TIMEOUT_S)
    windows = WindowStore(redis)
    own_redis.freeze()

    started_s = time.monotonic()
    answers = await asyncio.gather(*(windows.windows([(f"u{i}", NOON_US)]) for i in range(200)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {StateUnavailable}
    assert time.monotonic() - started_s < PATIENCE_S


async def test_what_a_frozen_redis_took_in_is_not_stored_twice(own_redis, connect):
    redis = connect(own_redis.url, timeout_s=0.5)
    store, metrics = WindowStore(redis), Metrics(redis)
    journal_store = JournalStore(redis)
    journal = Journal(journal_store)
    await store.windows([("u1", NOON_US)])  # the connection is there
    metrics.inc("events_total", "stored", by=200)
    journal.put_nowait({"request_id": "r"})

    own_redis.freeze()
    for _ in range(2):
        for write in (lambda: store.append(BATCH), metrics.flush, journal.flush):
            with pytest.raises(StateUnavailable):
                await write()
    own_redis.thaw()

    patient = connect(own_redis.url, timeout_s=5.0)
    await WindowStore(patient).append(BATCH)
    await journal.flush()
    assert (await metrics.figures()).total("events_total") == 200
    assert await journal_store.newest(10) == [{"request_id": "r"}]
    windows = await WindowStore(patient).windows([(one.user, one.event.time_us) for one in BATCH])
    assert windows == [[one.event] for one in BATCH]


async def test_after_a_timeout_redis_gets_a_rest(own_redis, connect):
    timeout_s = 1.0
    redis = connect(own_redis.url, timeout_s=timeout_s, rest_s=60.0)
    await redis.call("PING")
    own_redis.freeze()
    with pytest.raises(StateUnavailable):
        await redis.call("PING")

    started_s = time.monotonic()
    for _ in range(100):
        with pytest.raises(StateUnavailable):
            await redis.call("PING")

    assert time.monotonic() - started_s < timeout_s


async def test_asks_again_after_the_rest(own_redis):
    now_s = 0.0
    opened = StateRedis.connect(own_redis.url, timeout_s=1.0)._redis
    redis = StateRedis(opened, deadline_s=1.0, rest_s=10.0, monotonic=lambda: now_s)
    own_redis.freeze()
    with pytest.raises(StateUnavailable):
        await redis.call("PING")
    own_redis.thaw()

    now_s = 9.9
    with pytest.raises(StateUnavailable):
        await redis.call("PING")
    now_s = 10.0
    answer = await redis.call("PING")

    assert answer is True
    await redis.aclose()


async def test_a_redis_that_is_gone_is_unavailable_to_every_operation(connect):
    await assert_all_unavailable(connect("redis://127.0.0.1:1/0"))


async def test_acknowledged_events_are_there_after_redis_was_killed(own_redis, connect):
    store = WindowStore(connect(own_redis.url, timeout_s=5.0))
    acknowledged = []

    async def keep_sending():
        for i in range(0, len(BATCH), 2):
            try:
                if await store.append(BATCH[i : i + 2]):
                    acknowledged.extend(BATCH[i : i + 2])
            except StateUnavailable:
                return

    sending = asyncio.create_task(keep_sending())
    while len(acknowledged) < 50:
        await asyncio.sleep(0)
    own_redis.kill()
    await sending
    own_redis.start()

    windows = await store.windows([(one.user, one.event.time_us) for one in acknowledged])
    assert windows == [[one.event] for one in acknowledged]
    assert await store.append(acknowledged) == [False] * len(acknowledged)
    counted = await DayCountStore(connect(own_redis.url, timeout_s=5.0)).day_counts(0, 100_000)
    assert sum(day["*"][0] for day in counted.values()) in range(len(acknowledged), len(acknowledged) + 3)


async def test_a_connection_that_redis_dropped_is_replaced_without_an_error(own_redis, connect):
    redis = connect(own_redis.url, timeout_s=5.0)
    await redis.call("PING")
    own_redis.kill()
    own_redis.start()
    for _ in range(3):  # the event loop gets to see that the connection has ended
        await asyncio.sleep(0)

    assert await redis.call("PING") is True


async def test_a_full_redis_is_unavailable_and_stores_no_half_of_an_event(redis):
    store = WindowStore(redis)
    await store.append(BATCH[:1])
    await redis.call("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StateUnavailable, match="refused"):
            await store.append(BATCH[1:3])
    finally:
        await redis.call("CONFIG", "SET", "maxmemory", 0)

    assert await store.append(BATCH[:3]) == [False, True, True]
    assert (await DayCountStore(redis).day_counts(0, 100_000))[NOON_US // (86_400 * 10**6)]["*"][0] == 3


async def test_a_cancelled_caller_leaves_the_connections_usable(redis):
    store = WindowStore(redis)
    await store.append(BATCH)
    for delay_steps in range(30):
        task = asyncio.create_task(store.windows([(one.user, one.event.time_us) for one in BATCH]))
        for _ in range(delay_steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert await store.windows([("u7", BATCH[7].event.time_us)]) == [[BATCH[7].event]]


def test_refuses_an_address_that_is_none_of_redis():
    with pytest.raises(ConfigError):
        StateRedis.connect("http://localhost:6379")
