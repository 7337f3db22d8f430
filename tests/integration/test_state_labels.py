"""Labels mature in a real Redis: every prediction meets its purchase, or the lack of one, once."""

import asyncio
import math

import pytest

from common.clock import DAY_US, HOUR_US
from common.errors import StateUnavailable
from deployments import monitor
from deployments.monitor import HORIZON_US, SLOT_US, Confusion, LabelMonitor
from deployments.state.journal import JournalStore
from deployments.state.windows import StoredEvent, WindowStore
from tests.logs import CART, NOON_US, PURCHASE, event

pytestmark = pytest.mark.anyio
DUE_US = NOON_US + HORIZON_US


def predicted(request_id, user="ann", product="mug", yes=True, at_us=NOON_US, version="v1"):
    return {
        "request_id": request_id,
        "user_id": user,
        "product_id": product,
        "as_of_us": at_us,
        "purchase_probability": 0.9 if yes else 0.1,
        "threshold": 0.5,
        "bundle_version": version,
    }


async def happens(redis, user, after_us, product="mug", kind=PURCHASE):
    one = event(0, kind, product)._replace(time_us=NOON_US + after_us)
    await WindowStore(redis).append([StoredEvent(user, one, f"{user}-{product}-{after_us}-{int(kind)}")])


async def test_counts_right_and_wrong_answers_of_each_version(redis):
    await JournalStore(redis).write(
        [
            predicted("1", "buyer"),
            predicted("2", "buyer", yes=False, version="v2"),
            predicted("3", "looker", version="v2"),
            predicted("4", "looker", yes=False),
            predicted("5", "looker", yes=False),
        ]
    )
    await happens(redis, "buyer", HOUR_US)
    labels = LabelMonitor(redis)
    assert math.isnan(await labels.accuracy())

    assert await labels.mature(DUE_US) == 5

    assert await labels.quality() == {"v1": Confusion(tp=1, tn=2), "v2": Confusion(fn=1, fp=1)}
    assert await labels.accuracy() == 0.6


@pytest.mark.parametrize(
    ("after_us", "product", "kind", "label"),
    [
        (0, "mug", PURCHASE, False),
        (1, "mug", PURCHASE, True),
        (HORIZON_US, "mug", PURCHASE, True),
        (HORIZON_US + 1, "mug", PURCHASE, False),
        (HOUR_US, "mugs", PURCHASE, False),
        (HOUR_US, "mu", PURCHASE, False),
        (HOUR_US, "mug", CART, False),
    ],
)
async def test_a_label_is_a_purchase_of_the_product_within_the_horizon(redis, after_us, product, kind, label):
    await JournalStore(redis).write([predicted("1")])
    await happens(redis, "ann", after_us, product, kind)
    labels = LabelMonitor(redis)

    await labels.mature(DUE_US)

    assert await labels.quality() == {"v1": Confusion(tp=1) if label else Confusion(fp=1)}


async def test_waits_until_the_horizon_has_passed(redis):
    await JournalStore(redis).write([predicted("1"), predicted("2", at_us=NOON_US + 1)])
    labels = LabelMonitor(redis)

    assert [await labels.mature(DUE_US + offset) for offset in (-1, 0, 0, 1, 1)] == [0, 1, 0, 1, 0]


async def test_a_prediction_counts_once_however_often_it_is_in_the_journal(redis):
    journal, labels = JournalStore(redis), LabelMonitor(redis)
    await journal.write([predicted("1"), predicted("1"), predicted("2")])
    assert await labels.mature(DUE_US) == 2

    await journal.write([predicted("1"), predicted("2"), predicted("3")])

    assert await labels.mature(DUE_US) == 1


async def test_the_first_prediction_of_an_id_is_the_one_that_counts(redis):
    await JournalStore(redis).write([predicted("1"), predicted("1", yes=False, at_us=NOON_US + HOUR_US)])
    labels = LabelMonitor(redis)

    assert await labels.mature(DUE_US) == 1

    assert await labels.quality() == {"v1": Confusion(fp=1)}


async def test_another_monitor_goes_on_where_one_was_ended(redis):
    journal = JournalStore(redis)
    await journal.write([predicted(str(i)) for i in range(1_234)])
    await LabelMonitor(redis).mature(NOON_US)
    await redis.call("XTRIM", redis.key("journal"), "MAXLEN", 0)
    await journal.write([predicted("later")])

    assert await LabelMonitor(redis).mature(DUE_US) == 1_235


async def test_two_monitors_at_once_count_once(redis):
    await JournalStore(redis).write([predicted(str(i)) for i in range(1_500)])

    counted = await asyncio.gather(*(LabelMonitor(redis).mature(DUE_US) for _ in range(3)))

    assert sum(counted) == 1_500
    assert (await LabelMonitor(redis).quality())["v1"].labels == 1_500


async def test_a_monitor_that_is_ended_between_reading_and_counting_counts_once(redis, monkeypatch):
    await JournalStore(redis).write([predicted(str(i)) for i in range(20)])
    run, calls = redis.run, []

    async def fails_now_and_then(script, scripts_calls):
        replies = await run(script, scripts_calls)
        calls.append(script)
        if len(calls) % 2:
            raise StateUnavailable("ended after the step was done")
        return replies

    monkeypatch.setattr(redis, "run", fails_now_and_then)
    for _ in range(6):
        try:
            await LabelMonitor(redis).mature(DUE_US)
        except StateUnavailable:
            continue

    assert (await LabelMonitor(redis).quality())["v1"].labels == 20


async def test_a_monitor_that_falls_behind_another_does_not_turn_it_back(redis, monkeypatch):
    journal, slow = JournalStore(redis), LabelMonitor(redis)
    await journal.write([predicted(str(i)) for i in range(monitor.AT_ONCE + 1)])
    read = slow._journal.after

    async def reads_just_before_another_monitor(*page):
        entries = await read(*page)
        await LabelMonitor(redis).mature(NOON_US)
        await redis.call("XTRIM", redis.key("journal"), "MAXLEN", 0)
        return entries

    last = (await journal.after("0", 1_000))[-1].entry_id
    monkeypatch.setattr(slow._journal, "after", reads_just_before_another_monitor)
    await slow.mature(NOON_US)

    assert await redis.call("GET", redis.key("labels-position")) == last.encode()


async def test_remembers_what_was_counted_last_however_old_its_decision_is(redis, monkeypatch):
    monkeypatch.setattr(monitor, "SETTLED_CAP", 2)
    journal, labels = JournalStore(redis), LabelMonitor(redis)
    await journal.write([predicted("new-1"), predicted("new-2")])
    assert await labels.mature(DUE_US) == 2

    for _ in range(2):
        await journal.write([predicted("a-old", at_us=NOON_US - DAY_US)])
        await labels.mature(DUE_US + 1)

    assert (await labels.quality())["v1"].labels == 3


async def test_ignores_what_is_no_prediction(redis):
    await JournalStore(redis).write([{"something": "else"}, predicted("1")])

    assert await LabelMonitor(redis).mature(DUE_US) == 1


async def test_takes_a_bounded_number_for_each_stretch_of_time(redis):
    slot_us = DUE_US // SLOT_US * SLOT_US - HORIZON_US
    await JournalStore(redis).write(
        [predicted(f"{slot}-{i}", at_us=slot_us + slot * SLOT_US + i) for slot in (2, 1, 0) for i in range(10)]
    )
    labels = LabelMonitor(redis, waiting_per_slot=4)

    await labels.mature(slot_us)

    waiting = await redis.call("ZRANGE", redis.key("labels-due"), 0, -1)
    assert waiting == [f"{slot}-{i}".encode() for slot in range(3) for i in range(4)]
    assert await redis.call("HLEN", redis.key("labels-waiting")) == 12
    assert await labels.mature(slot_us + 2 * DAY_US) == 12
    assert await redis.call("EXISTS", redis.key("labels-due"), redis.key("labels-waiting")) == 0


async def test_makes_no_label_from_purchases_that_are_forgotten(redis):
    await JournalStore(redis).write([predicted("1"), predicted("2", at_us=NOON_US + 7 * DAY_US)])

    assert await LabelMonitor(redis).mature(NOON_US + 8 * DAY_US) == 1


async def test_bounds_what_it_remembers(redis, monkeypatch):
    monkeypatch.setattr(monitor, "SETTLED_CAP", 5)
    monkeypatch.setattr(monitor, "VERSION_FIELDS_CAP", 2)
    await JournalStore(redis).write([predicted(str(i), version=f"v{i}") for i in range(8)])
    labels = LabelMonitor(redis)

    assert await labels.mature(DUE_US) == 8

    assert await redis.call("ZCARD", redis.key("labels-settled")) == 5
    assert (await labels.quality())["other"].labels == 6


async def test_asks_about_the_horizon_it_was_given(redis):
    await JournalStore(redis).write([predicted("1")])
    await happens(redis, "ann", 2 * HOUR_US)
    labels = LabelMonitor(redis, horizon_us=HOUR_US)

    assert await labels.mature(NOON_US + HOUR_US) == 1

    assert await labels.quality() == {"v1": Confusion(fp=1)}
