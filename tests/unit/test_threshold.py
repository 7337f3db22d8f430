"""The decision threshold: no other one has a better F1 on the same rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from common.quality import Judged
from training.threshold import best_f1_threshold


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(5, 80))
def test_no_other_threshold_has_a_better_f1(seed, decimals, rows):
    rng = np.random.default_rng(seed)
    p = np.clip(np.round(rng.random(rows), decimals), 0.001, 0.999)
    y = (rng.random(rows) < p).astype(np.int8)
    y[:2] = (0, 1)

    found = best_f1_threshold(y, p)
    balanced = best_f1_threshold(y, p, balanced=True)

    best = max(f1_score(y, p >= cut) for cut in set(p))
    assert f1_score(y, p >= found) == pytest.approx(best, abs=1e-12)
    judged = Judged(y, p)
    assert judged.balanced_f1(balanced) == pytest.approx(max(judged.balanced_f1(cut) for cut in p), abs=1e-12)


def test_rarer_purchases_need_a_higher_balanced_than_plain_score_to_say_no():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 9, 5_000)
    y = (rng.random(5_000) < p).astype(np.int8)
    assert best_f1_threshold(y, p, balanced=True) < best_f1_threshold(y, p)


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_the_threshold_lies_inside_the_unit_interval(certain):
    found = best_f1_threshold(np.array([1, 0, 1], np.int8), np.full(3, certain))
    assert 0.0 < found < 1.0
