"""Stretches without purchases: found where chance does not explain them, and hardly ever where it does."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.clock import DAY_US, HOUR_US
from common.eventlog import check, kept
from common.events import EventKind
from tests.logs import STORE_LOG, canonical, event, shared_data, store_table
from training.activity import BIN_US, Activity
from training.outages import MAX_CHANCE, Outage, find_outages, overlaps
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate

BINS_PER_DAY = DAY_US // BIN_US
BY_HOUR = np.array(
    [0.5, 0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.4, 0.7, 1, 1.2, 1.3, 1.4, 1.3, 1.2, 1.2, 1.3, 1.5, 1.8, 2, 2, 1.7, 1.2, 0.8]
)


def a_shop(
    *,
    days: int = 30,
    views: float = 60.0,
    carts: float = 0.2,
    orders: float = 0.02,
    scatter: float = 0.0,
    seed: int = 0,
) -> Activity:
    """Drawn counts: views per bin at midday, carts and orders per view; `scatter` spreads a day's log rates."""
    rng = np.random.default_rng(seed)
    bins = days * BINS_PER_DAY
    of_hour = BY_HOUR[np.arange(bins) * BIN_US // HOUR_US % 24]
    of_day, to_orders = (np.exp(rng.normal(0.0, scatter, days))[np.arange(bins) // BINS_PER_DAY] for _ in range(2))
    seen = rng.poisson(views * of_hour * of_day)
    counts = [seen, rng.poisson(seen * carts), rng.poisson(seen * orders * to_orders)]
    every = np.stack([np.arange(bins) + 1_000 * BINS_PER_DAY, sum(counts), *counts]).astype(np.int64)
    return Activity(*every[:, every[1] > 0])


def without_orders(activity: Activity, start_h: float, hours: float) -> Activity:
    """The same where no purchase was told for some hours."""
    begin = 1_000 * BINS_PER_DAY + round(start_h * 6)
    out = (activity.number >= begin) & (activity.number < begin + round(hours * 6))
    orders = np.where(out, 0, activity.orders)
    return Activity(activity.number, activity.events, activity.views, activity.carts, orders)


def false_alarms(logs: int, **shop: float) -> int:
    return sum(bool(find_outages(a_shop(seed=seed, **shop))) for seed in range(logs))


@pytest.mark.parametrize(
    ("views", "scatter"), [(0.5, 0.0), (5.0, 0.0), (60.0, 0.0), (60.0, 0.3), (300.0, 0.3), (5.0, 0.3)]
)
def test_hardly_a_log_without_an_outage_is_said_to_have_one(views, scatter):
    assert false_alarms(100, views=views, scatter=scatter) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_twelve_hours_without_purchases_in_a_busy_shop_are_found(seed):
    shop = a_shop(views=60.0, scatter=0.1, seed=seed)
    activity = without_orders(shop, 15 * 24 + 8, 12)

    (outage,) = find_outages(activity)

    begin_us = (1_000 + 15) * DAY_US + 8 * HOUR_US
    assert begin_us - 2 * HOUR_US <= outage.start_us <= begin_us
    assert begin_us + 12 * HOUR_US <= outage.end_us <= begin_us + 14 * HOUR_US
    assert outage.expected_orders == pytest.approx(12 * 6 * 60 * 0.02 * 1.35, rel=0.4)


@pytest.mark.parametrize(("start_h", "hours"), [(0, 20), (29 * 24, 24)])
def test_a_feed_that_begins_late_or_ends_early_is_an_outage(start_h, hours):
    (outage,) = find_outages(without_orders(a_shop(), start_h, hours))

    assert outage.end_us - outage.start_us >= hours * HOUR_US


def test_two_outages_do_not_hide_each_other():
    activity = without_orders(without_orders(a_shop(), 100, 30), 400, 30)

    assert len(find_outages(activity)) == 2


def test_a_night_without_purchases_is_none():
    quiet = a_shop(views=6.0)
    nights = quiet.number % BINS_PER_DAY < 8 * 6
    orders = np.where(nights, 0, quiet.orders)

    assert find_outages(Activity(quiet.number, quiet.events, quiet.views, quiet.carts, orders)) == []


def test_a_weekday_on_which_nobody_ever_buys_is_none():
    shop = a_shop(days=56)
    orders = np.where(shop.number // BINS_PER_DAY % 7 == 3, 0, shop.orders)

    assert find_outages(Activity(shop.number, shop.events, shop.views, shop.carts, orders)) == []


def test_a_crawler_that_only_views_is_none():
    shop = a_shop(views=20.0)
    crawled = (shop.number >= 1_010 * BINS_PER_DAY) & (shop.number < 1_010 * BINS_PER_DAY + 24)
    views = shop.views + np.where(crawled, 20_000, 0)

    assert find_outages(Activity(shop.number, shop.events, views, shop.carts, shop.orders)) == []


def test_a_log_without_purchases_or_with_one_has_none():
    shop = a_shop()
    nothing = np.zeros_like(shop.orders)
    one = nothing.copy()
    one[500] = 1

    for orders in (nothing, one):
        assert find_outages(Activity(shop.number, shop.events, shop.views, shop.carts, orders)) == []
    assert find_outages(Activity.empty()) == []


def test_the_chance_of_a_stretch_is_the_one_of_the_formula():
    """One order an hour, each hour the same: chance explains stretches of L up to nearly log(n / MAX_CHANCE)."""
    hours = 2_000
    limit = math.log(hours / MAX_CHANCE)
    bins = np.arange(hours * 6)
    orders = (bins % 6 == 0).astype(np.int64)

    def gap_of(length: int) -> Activity:
        kept_orders = np.where((bins >= 600) & (bins < 600 + 6 * length), 0, orders)
        ones = np.ones_like(bins)
        return Activity(bins, ones, ones, ones, kept_orders)

    assert find_outages(gap_of(math.floor(limit) - 2)) == []
    assert len(find_outages(gap_of(math.ceil(limit) + 2))) == 1


def test_the_simulated_shop_has_none(tmp_path):
    for seed in range(3):
        plan = Plan(
            events=20_000, seed=seed, start_us=int(DEFAULT_START.timestamp()) * 1_000_000, days=30, products=100
        )
        simulate(plan, tmp_path / "log.parquet")
        events = kept(check(pq.read_table(tmp_path / "log.parquet"), source="log"))

        assert find_outages(Activity.of(events)) == []


def test_the_real_shop_has_one_of_two_days():
    shared_data(STORE_LOG)
    (outage,) = find_outages(Activity.of(store_table()))

    assert outage.start_us == pytest.approx(1_470_165_600_000_000, abs=HOUR_US)  # 2016-08-02 19:20
    assert outage.end_us == pytest.approx(1_470_334_800_000_000, abs=HOUR_US)  # 2016-08-04 18:20


def test_only_points_that_look_into_an_outage_have_no_label():
    outage = Outage(10 * DAY_US, 11 * DAY_US, 50.0)
    as_of_us = np.array([9 * DAY_US - 1, 9 * DAY_US, 10 * DAY_US, 11 * DAY_US - 1, 11 * DAY_US])

    assert overlaps(as_of_us, DAY_US, [outage]).tolist() == [False, True, True, True, False]


def test_activity_counts_sessions_that_buy_not_what_they_buy():
    cart, purchase = EventKind.CART, EventKind.PURCHASE
    users = {
        "ann": [event(0), event(1, cart), event(2, purchase), event(3, purchase, "cup"), event(700, purchase)],
        "bob": [event(5, purchase, session="his")],
    }

    activity = Activity.of(canonical(users))

    assert activity.orders.tolist() == [2, 1]
    assert activity.events.tolist() == [5, 1]
    assert (activity.views.tolist(), activity.carts.tolist()) == ([1, 0], [1, 0])


def test_activity_of_parts_adds_up():
    table = canonical({"ann": [event(at) for at in range(0, 5_000, 70)]})
    parts = [Activity.of(table.slice(start, 11)) for start in range(0, table.num_rows, 11)]

    whole, summed = Activity.of(table), Activity.sum(reversed(parts))
    through_file = Activity.from_table(summed.to_table())

    for name in ("number", "events", "views"):
        assert getattr(whole, name).tolist() == getattr(through_file, name).tolist()
