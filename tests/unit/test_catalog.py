"""What the shop knows on the eve of a day, and that every path to it gives the same bits."""

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.catalog import Catalog, CatalogHistory, ContinuedHistory
from common.catalog_state import (
    EMPTY_SHOP,
    HIGH,
    HIGH_BLOCK_DAYS,
    PRIOR_EVENTS,
    RECENT_VIEWS,
    SLOW_HALF_LIFE_DAYS,
    VIEWS,
)
from common.clock import DAY_US
from common.counting import day_counts_of
from common.daycounts import DAY_COUNTS, DayCounts, merged, product_key, to_table
from common.errors import BundleError
from common.events import Event, EventKind
from tests.logs import CART, MONDAY, PURCHASE, REMOVE, VIEW, canonical, event, histories, simulated_users
from tests.reference_counts import count, from_table, merge

DAY_S = 86_400


def after(*events: Event) -> Catalog:
    """The catalog after the days of these events."""
    return CatalogHistory(Catalog.empty(), count(events)).last


def same_bits(one: Catalog, other: Catalog) -> bool:
    """Whether two catalogs hold the same keys, the same doubles and the same days."""
    mine, theirs = one.state(), other.state()
    return (mine.keys.to_pylist(), mine.figures.tobytes(), mine.days, mine.through_day) == (
        theirs.keys.to_pylist(), theirs.figures.tobytes(), theirs.days, theirs.through_day
    )  # fmt: skip


def test_a_decision_never_sees_its_own_day():
    history = CatalogHistory(Catalog.empty(), count([event(0), event(2 * DAY_S)]))

    first, second, third = MONDAY * DAY_US, (MONDAY + 1) * DAY_US, (MONDAY + 2) * DAY_US
    assert history.as_of(first).days == 0
    assert history.as_of(second - 1).days == 0
    assert history.as_of(second).through_day == MONDAY
    assert history.as_of(third + DAY_US - 1).through_day == MONDAY
    assert history.as_of(third + DAY_US).through_day == MONDAY + 2


def test_a_day_without_trade_shows_the_last_day_that_had_some():
    history = CatalogHistory(Catalog.empty(), count([event(0), event(9 * DAY_S)]))

    assert same_bits(history.as_of((MONDAY + 9) * DAY_US), history.as_of((MONDAY + 1) * DAY_US))


def test_days_that_the_first_catalog_knows_are_not_counted_twice():
    days = count([event(0), event(DAY_S)])
    start = Catalog.empty().rolled(MONDAY, days[MONDAY])

    assert CatalogHistory(start, days).last.days == 2
    assert same_bits(CatalogHistory(start, {MONDAY: days[MONDAY]}).last, start)


def test_a_bundles_catalog_goes_on_after_its_last_day_and_tells_no_future_before_it():
    days = count([event(day * DAY_S) for day in range(5)])
    of_bundle = CatalogHistory(Catalog.empty(), {day: days[day] for day in (MONDAY, MONDAY + 1, MONDAY + 2)}).last
    alone = CatalogHistory(Catalog.empty(), days)

    later_log_alone = ContinuedHistory(of_bundle, {MONDAY + 3: days[MONDAY + 3]})
    whole_log = ContinuedHistory(of_bundle, days)

    assert same_bits(later_log_alone.as_of((MONDAY + 3) * DAY_US), of_bundle)
    assert same_bits(later_log_alone.as_of((MONDAY + 4) * DAY_US), alone.as_of((MONDAY + 4) * DAY_US))
    for day in range(MONDAY, MONDAY + 6):
        assert same_bits(whole_log.as_of(day * DAY_US), alone.as_of(day * DAY_US))
    assert same_bits(whole_log.last, alone.last)


def test_rates_are_smoothed_towards_the_category_and_that_towards_the_shop():
    catalog = after(*[event(s) for s in range(10)], event(20, CART), event(30, CART), event(40, PURCHASE))

    shop = (1 + PRIOR_EVENTS * EMPTY_SHOP.buy_rate) / (10 + PRIOR_EVENTS)
    category = (1 + PRIOR_EVENTS * shop) / (10 + PRIOR_EVENTS)
    product = (1 + PRIOR_EVENTS * category) / (10 + PRIOR_EVENTS)
    assert catalog.shop.buy_rate == shop
    assert catalog.category("kitchen").buy_rate == category
    assert catalog.product("mug", "kitchen").buy_rate == product
    assert catalog.shop.cart_to_buy == (1 + PRIOR_EVENTS * EMPTY_SHOP.cart_to_buy) / (2 + PRIOR_EVENTS)


def test_strangers_get_what_is_known_of_their_kind_instead_of_zero():
    catalog = after(*[event(s, category="kitchen") for s in range(50)], *[event(s, PURCHASE) for s in range(20)])

    kitchen, shop = catalog.category("kitchen"), catalog.shop
    assert catalog.product("never seen", "kitchen") == kitchen._replace(views_per_day=0.0, trend=0.0)
    assert catalog.product("never seen", "never seen") == shop._replace(views_per_day=0.0, trend=0.0)
    assert catalog.brand("never seen").buy_rate == shop.buy_rate > 0.0
    assert catalog.category_hour("kitchen", 3).cart_to_buy == kitchen.cart_to_buy > 0.0
    assert catalog.price_band(99_999.0).cart_to_buy == shop.cart_to_buy


def test_a_shop_without_history_has_the_stated_prior():
    assert Catalog.empty().shop == EMPTY_SHOP
    assert Catalog.empty().product("mug", "kitchen").buy_rate == EMPTY_SHOP.buy_rate


def test_what_one_asks_about_a_product_does_not_change_what_the_next_is_told():
    days = count([*[event(s) for s in range(50)], *[event(s, PURCHASE, "cap", category="apparel") for s in range(50)]])
    fresh, asked = (Catalog.empty().rolled(MONDAY, days[MONDAY]) for _ in range(2))

    asked.product("mug", "apparel")
    asked.product("mug", "no such category")

    assert asked.product("mug", "kitchen") == fresh.product("mug", "kitchen")
    assert asked.product("mug", "apparel") != fresh.product("mug", "kitchen")


def test_strangers_leave_no_trace_in_memory():
    catalog = after(event(0))
    catalog.product("mug", "kitchen")
    size = len(catalog.history.row_of)

    for stranger in range(100):
        catalog.product(f"x{stranger}", f"y{stranger}")
        catalog.brand(f"z{stranger}")
        catalog.product("mug", f"y{stranger}")

    assert len(catalog.history.row_of) == size


def test_counts_fade_by_half_in_the_stated_number_of_days_of_trade():
    days = {MONDAY + day: count([event(0, product="cap")])[MONDAY] for day in range(1, int(SLOW_HALF_LIFE_DAYS) + 1)}
    start = after(*[event(s) for s in range(64)])

    faded = CatalogHistory(start, days).last

    figures = faded.figures(product_key("mug"))
    assert figures[VIEWS] == pytest.approx(32.0)
    assert figures[RECENT_VIEWS] == pytest.approx(64.0 * 0.5**7)
    assert faded.product("mug", "kitchen").trend < 0.0 < faded.product("cap", "kitchen").views_per_day


def test_views_per_day_of_a_steady_product_are_its_views_per_day():
    steady = CatalogHistory(
        Catalog.empty(), {MONDAY + day: count([event(s) for s in range(8)])[MONDAY] for day in range(5)}
    )

    assert steady.last.product("mug", "kitchen").views_per_day == pytest.approx(8.0)
    assert steady.last.product("mug", "kitchen").trend == pytest.approx(0.0)


def test_the_recent_high_ages_out_after_two_blocks_of_days():
    block = MONDAY // HIGH_BLOCK_DAYS * HIGH_BLOCK_DAYS
    day = count([event(0, price=80.0)])[MONDAY]
    cheap = count([event(0, price=5.0)])[MONDAY]
    start = Catalog.empty().rolled(block, day)

    assert start.recent_high("mug") == 80.0
    assert start.rolled(block + HIGH_BLOCK_DAYS, cheap).recent_high("mug") == 80.0
    assert start.rolled(block + 2 * HIGH_BLOCK_DAYS, cheap).recent_high("mug") == 5.0
    assert start.rolled(block + 5 * HIGH_BLOCK_DAYS, cheap).recent_high("mug") == 5.0
    assert start.recent_high("never seen") == 0.0


def test_the_usual_price_is_the_mean_of_the_prices_viewed():
    catalog = after(event(0, price=10.0), event(1, price=20.0), event(2, PURCHASE, price=90.0))

    assert catalog.usual_price("mug") == 15.0
    assert after(event(0, REMOVE)).usual_price("mug") == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_the_order_and_the_blocks_of_counting_change_no_bit(seed, chance):
    events = [event for of_user in simulated_users(seed, users=12).values() for event in of_user]
    whole = CatalogHistory(Catalog.empty(), count(events)).last

    chance.shuffle(events)
    in_blocks: dict[int, DayCounts] = {}
    for start in range(0, len(events), 7):
        merge(in_blocks, from_table(to_table(count(events[start : start + 7]))))

    assert same_bits(CatalogHistory(Catalog.empty(), in_blocks).last, whole)


@settings(deadline=None)  # the first call compiles
@given(histories())
def test_a_table_is_counted_as_its_events_are_one_by_one(events: list[Event]):
    table = day_counts_of(canonical({"ann": events}))

    assert table.schema == DAY_COUNTS
    assert from_table(table) == count(events)


def test_parts_of_a_log_are_counted_together():
    users = simulated_users(4)
    parts = [day_counts_of(canonical({user: events})) for user, events in users.items()]

    together = merged(parts)

    assert from_table(together) == count(event for events in users.values() for event in events)
    assert len(together) < sum(map(len, parts))
    assert same_bits(
        CatalogHistory(Catalog.empty(), together).last, CatalogHistory(Catalog.empty(), from_table(together)).last
    )


def test_refuses_counts_that_were_not_added_up():
    day = to_table(count([event(0)]))

    with pytest.raises(ValueError, match="twice"):
        CatalogHistory(Catalog.empty(), pa.concat_tables([day, day]))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_day_of_a_history_is_what_rolling_day_by_day_gives(seed: int):
    days = count(event for of_user in simulated_users(seed, users=9, days=40).values() for event in of_user)
    history = CatalogHistory(Catalog.empty(), days)

    catalog = Catalog.empty()
    for day in sorted(days):
        assert same_bits(history.as_of(day * DAY_US), catalog)
        catalog = catalog.rolled(day, days[day])
    assert same_bits(history.last, catalog)


def test_what_a_bundle_does_not_know_is_not_known_after_it():
    of_bundle = CatalogHistory(Catalog.empty(), {MONDAY + 2: count([event(0, product="cap")])[MONDAY]}).last
    days = count([event(0), event(3 * DAY_S, product="pen")])

    history = ContinuedHistory(of_bundle, days)

    assert history.as_of((MONDAY + 1) * DAY_US).figures(product_key("mug")) is not None
    assert history.as_of((MONDAY + 3) * DAY_US).figures(product_key("mug")) is None
    assert same_bits(history.last, CatalogHistory(of_bundle, days).last)


def test_rolls_on_from_a_file_as_from_memory(tmp_path: Path):
    days = count(event for of_user in simulated_users(3).values() for event in of_user)
    early = {day: counts for day, counts in days.items() if day < MONDAY + 3}
    trained = CatalogHistory(Catalog.empty(), early).last

    trained.write(tmp_path / "catalog.parquet")
    stored = Catalog.read(tmp_path / "catalog.parquet")

    assert same_bits(stored, trained)
    assert same_bits(CatalogHistory(stored, days).last, CatalogHistory(Catalog.empty(), days).last)


def test_an_empty_catalog_survives_its_file(tmp_path: Path):
    Catalog.empty().write(tmp_path / "catalog.parquet")

    assert same_bits(Catalog.read(tmp_path / "catalog.parquet"), Catalog.empty())


def test_travels_between_processes_without_losing_a_bit():
    catalog = after(*[event(s) for s in range(9)], event(3, CART))
    catalog.product("mug", "kitchen")

    assert same_bits(pickle.loads(pickle.dumps(catalog)), catalog)  # noqa: S301 - our own bytes


def test_refuses_to_roll_back():
    with pytest.raises(ValueError, match="not after"):
        after(event(0)).rolled(MONDAY, {})


def test_refuses_a_file_that_is_no_catalog(tmp_path: Path):
    path = tmp_path / "catalog.parquet"
    with pytest.raises(BundleError, match="not a catalog"):
        Catalog.read(path)
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(BundleError, match="not a catalog"):
        Catalog.read(path)
    pq.write_table(pa.table({"key": ["p:mug"]}), path)
    with pytest.raises(BundleError, match="not a catalog"):
        Catalog.read(path)


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_is_counted_in_its_own_column(kind: EventKind):
    catalog = after(event(0, kind, price=12.34))

    figures = catalog.figures(product_key("mug"))
    assert figures[:4].tolist() == [float(kind == other) for other in EventKind]
    assert figures[4] == (1234.0 if kind == VIEW else 0.0)
    assert figures[HIGH:].tolist() == [1234.0, 0.0]
