"""Users' windows in a real Redis: the same as `common.window` has them, whatever order events arrive in."""

import asyncio
import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.clock import DAY_US
from common.window import MAX_AGE_US, MAX_EVENTS, window_at
from deployments.state.windows import EVENTS_AT_ONCE, EVENTS_PER_CALL, WINDOW_CAP, StoredEvent, WindowStore, content_id
from tests.logs import CART, NOON_US, PURCHASE, VIEW, event, histories

pytestmark = pytest.mark.anyio

_users = (f"user-{i}" for i in itertools.count())


def stored(user, events, name="e"):
    return [StoredEvent(user, one, f"{user}-{name}{i}") for i, one in enumerate(events)]


@st.composite
def questions(draw):
    """A user's events in canonical order, the order in which they arrive, and an instant to ask about."""
    events = draw(histories(max_events=WINDOW_CAP))
    arriving = stored(next(_users), events)
    random.Random(draw(st.integers(0, 2**32))).shuffle(arriving)
    instants = [one.time_us for one in events]
    edges = [events[0].time_us + MAX_AGE_US, events[0].time_us + MAX_AGE_US + 1]
    anything = st.integers(NOON_US - 41 * DAY_US, NOON_US + 3 * DAY_US)
    return events, arriving, draw(st.one_of(st.sampled_from(instants + edges), anything))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(question=questions())
async def test_gives_the_window_of_all_events_whatever_order_they_came_in(redis, question):
    store = WindowStore(redis)
    events, arriving, as_of_us = question

    await store.append(arriving[::2])
    await store.append(arriving[1::2])

    assert await store.windows([(arriving[0].user, as_of_us)]) == [window_at(events, as_of_us)]


async def test_cuts_between_events_of_one_microsecond_as_the_canonical_order_has_them(redis):
    store = WindowStore(redis)
    tied = [event(0, price=price) for price in (10.0, 9.5, 100.0, 2.25)]
    later = [event(1 + second) for second in range(MAX_EVENTS - 2)]

    await store.append(stored("ann", [*later, *tied]))

    (window,) = await store.windows([("ann", later[-1].time_us)])
    assert [one.price for one in window[:2]] == [10.0, 100.0]


async def test_is_exact_after_more_events_than_are_kept(redis):
    store = WindowStore(redis)
    events = [event(second, product=f"p{second % 7}") for second in range(3 * WINDOW_CAP)]
    shuffled = stored("ann", events)
    random.Random(5).shuffle(shuffled)

    for start in range(0, len(shuffled), 50):
        await store.append(shuffled[start : start + 50])

    assert await redis.call("ZCARD", redis.key("win", "ann")) == WINDOW_CAP
    oldest_exact = events[-1 - (WINDOW_CAP - MAX_EVENTS)].time_us
    for as_of_us in (events[-1].time_us, oldest_exact):
        assert await store.windows([("ann", as_of_us)]) == [window_at(events, as_of_us)]


async def test_answers_many_questions_at_once_and_each_for_itself(redis):
    store = WindowStore(redis)
    await store.append([*stored("ann", [event(0), event(5)]), *stored("bob", [event(3, CART, "cap")])])

    windows = await store.windows(
        [("ann", NOON_US), ("bob", NOON_US + 10**7), ("nobody", NOON_US), ("ann", NOON_US + 10**7)]
    )

    assert windows == [[event(0)], [event(3, CART, "cap")], [], [event(0), event(5)]]
    assert await store.windows([]) == []


async def test_keeps_text_of_every_kind(redis):
    store = WindowStore(redis)
    strange = event(0, category='a"\\|,]é€😀', brand="\u2028 |0")

    await store.append(stored("ann", [strange]))

    assert await store.windows([("ann", NOON_US)]) == [[strange]]


async def test_an_event_sent_again_is_not_stored_again_and_its_first_content_stays(redis):
    store = WindowStore(redis)

    assert await store.append([StoredEvent("ann", event(0), "e1"), StoredEvent("ann", event(1), "e2")]) == [True, True]
    assert await store.append([StoredEvent("ann", event(9), "e1"), StoredEvent("ann", event(2), "e3")]) == [False, True]
    assert await store.append([StoredEvent("bob", event(9), "e1")]) == [False]
    assert await store.windows([("ann", NOON_US + 10**8), ("bob", NOON_US + 10**8)]) == [
        [event(0), event(1), event(2)],
        [],
    ]


async def test_an_event_twice_in_one_batch_is_stored_once(redis):
    store = WindowStore(redis)

    assert await store.append([StoredEvent("ann", event(0), "e1"), StoredEvent("ann", event(0), "e1")]) == [True, False]


async def test_events_of_equal_content_under_two_ids_are_two_events(redis):
    store = WindowStore(redis)

    await store.append([StoredEvent("ann", event(0), "e1"), StoredEvent("ann", event(0), "e2")])

    assert await store.windows([("ann", NOON_US)]) == [[event(0), event(0)]]


async def test_one_of_two_who_send_the_same_event_at_once_stores_it(redis, redis_url, connect):
    first, second = (WindowStore(connect(redis_url, timeout_s=5.0, prefix="race:")) for _ in range(2))
    batch = stored(next(_users), [event(second) for second in range(100)])

    answers = await asyncio.gather(*(store.append(batch) for store in (first, second) for _ in range(3)))

    assert [sum(answer) for answer in zip(*answers, strict=True)] == [1] * 100


async def test_batches_of_every_size_answer_in_order(redis):
    store = WindowStore(redis)
    for size in (0, 1, EVENTS_PER_CALL - 1, EVENTS_PER_CALL, EVENTS_PER_CALL + 1, 2 * EVENTS_AT_ONCE + 5):
        user = next(_users)
        batch = stored(user, [event(second) for second in range(size)])
        await store.append(batch[::2])

        assert await store.append(batch) == [i % 2 == 1 for i in range(size)]


async def test_goes_on_when_redis_has_forgotten_the_script(redis):
    store = WindowStore(redis)
    await store.append(stored("ann", [event(0)]))

    await redis.call("SCRIPT FLUSH")

    assert await store.append(stored("bob", [event(second) for second in range(100)])) == [True] * 100


async def test_forgets_users_and_event_ids_in_time(redis):
    store = WindowStore(redis, event_id_ttl_s=1_000)
    await store.append([StoredEvent("ann", event(0, PURCHASE), "e1")])

    assert 990 <= await redis.call("TTL", redis.key("event", "e1")) <= 1_000
    assert 30 * 86_400 - 10 <= await redis.call("TTL", redis.key("win", "ann")) <= 30 * 86_400
    assert 7 * 86_400 - 10 <= await redis.call("TTL", redis.key("bought", "ann")) <= 7 * 86_400


def test_the_id_of_a_content_differs_with_every_field():
    base = event(0)
    changes = [
        base._replace(time_us=base.time_us + 1),
        base._replace(kind=CART),
        base._replace(product="cap"),
        base._replace(session="other"),
        base._replace(price=10.000000000000002),
        base._replace(category="", brand="kitchenacme"),
        base._replace(brand=""),
    ]
    ids = [content_id("ann", one) for one in changes] + [content_id("ann", base), content_id("an", base)]

    assert len(set(ids)) == len(ids)
    assert content_id("ann", event(0)) == content_id("ann", event(0, VIEW))
