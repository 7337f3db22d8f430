"""Every leakage check passes on honest rows and fails on the leak that it is for."""

import numpy as np
import pyarrow as pa
import pytest

from common.clock import DAY_US, HOUR_US
from common.replay import EXAMPLE_SCHEMA, x_column
from training.leakage import (
    Part,
    future_check,
    known_users_check,
    silence_check,
    single_feature_check,
    twin_aucs,
    twin_verdict,
)

NAMES = ("price", "hour", "views")


def a_part(seed: int, rows: int = 3_000, users: int = 500) -> tuple[Part, np.ndarray]:
    """Rows whose first feature tells something, with their true probability."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    p = 1.0 / (1.0 + np.exp(2.0 - X[:, 0].astype(np.float64)))
    y = (rng.random(rows) < p).astype(np.int8)
    return Part(X, y, (rng.random(rows) < 0.3).astype(np.int8), rng.integers(0, users, rows)), p


def test_parts_with_a_whole_horizon_between_them_pass():
    as_of_us = np.concatenate([np.arange(5), np.arange(5) + 60]) * HOUR_US
    check = silence_check(as_of_us, {"fit": slice(0, 5), "test": slice(5, 10)}, horizon_us=DAY_US)

    assert check.passed
    assert check.figure == 60 - 4 - 24


def test_a_label_that_reaches_into_the_next_part_fails():
    as_of_us = np.concatenate([np.arange(5), np.arange(5) + 20]) * HOUR_US
    check = silence_check(as_of_us, {"fit": slice(0, 5), "test": slice(5, 10)}, horizon_us=DAY_US)

    assert not check.passed
    assert "fit and test" in check.detail


def test_honest_features_pass_and_the_most_telling_one_is_named():
    part, _ = a_part(1)
    check = single_feature_check(part, NAMES)

    assert check.passed
    assert "price" in check.detail


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_feature_that_is_the_answer_in_one_slice_fails(sign: float):
    part, _ = a_part(2)
    carts = part.kind == 1
    part.X[carts, 1] = sign * part.y[carts]
    check = single_feature_check(part, NAMES)

    assert not check.passed
    assert "hour" in check.detail
    assert "cart" in check.detail


def test_a_twin_with_shuffled_labels_knows_nothing_where_rows_are_honest():
    (learned, _), (judged, _) = a_part(3), a_part(4)
    shuffled, true = twin_aucs(learned.X, learned.y, judged.X, judged.y, seed=5)

    assert twin_verdict(shuffled, true, judged.y).passed
    assert true > 0.7


def test_a_twin_with_shuffled_labels_recognises_rows_that_are_in_both_parts():
    (learned, _), (judged, _) = a_part(3), a_part(4)
    both = np.concatenate([judged.X[:1_000], learned.X[:2_000]])
    y = np.concatenate([judged.y[:1_000], learned.y[:2_000]])
    shuffled, true = twin_aucs(learned.X, learned.y, both, y, seed=5)

    assert not twin_verdict(shuffled, true, y).passed


def a_point(x: float) -> pa.Table:
    """One example of Ann at noon whose vector is full of x."""
    width = EXAMPLE_SCHEMA.field("x").type.list_size
    columns = {
        "user": ["ann"],
        "session": ["now"],
        "product": ["mug"],
        "as_of_us": [12 * HOUR_US],
        "kind": [0],
        "category": [""],
        "brand": [""],
        "price": [1.0],
        "label": [0],
        "censored": [False],
    }
    vectors = x_column(np.full((1, width), x, dtype=np.float32))
    return pa.table({**columns, "x": vectors}, schema=EXAMPLE_SCHEMA)


EVENTS = pa.table({"user": ["ann", "ann", "bob"], "time_us": [12 * HOUR_US, 13 * HOUR_US, 11 * HOUR_US]})


def test_vectors_that_the_future_does_not_move_pass():
    check = future_check(a_point(2.0), EVENTS, lambda past, _: a_point(2.0 * past.num_rows))

    assert check.passed  # one event of Ann's was given: neither her later one nor Bob's


def test_a_vector_that_changes_by_one_bit_when_the_future_is_cut_off_fails():
    nearly = float(np.nextafter(np.float32(2.0), np.float32(3.0)))
    check = future_check(a_point(2.0), EVENTS, lambda past, as_of_us: a_point(nearly))

    assert not check.passed
    assert check.figure == 1.0


def test_a_point_that_does_not_come_back_fails():
    assert not future_check(a_point(2.0), EVENTS, lambda past, as_of_us: EXAMPLE_SCHEMA.empty_table()).passed


def test_users_met_before_are_counted_and_honest_probabilities_pass():
    part, p = a_part(6)
    check = known_users_check(np.arange(250), part, p)

    assert check.passed
    assert check.figure == pytest.approx(float((part.user < 250).mean()))


def test_a_model_that_remembers_its_users_fails():
    part, p = a_part(7)
    remembered = np.where(part.user < 250, 0.9 * part.y + 0.05, p)

    assert not known_users_check(np.arange(250), part, remembered).passed


def test_without_new_users_the_share_is_stated_and_nothing_compared():
    part, p = a_part(8)
    check = known_users_check(np.arange(500), part, p)

    assert check.passed
    assert "100.0 %" in check.detail
