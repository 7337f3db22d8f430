"""What each feature computes, on windows small enough to count by hand."""

import numpy as np
import pytest

from common.catalog import Catalog, CatalogHistory
from common.events import Decision, Event
from common.feature_specs import LEAST_DISCOUNT, NAMES, NEVER_S, SCHEMA_HASH, SPECS, WIDTH
from common.features import vector, vectors
from tests.logs import CART, NOON_US, PURCHASE, REMOVE, VIEW, asks, event
from tests.reference_counts import count

DAY_S = 86_400

STORY = (
    # two days ago: came, bought a pen of another category and a bowl of this one
    event(-2 * DAY_S, VIEW, "mug", "then", 20.0),
    event(-2 * DAY_S + 10, CART, "mug", "then", 20.0),
    event(-2 * DAY_S + 20, PURCHASE, "bowl", "then", 5.0),
    event(-2 * DAY_S + 20, PURCHASE, "pen", "then", 2.0, category="office"),
    # yesterday: looked only
    event(-DAY_S, VIEW, "cap", "once", 30.0, category="apparel"),
    # now
    event(-100, VIEW, "cap", "now", 30.0, category="apparel"),
    event(-90, CART, "cap", "now", 30.0, category="apparel"),
    event(-80, VIEW, "plate", "now", 8.0),
    event(-70, CART, "plate", "now", 8.0),
    event(-60, REMOVE, "plate", "now", 8.0),
    event(-50, VIEW, "mug", "now", 10.0),
    event(-40, CART, "mug", "now", 10.0),
    event(-30, PURCHASE, "pen", "now", 2.0, category="office"),
    event(-20, CART, "plate", "now", 8.0),
    event(-10, VIEW, "mug", "now", 10.0),
)
TOLD = {
    "price": 10.0, "hour": 12.0, "day_of_week": 0.0, "is_weekend": 0.0,
    "product_views": 2.0, "product_carts": 1.0, "product_removes": 0.0, "product_in_cart": 1.0,
    "product_age_s": 50.0, "since_product_cart_s": 40.0, "events_since_cart": 3.0,
    "product_view_share": 0.5, "products_before": 2.0,
    "session_age_s": 100.0, "session_views": 4.0, "session_carts": 4.0, "session_removes": 1.0,
    "session_purchases": 1.0, "session_products": 4.0, "session_categories": 3.0, "views_per_cart": 0.8,
    "time_to_first_cart_s": 10.0, "views_before_first_cart": 1.0, "carted_share": 1.0, "since_other_view_s": 80.0,
    "since_other_cart_s": 20.0, "since_session_purchase_s": 30.0,
    "cart_items": 2.0, "cart_value": 38.0, "previous_kind": 1.0, "previous_gap_s": 10.0,
    "previous_same_product": 0.0, "seconds_per_event": 10.0, "category_views": 1.0,
    "session_price_spread": 110.75**0.5, "session_discount_min": 0.0, "session_discount_mean": 0.0,
    "session_discount_max": 0.0, "past_discount_mean": -1.0,
    "price_vs_session": 10.0 / 19.0, "price_vs_session_max": 10.0 / 30.0, "price_vs_cart": 10.0 / 19.0,
    "price_share_of_cart": 10.0 / 48.0, "price_vs_past": 10.0 / 25.0,
    "past_purchase_value": 7.0, "past_converting_share": 0.5, "previous_session_carts": 0.0, "previous_session_s": 0.0,
    "past_time_s": 20.0, "past_session_s": 10.0, "past_days": 2.0, "sessions_since_purchase": 1.0,
    "past_products": 4.0, "past_carted_share": 0.5, "past_views_per_cart": 1.0, "past_highest_purchase": 5.0,
    "past_category_view_share": 0.5, "past_category_carts": 1.0, "past_category_buy_share": 0.5,
    "since_product_past_s": 2.0 * DAY_S - 10, "past_sessions": 2.0,
    "past_converting_sessions": 1.0, "past_views": 2.0, "past_carts": 1.0,
    "past_purchases": 2.0, "past_product_views": 1.0, "past_product_carts": 1.0, "past_product_purchases": 0.0,
    "past_category_purchases": 1.0, "since_past_session_s": float(DAY_S),
    "since_past_cart_s": 2.0 * DAY_S - 10, "since_past_purchase_s": 2.0 * DAY_S - 20,
    "since_category_purchase_s": 2.0 * DAY_S - 20, "known_for_s": 2.0 * DAY_S,
}  # fmt: skip


def told(decision: Decision, *window: Event, catalog: Catalog | None = None) -> dict[str, float]:
    """The features of a decision by name."""
    values = vector(decision, sorted(window), catalog or Catalog.empty()).tolist()
    return dict(zip(NAMES, values, strict=True))


def catalog_of(*events: Event) -> Catalog:
    """The catalog that a decision on `MONDAY` sees, of events on earlier days."""
    return CatalogHistory(Catalog.empty(), count(events)).as_of(NOON_US)


@pytest.mark.parametrize("name", TOLD)
def test_tells_a_shopper_s_story(name: str):
    assert told(asks(0), *STORY)[name] == pytest.approx(TOLD[name], rel=1e-7, abs=1e-9)


def test_every_feature_has_a_hand_computed_value_in_this_file():
    of_catalog = {spec.name for spec in SPECS if spec.group == "catalog"} | {"price_vs_high", "price_vs_usual"}

    assert set(TOLD) | of_catalog == set(NAMES)


def test_a_stranger_who_asks_out_of_the_blue_looks_like_a_first_view():
    blue = vector(asks(0), [], Catalog.empty())

    assert blue.tobytes() == vector(asks(0), [event(0)], Catalog.empty()).tobytes()
    features = dict(zip(NAMES, blue.tolist(), strict=True))
    assert (features["product_views"], features["session_views"], features["previous_kind"]) == (1.0, 1.0, -1.0)
    assert features["since_past_session_s"] == features["previous_gap_s"] == NEVER_S
    assert features["price_vs_session"] == features["price_vs_high"] == features["price_vs_usual"] == 1.0


def test_a_product_taken_out_or_bought_is_no_longer_in_the_cart():
    put = event(-9, CART)
    assert told(asks(0), put)["product_in_cart"] == 1.0
    assert told(asks(0), put, event(-5, REMOVE))["product_in_cart"] == 0.0
    assert told(asks(0), put, event(-5, PURCHASE))["product_in_cart"] == 0.0
    assert told(asks(0), put, event(-5, REMOVE), event(-2, CART))["product_in_cart"] == 1.0


def test_other_products_leave_the_cart_when_taken_out_or_bought():
    window = [event(-9, CART, "cap", price=30.0), event(-8, CART, "pen", price=2.0), event(-7)]

    assert told(asks(0), *window)["cart_value"] == 32.0
    assert told(asks(0), *window, event(-6, REMOVE, "cap"))["cart_value"] == 2.0
    assert told(asks(0), *window, event(-6, PURCHASE, "cap"), event(-5, REMOVE, "pen"))["cart_items"] == 0.0


def test_a_purchase_of_the_category_in_this_session_is_the_newest():
    window = [event(-DAY_S, PURCHASE, "bowl", "then"), event(-30, PURCHASE, "bowl"), event(-9)]

    assert told(asks(0), *window)["since_category_purchase_s"] == 30.0


def test_a_session_that_began_before_another_is_as_old_as_its_first_event():
    window = [event(-500), event(-400, session="other tab"), event(-9)]

    assert told(asks(0), *window)["known_for_s"] == 500.0
    assert told(asks(0), *window)["since_past_session_s"] == 400.0


def test_the_request_s_own_calendar_is_believed():
    shown = asks(0)._replace(hour=3, day_of_week=6, is_weekend=1)

    assert [told(shown)[name] for name in ("hour", "day_of_week", "is_weekend")] == [3.0, 6.0, 1.0]


def test_prices_are_compared_with_what_the_shop_asked_lately():
    catalog = catalog_of(event(-2 * DAY_S, price=20.0), event(-DAY_S - 5, PURCHASE, price=40.0))

    features = told(asks(0, price=10.0), catalog=catalog)

    assert (features["price_vs_usual"], features["price_vs_high"]) == (0.5, 0.25)


def test_prices_below_the_recent_high_tell_of_a_discount():
    catalog = catalog_of(event(-2 * DAY_S, price=20.0), event(-DAY_S, product="cap", price=40.0))
    earlier = [
        event(-5_000, VIEW, "mug", "then", 15.0),
        event(-4_000, VIEW, "cap", "then", 40.0),
        event(-3_000, VIEW, "mug", "then", 10.0),
        event(-2_000, CART, "mug", "then", 1.0),
        event(-1_000, VIEW, "never seen", "then", 1.0),
    ]
    now = [event(-9, VIEW, "cap", price=40.0), event(-8, CART, "cap", price=30.0), event(-7, VIEW, "never seen")]

    features = told(asks(0, price=16.0), *earlier, *now, catalog=catalog)

    assert features["session_discount_max"] == 0.25
    assert features["session_discount_min"] == pytest.approx(0.2)
    assert features["session_discount_mean"] == pytest.approx(0.225)
    assert features["past_discount_mean"] == pytest.approx((0.25 + 0.0 + 0.5) / 3)


def test_a_price_far_above_the_recent_high_is_no_endless_discount():
    catalog = catalog_of(event(-DAY_S, price=1.0))

    assert told(asks(0, price=1e5), catalog=catalog)["session_discount_min"] == LEAST_DISCOUNT


def test_the_previous_session_is_the_newest_run_of_one_session():
    earlier = [
        event(-900, CART, session="b"),
        event(-800, CART, session="a"),
        event(-700, CART, session="b"),
        event(-640, VIEW, session="b"),
    ]

    features = told(asks(0), *earlier)

    assert (features["previous_session_carts"], features["previous_session_s"]) == (1.0, 60.0)
    assert told(asks(0))["previous_session_s"] == -1.0
    assert told(asks(0), event(-9, CART, "cap", "b"))["previous_session_s"] == 0.0


def test_whoever_has_no_past_is_told_apart_from_one_who_never_bought_in_it():
    nobody, somebody = told(asks(0)), told(asks(0), event(-DAY_S, REMOVE, "cap", "then"))

    shares = ["past_carted_share", "past_category_view_share", "past_category_buy_share", "sessions_since_purchase"]
    assert [nobody[name] for name in shares] == [somebody[name] for name in shares] == [-1.0] * 4
    assert (nobody["past_views_per_cart"], somebody["past_views_per_cart"]) == (-1.0, 0.0)
    assert (nobody["past_session_s"], somebody["past_session_s"]) == (-1.0, 0.0)
    assert nobody["past_days"] == nobody["past_products"] == nobody["past_time_s"] == 0.0


def test_sessions_that_interleave_are_runs_of_their_own():
    earlier = [
        event(-900, session="a"),
        event(-880, PURCHASE, session="a"),
        event(-800, session="b"),
        event(-700, session="a"),
        event(-690, session="a"),
    ]

    features = told(asks(0), *earlier)

    assert (features["past_time_s"], features["past_session_s"]) == (30.0, 10.0)
    assert features["sessions_since_purchase"] == 2.0


def test_a_session_without_a_cart_counts_all_its_views():
    window = [event(-9, VIEW, "cap"), event(-8, VIEW, "pen")]

    features = told(asks(0), *window)

    assert (features["views_before_first_cart"], features["carted_share"]) == (3.0, 0.0)


def test_the_catalog_s_rates_arrive_under_their_own_names():
    catalog = catalog_of(
        *[event(-DAY_S - s) for s in range(40)],
        *[event(-DAY_S - s, CART, brand="other") for s in range(9)],
        *[event(-DAY_S - 3_600, PURCHASE, "cap", category="apparel")] * 3,
        *[event(-DAY_S - 7_200, REMOVE, price=90.0)] * 2,
    )
    decision = asks(0, price=10.0)

    features = told(decision, catalog=catalog)

    mug, kitchen = catalog.product("mug", "kitchen"), catalog.category("kitchen")
    named = {
        "product_views_per_day": mug.views_per_day, "product_trend": mug.trend, "product_cart_rate": mug.cart_rate,
        "product_buy_rate": mug.buy_rate, "product_cart_to_buy": mug.cart_to_buy,
        "product_remove_rate": mug.remove_rate, "brand_buy_rate": catalog.brand("acme").buy_rate,
        "brand_cart_to_buy": catalog.brand("acme").cart_to_buy, "category_cart_rate": kitchen.cart_rate,
        "category_buy_rate": kitchen.buy_rate, "category_cart_to_buy": kitchen.cart_to_buy,
        "category_hour_buy_rate": catalog.category_hour("kitchen", 12).buy_rate,
        "category_hour_cart_to_buy": catalog.category_hour("kitchen", 12).cart_to_buy,
        "hour_buy_rate": catalog.hour(12).buy_rate, "hour_cart_to_buy": catalog.hour(12).cart_to_buy,
        "band_buy_rate": catalog.price_band(10.0).buy_rate, "band_cart_to_buy": catalog.price_band(10.0).cart_to_buy,
        "shop_cart_to_buy": catalog.shop.cart_to_buy,
    }  # fmt: skip
    assert {name: features[name] for name in named} == {name: float(np.float32(value)) for name, value in named.items()}
    assert set(named) == {spec.name for spec in SPECS if spec.group == "catalog"}
    assert len(set(named.values())) > 12, "the rates must differ, or a swapped pair would pass"


def test_a_batch_is_float32_rows_of_vectors():
    windows = [list(STORY), [], list(STORY[5:]), []]
    catalogs = [Catalog.empty(), catalog_of(event(-DAY_S)), Catalog.empty(), catalog_of(event(-DAY_S, CART))]
    decisions = [asks(0), asks(3, "cap"), asks(9, "new"), asks(0)]

    X = vectors(decisions, windows, catalogs)

    assert (X.shape, X.dtype.name) == ((4, WIDTH), "float32")
    assert X.tobytes() == b"".join(vector(*row).tobytes() for row in zip(decisions, windows, catalogs, strict=True))
    assert vectors([], [], []).shape == (0, WIDTH)


def test_refuses_what_is_no_window():
    with pytest.raises(ValueError, match="101 events"):
        vector(asks(0), [event(-s) for s in range(101, 0, -1)], Catalog.empty())


def test_the_specs_are_a_schema():
    assert len(set(NAMES)) == WIDTH
    assert len(SCHEMA_HASH) == 16
    assert all(spec.low < spec.high and spec.meaning and spec.unit for spec in SPECS)


def test_the_hour_s_rates_follow_the_hour_of_the_request():
    catalog = catalog_of(*[event(-DAY_S - s, PURCHASE) for s in range(20)], event(-DAY_S + 9 * 3_600))
    noon, night = asks(0), asks(0)._replace(hour=21)

    assert told(night, catalog=catalog)["hour_buy_rate"] != told(noon, catalog=catalog)["hour_buy_rate"]
