"""What a window holds, and what it takes the shopper to be looking at."""

import random

from hypothesis import given
from hypothesis import strategies as st

from common.events import Event
from common.window import MAX_AGE_DAYS, MAX_AGE_US, MAX_EVENTS, window_at, with_the_product_in_sight
from tests.logs import CART, NOON_US, PURCHASE, REMOVE, VIEW, asks, event, histories

DAY_S = 86_400


def test_knows_the_instant_itself_and_nothing_after_it():
    before, at, after = event(-1e-6), event(0), event(1e-6)

    assert window_at([before, at, after], NOON_US) == [before, at]


def test_knows_every_event_of_the_same_microsecond():
    tied = sorted([event(0, VIEW), event(0, CART), event(0, PURCHASE, "cap")])

    assert window_at(tied, NOON_US) == tied


def test_forgets_what_is_older_than_the_maximum_age():
    too_old, oldest = event(-MAX_AGE_DAYS * DAY_S - 1e-6), event(-MAX_AGE_DAYS * DAY_S)

    assert window_at([too_old, oldest], NOON_US) == [oldest]


def test_keeps_the_newest_when_there_are_too_many():
    many = [event(second) for second in range(MAX_EVENTS + 20)]

    assert window_at(many, many[-1].time_us) == many[20:]
    assert window_at(many, many[-11].time_us) == many[10:-10]


def test_is_empty_for_a_user_without_events():
    assert window_at([], NOON_US) == []


@given(histories(), st.integers(-45 * DAY_S * 1_000_000, 3 * DAY_S * 1_000_000), st.randoms(use_true_random=False))
def test_is_a_set_decided_by_time_alone(events: list[Event], offset_us: int, chance: random.Random):
    as_of_us = NOON_US + offset_us
    arrived = list(events)
    chance.shuffle(arrived)

    known = [event for event in arrived if as_of_us - MAX_AGE_US <= event.time_us <= as_of_us]
    assert window_at(events, as_of_us) == sorted(known)[-MAX_EVENTS:]


def test_a_product_that_the_session_has_viewed_is_in_sight():
    window = [event(-9, VIEW, "mug"), event(-5, VIEW, "cap")]

    assert with_the_product_in_sight(asks(0, "mug"), window) == window


def test_a_product_that_came_into_the_cart_without_a_view_is_in_sight():
    window = [event(-9, CART, "mug"), event(-5, REMOVE, "mug")]

    assert with_the_product_in_sight(asks(0, "mug"), window) == window


def test_a_product_asked_about_out_of_the_blue_counts_as_viewed_now():
    window = [event(-9, VIEW, "mug", session="then"), event(-5, VIEW, "cap"), event(-1, PURCHASE, "mug")]

    seen = with_the_product_in_sight(asks(0, "mug", price=7.5), window)

    assert seen == [*window, event(0, VIEW, "mug", price=7.5)]
    assert len(window) == 3
