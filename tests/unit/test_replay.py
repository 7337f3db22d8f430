"""Decision points and labels of a log, exactly as the design defines them."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, SECOND_US
from common.counting import day_counts_of
from common.eventlog import CANONICAL
from common.events import Event, EventKind
from common.feature_specs import NAMES, WIDTH
from common.replay import (
    EXAMPLE_SCHEMA,
    decision_of,
    example_table,
    point_table,
    users_of,
    x_matrix,
)
from tests.logs import CART, MONDAY, NOON_US, PURCHASE, REMOVE, VIEW, canonical, event, histories, simulated_users
from tests.reference_features import labelled, points_of, served

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
LONG_AFTER_US = NOON_US + 300 * DAY_US
UNHURRIED = settings(deadline=None)  # the first call compiles
NOTHING_KNOWN = CatalogHistory(Catalog.empty(), {})


def replayed(*events: Event, horizon_s: float = DAY_S, end_us: int = LONG_AFTER_US) -> list[dict]:
    """The decision points of one user's events, whatever order they come in."""
    block = canonical({"ann": events})
    return point_table(block, horizon_us=round(horizon_s * SECOND_US), log_end_us=end_us).to_pylist()


def asked(*events: Event) -> list[tuple[float, str, str]]:
    """(seconds after noon, product, kind) of the decision points of one user's events."""
    return [
        ((row["as_of_us"] - NOON_US) / SECOND_US, row["product"], EventKind(row["kind"]).name.lower())
        for row in replayed(*events)
    ]


def labels(*events: Event, horizon_s: float = DAY_S) -> list[bool]:
    """The labels of the decision points of one user's events, in order of time."""
    return [bool(row["label"]) for row in replayed(*events, horizon_s=horizon_s)]


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

    table = example_table(canonical({"ann": [sunday]}), NOTHING_KNOWN, horizon_us=DAY_US, log_end_us=0)

    (row,) = table.drop_columns(["x", "label", "censored"]).to_pylist()
    assert row == {
        "user": "ann", "session": "now", "product": "mug", "category": "", "brand": "acme", "price": 9.5,
        "as_of_us": sunday.time_us, "kind": 0,
    }  # fmt: skip
    assert (
        x_matrix(table)[0, :4].tolist() == [9.5, 23.0, 6.0, 1.0] == [*decision_of("ann", sunday, sunday.time_us)[5:9]]
    )
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
        return [row["censored"] for row in replayed(event(0), event(60, PURCHASE), end_us=end_us)]

    assert censored(NOON_US + DAY_US - 1) == [True]
    assert censored(NOON_US + DAY_US) == [False]


@UNHURRIED
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

    found = replayed(*events, end_us=NOON_US)

    columns = ("session", "product", "kind", "as_of_us", "price", "label")
    assert {tuple(row[name] for name in columns) for row in found} == expected
    assert len(found) == len(expected)
    assert [row["as_of_us"] for row in found] == sorted(row["as_of_us"] for row in found)
    assert all(row["censored"] == (row["as_of_us"] + DAY_US > NOON_US) for row in found)


@UNHURRIED
@given(histories(), histories(), st.randoms(use_true_random=False))
def test_users_do_not_disturb_each_other_even_in_sessions_of_one_name(
    events: list[Event], others: list[Event], chance: random.Random
):
    users = {"ann": events, "bob": others}
    block = canonical(users)
    shuffled = block.take(chance.sample(range(block.num_rows), block.num_rows))

    found = point_table(shuffled, horizon_us=DAY_US, log_end_us=NOON_US).to_pylist()

    for user, of_user in users.items():
        expected = [
            (p.decision.session, p.decision.product, p.kind, p.decision.as_of_us, p.decision.price, label, censored)
            for p, label, censored in labelled(user, of_user, horizon_us=DAY_US, log_end_us=NOON_US)
        ]
        columns = ("session", "product", "kind", "as_of_us", "price", "label", "censored")
        assert [tuple(row[name] for name in columns) for row in found if row["user"] == user] == expected


def test_an_example_table_holds_each_point_with_its_own_vector():
    users = simulated_users(5)
    block = canonical(users)
    history = CatalogHistory(Catalog.empty(), day_counts_of(block))

    table = example_table(block, history, horizon_us=DAY_US, log_end_us=NOON_US + 2 * DAY_US)

    assert table.schema == EXAMPLE_SCHEMA
    by_first_event = sorted(users, key=lambda user: users[user][0].time_us)
    assert table["user"].unique().to_pylist() == by_first_event
    expected = [row for user in by_first_event for row in served([*points_of(user, users[user])], users[user], history)]
    assert x_matrix(table).tobytes() == np.array(expected).tobytes()
    assert x_matrix(table)[:, NAMES.index("price")].tolist() == table["price"].cast(pa.float32()).to_pylist()
    assert x_matrix(table.slice(7, 5)).tobytes() == x_matrix(table)[7:12].tobytes()


def test_an_empty_log_has_no_examples():
    table = example_table(CANONICAL.empty_table(), NOTHING_KNOWN, horizon_us=DAY_US, log_end_us=0)

    assert table.schema == EXAMPLE_SCHEMA
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
