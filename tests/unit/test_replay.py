"""Decision points and labels of a log, exactly as the design defines them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, SECOND_US
from common.events import Event, EventKind
from common.feature_specs import NAMES, WIDTH
from common.replay import (
    EXAMPLE_SCHEMA,
    day_counts_of,
    decision_of,
    example_table,
    labelled,
    points_of,
    users_of,
    vectors_of,
    x_matrix,
)
from tests.logs import CART, MONDAY, NOON_US, PURCHASE, REMOVE, VIEW, canonical, event, histories, simulated_users

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
LONG_AFTER_US = NOON_US + 300 * DAY_US


def asked(*events: Event) -> list[tuple[float, str, str]]:
    """(seconds after noon, product, kind) of the decision points of one user's events."""
    return [
        ((point.decision.as_of_us - NOON_US) / SECOND_US, point.decision.product, EventKind(point.kind).name.lower())
        for point in points_of("ann", sorted(events))
    ]


def labels(*events: Event, horizon_s: float = DAY_S) -> list[bool]:
    """The labels of the decision points of one user's events, in order of time."""
    found = labelled("ann", sorted(events), horizon_us=round(horizon_s * SECOND_US), log_end_us=LONG_AFTER_US)
    return [example.label for example in found]


def test_the_first_view_and_the_first_cart_ask():
    assert asked(event(0), event(5), event(9, CART), event(12, CART)) == [(0, "mug", "view"), (9, "mug", "cart")]


def test_a_product_put_in_the_cart_from_a_list_asks_without_a_view():
    assert asked(event(9, CART), event(12)) == [(9, "mug", "cart"), (12, "mug", "view")]


def test_removals_and_purchases_ask_nothing():
    assert asked(event(0, REMOVE), event(5, PURCHASE)) == []


def test_every_session_and_every_product_asks_anew():
    points = asked(event(0), event(1, product="cap"), event(900, session="later"))

    assert points == [(0, "mug", "view"), (1, "cap", "view"), (900, "mug", "view")]


def test_a_product_bought_earlier_in_the_session_asks_no_more():
    assert asked(event(0), event(5, PURCHASE), event(9, CART)) == [(0, "mug", "view")]
    assert asked(event(5, PURCHASE), event(9)) == []


def test_a_product_bought_in_another_session_still_asks():
    assert asked(event(5, PURCHASE, session="earlier"), event(9)) == [(9, "mug", "view")]


def test_a_repeated_view_after_the_purchase_does_not_hide_the_first():
    assert asked(event(0), event(5, PURCHASE), event(6)) == [(0, "mug", "view")]


def test_events_of_one_microsecond_all_ask_since_none_came_earlier():
    tied = [event(0, PURCHASE), event(0, CART), event(0, VIEW)]

    assert asked(*tied) == [(0, "mug", "view"), (0, "mug", "cart")]
    assert labels(*tied) == [False, False]


def test_the_question_carries_what_the_event_showed_and_the_utc_calendar():
    sunday = Event((MONDAY + 6) * DAY_US + DAY_US - 1, int(VIEW), "mug", "now", 9.5, "", "acme")

    (point,) = points_of("ann", [sunday])

    assert point.kind == 0
    assert point.decision._asdict() == {
        "user": "ann", "session": "now", "product": "mug", "category": "", "brand": "acme", "price": 9.5,
        "hour": 23, "day_of_week": 6, "is_weekend": 1, "as_of_us": sunday.time_us,
    }  # fmt: skip
    friday = decision_of("ann", sunday, (MONDAY + 4) * DAY_US)
    assert (friday.hour, friday.day_of_week, friday.is_weekend) == (0, 4, 0)


def test_a_purchase_after_the_question_answers_yes_in_any_session():
    assert labels(event(0), event(60, PURCHASE)) == [True]
    assert labels(event(0), event(60, PURCHASE, session="evening")) == [True]
    assert labels(event(0), event(30, CART), event(60, PURCHASE)) == [True, True]


def test_another_product_or_an_earlier_purchase_answers_no():
    assert labels(event(0), event(60, PURCHASE, product="cap")) == [False]
    assert labels(event(-60, PURCHASE, session="earlier"), event(0)) == [False]


def test_the_horizon_excludes_its_start_and_includes_its_end():
    assert labels(event(0), event(0, PURCHASE)) == [False]
    assert labels(event(0), event(1e-6, PURCHASE)) == [True]
    assert labels(event(0), event(DAY_S, PURCHASE)) == [True]
    assert labels(event(0), event(DAY_S + 1e-6, PURCHASE)) == [False]
    assert labels(event(0), event(HOUR_S + 1, PURCHASE), horizon_s=HOUR_S) == [False]


def test_one_purchase_answers_every_question_whose_horizon_it_falls_in():
    bought = event(DAY_S + 10, PURCHASE, session="tomorrow")

    assert labels(event(0), event(20, session="evening"), event(DAY_S, session="tomorrow"), bought) == [
        False,
        True,
        True,
    ]


def test_a_question_is_censored_where_its_horizon_passes_the_end_of_the_log():
    def censored(end_us: int) -> list[bool]:
        events = [event(0), event(60, PURCHASE)]
        return [example.censored for example in labelled("ann", events, horizon_us=DAY_US, log_end_us=end_us)]

    assert censored(NOON_US + DAY_US - 1) == [True]
    assert censored(NOON_US + DAY_US) == [False]


@given(histories())
def test_points_and_labels_are_what_the_definition_says_word_for_word(events: list[Event]):
    expected = set()
    for one in events:
        alike = [o for o in events if (o.session, o.product, o.kind) == (one.session, one.product, one.kind)]
        bought = [o for o in events if o.kind == PURCHASE and o.product == one.product]
        earlier = [o for o in bought if o.session == one.session and o.time_us < one.time_us]
        if one.kind in (VIEW, CART) and one == min(alike) and not earlier:
            label = any(one.time_us < o.time_us <= one.time_us + DAY_US for o in bought)
            expected.add((one.session, one.product, one.kind, one.time_us, one.price, label))

    found = list(labelled("ann", events, horizon_us=DAY_US, log_end_us=NOON_US))

    asked_of = [(e.point.decision, e.point.kind, e.label) for e in found]
    assert {(d.session, d.product, kind, d.as_of_us, d.price, label) for d, kind, label in asked_of} == expected
    assert len(found) == len(expected)
    assert [d.as_of_us for d, _, _ in asked_of] == sorted(d.as_of_us for d, _, _ in asked_of)
    assert all(e.censored == (e.point.decision.as_of_us + DAY_US > NOON_US) for e in found)


def test_an_example_table_holds_each_point_with_its_own_vector():
    users = simulated_users(5)
    history = CatalogHistory(Catalog.empty(), day_counts_of(canonical(users)))

    table = example_table(users, history, horizon_us=DAY_US, log_end_us=NOON_US + 2 * DAY_US)

    assert table.schema == EXAMPLE_SCHEMA
    expected = [
        row for user, events in users.items() for row in vectors_of([*points_of(user, events)], events, history)
    ]
    assert np.array_equal(x_matrix(table), np.array(expected, dtype=np.float32))
    assert x_matrix(table)[:, NAMES.index("price")].tolist() == table["price"].cast(pa.float32()).to_pylist()
    assert x_matrix(table.slice(7, 5)).tobytes() == x_matrix(table)[7:12].tobytes()


def test_an_empty_log_has_no_examples():
    history = CatalogHistory(Catalog.empty(), {})

    table = example_table({}, history, horizon_us=DAY_US, log_end_us=0)

    assert table.num_rows == 0
    assert x_matrix(table).shape == (0, WIDTH)


@pytest.mark.parametrize("seed", [1, 2])
@given(chance=st.randoms(use_true_random=False))
def test_users_come_out_of_a_table_in_canonical_order_however_it_was_shuffled(seed, chance):
    users = simulated_users(seed, users=8)
    table = canonical(users)
    order = list(range(table.num_rows))
    chance.shuffle(order)

    assert users_of(table.take(order)) == users
