"""The ends of a log: those of nearly all of its rows, not of a stray one."""

import numpy as np
import pytest

from common.clock import DAY_US
from training.activity import BIN_US, Activity
from training.ends import span_of

BINS_PER_DAY = DAY_US // BIN_US


def a_log(*bins: int, events: int = 50, of_strays: int = 1, strays: tuple[int, ...] = ()) -> Activity:
    """As many events in each bin, and fewer in the bins of strays."""
    number = np.array(sorted([*bins, *strays]), np.int64)
    counts = np.where(np.isin(number, strays), of_strays, events).astype(np.int64)
    return Activity(number, counts, counts, 0 * counts, 0 * counts)


def bins_of(activity: Activity) -> tuple[int, int]:
    first_us, last_us = span_of(activity)
    assert first_us % BIN_US == 0 == (last_us + 1) % BIN_US
    return first_us // BIN_US, last_us // BIN_US


MONTH = range(10_000, 10_000 + 30 * BINS_PER_DAY, 3)


@pytest.mark.parametrize("days", [3, 60, 20_000])
def test_a_stray_far_after_the_rest_does_not_move_the_end(days):
    assert bins_of(a_log(*MONTH, strays=(MONTH[-1] + days * BINS_PER_DAY,))) == (MONTH[0], MONTH[-1])


def test_strays_before_the_rest_do_not_move_the_beginning():
    strays = (0, 900, 5_000)

    assert bins_of(a_log(*MONTH, strays=strays)) == (MONTH[0], MONTH[-1])


def test_what_comes_within_two_days_belongs_to_the_log():
    last = MONTH[-1] + 2 * BINS_PER_DAY

    assert bins_of(a_log(*MONTH, strays=(last,))) == (MONTH[0], last)


def test_a_second_season_belongs_to_the_log():
    second = [number + 100 * BINS_PER_DAY for number in MONTH]

    assert bins_of(a_log(*MONTH, *second)) == (MONTH[0], second[-1])


def test_more_than_one_of_a_thousand_rows_are_no_strays():
    strays = (MONTH[-1] + 50 * BINS_PER_DAY,)
    allowed = 50 * len(MONTH) // 999

    assert bins_of(a_log(*MONTH, strays=strays, of_strays=allowed - 1))[1] == MONTH[-1]
    assert bins_of(a_log(*MONTH, strays=strays, of_strays=allowed + 2))[1] == strays[0]


def test_a_small_log_has_no_strays():
    assert bins_of(a_log(0, 10_000, events=3)) == (0, 10_000)


def test_a_sparse_log_is_silent_for_days_and_goes_on():
    weekly = range(0, 1_200 * 7 * BINS_PER_DAY, 7 * BINS_PER_DAY)

    assert bins_of(a_log(*weekly, events=1)) == (0, weekly[-1])


def test_a_log_of_one_bin_begins_and_ends_with_it():
    assert bins_of(a_log(7)) == (7, 7)
