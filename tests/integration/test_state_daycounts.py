"""The days' counts in a real Redis: the same as `common.daycounts` has them."""

import itertools
import random

import pytest

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US
from deployments.state import daycounts
from deployments.state.daycounts import DayCountStore
from deployments.state.windows import StoredEvent, WindowStore
from tests.logs import MONDAY, NOON_US, event, sample_of, simulated_users, store_table
from tests.reference_counts import count

pytestmark = pytest.mark.anyio


async def send(redis, users, seed=1):
    """All events of some users, in random order, every tenth of them twice."""
    everything = [
        StoredEvent(user, one, f"{user}-{i}") for user, events in users.items() for i, one in enumerate(events)
    ]
    everything += everything[::10]
    random.Random(seed).shuffle(everything)
    store = WindowStore(redis)
    for start in range(0, len(everything), 500):
        await store.append(everything[start : start + 500])


def counted(users):
    return count(itertools.chain.from_iterable(users.values()))


def assert_same_history(one, other):
    """Bit-equal, key by key."""
    mine, theirs = one.last.state(), other.last.state()
    assert mine.keys == theirs.keys
    assert mine.figures.tobytes() == theirs.figures.tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_counts_what_a_log_of_the_same_events_counts(redis, seed):
    users = simulated_users(seed)

    await send(redis, users, seed)

    counts = await DayCountStore(redis).day_counts(0, MONDAY + 100)
    assert counts == counted(users)
    assert_same_history(CatalogHistory(Catalog.empty(), counts), CatalogHistory(Catalog.empty(), counted(users)))


async def test_counts_the_real_shop_as_its_log_does(redis):
    users = sample_of(store_table(), one_in=20)
    expected = counted(users)

    await send(redis, users)

    counts = await DayCountStore(redis).day_counts(0, MONDAY + 365)
    assert counts == expected
    assert_same_history(CatalogHistory(Catalog.empty(), counts), CatalogHistory(Catalog.empty(), expected))


async def test_gives_the_days_between_and_neither_end(redis):
    await send(redis, {"ann": [event(day * 86_400) for day in range(5)]})

    counts = await DayCountStore(redis).day_counts(MONDAY, MONDAY + 3)

    assert sorted(counts) == [MONDAY + 1, MONDAY + 2]


async def test_reads_a_day_of_many_products(redis):
    events = [event(i % 1_000, product=f"p{i}") for i in range(4_000)]

    await send(redis, {f"u{i % 100}": events[i % 100 :: 100] for i in range(100)})

    assert await DayCountStore(redis).day_counts(0, 100_000) == count(events)


async def test_keeps_names_with_bars_in_them_apart(redis):
    events = [event(0, category="a|0", brand="b|5"), event(1, category="a", brand="b")]

    await send(redis, {"ann": events})

    assert await DayCountStore(redis).day_counts(0, 100_000) == count(events)


async def test_goes_on_counting_known_products_when_a_day_is_full(redis, monkeypatch):
    monkeypatch.setattr(daycounts, "FIELDS_CAP", 20)
    known, late = event(0, product="known"), event(1, product="late")

    for name, one in (("1", known), ("2", late), ("3", known)):
        await WindowStore(redis).append([StoredEvent("ann", one, name)])

    counts = (await DayCountStore(redis).day_counts(0, 100_000))[MONDAY]
    assert "p:late" not in counts
    assert counts["p:known"][0] == 2
    assert counts["*"][0] == 3


async def test_keeps_the_newest_days_only(redis, monkeypatch):
    monkeypatch.setattr(daycounts, "DAYS_CAP", 3)
    events = [event(day * 86_400) for day in (4, 1, 2, 3, 0)]

    await send(redis, {"ann": events})

    assert sorted(await DayCountStore(redis).day_counts(0, 100_000)) == [MONDAY + 2, MONDAY + 3, MONDAY + 4]
    assert not await redis.call("EXISTS", *(redis.key("day", str(MONDAY + day)) for day in (0, 1)))
    assert 39 * 86_400 < await redis.call("TTL", redis.key("day", str(MONDAY + 4))) <= daycounts.DAY_TTL_S


async def test_tells_when_the_past_has_changed(redis):
    days, store = DayCountStore(redis), WindowStore(redis, now_us=lambda: NOON_US)
    assert await days.revision() == 0

    await store.append([StoredEvent("ann", event(0), "today")])
    assert await days.revision() == 0

    yesterday = StoredEvent("ann", event(0)._replace(time_us=NOON_US - DAY_US), "yesterday")
    await store.append([yesterday])
    await store.append([yesterday])
    assert await days.revision() == 1
