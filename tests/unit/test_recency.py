"""The weight of an example halves with every half-life of its age."""

import numpy as np
import pytest

from common.clock import DAY_US
from training.recency import recency_weights

DAYS = np.array([0, 15, 30, 60], np.int64) * DAY_US


def test_half_as_much_for_every_half_life():
    weights = recency_weights(60 * DAY_US - DAYS, now_us=60 * DAY_US, half_life_days=30.0)
    assert weights == pytest.approx([1.0, 0.5**0.5, 0.5, 0.25])


@pytest.mark.parametrize("half_life_days", [None, 0.0])
def test_without_a_half_life_all_count_the_same(half_life_days):
    assert recency_weights(DAYS, now_us=60 * DAY_US, half_life_days=half_life_days) is None
