"""What contacting is worth: hand-counted curves, the break-even rule on calibrated probabilities, honest intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError
from training.profit import NOBODY, Economics, Outcomes, judge_profit, profit_curve

ECONOMICS = Economics(margin=10.0, contact_cost=2.0)


def calibrated(rows: int, seed: int, users: int = 2_000) -> Outcomes:
    """Points whose probabilities are true."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 5, rows)
    return Outcomes((rng.random(rows) < p).astype(np.int8), p, rng.integers(0, users, rows))


def test_the_curve_counts_margins_and_costs_per_point():
    y, p = np.array([1, 0, 1, 0], np.int8), np.array([0.9, 0.8, 0.8, 0.1])
    curve = profit_curve(y, p, ECONOMICS)

    assert curve.threshold.tolist() == [NOBODY, 0.9, 0.8, 0.1]
    assert curve.contacted.tolist() == [0.0, 0.25, 0.75, 1.0]
    assert curve.profit.tolist() == [0.0, 8 / 4, (20 - 6) / 4, (20 - 8) / 4]
    assert curve.best == 0.8


def test_nobody_is_contacted_where_nothing_pays():
    y, p = np.array([0, 1], np.int8), np.array([0.4, 0.3])
    assert profit_curve(y, p, Economics(margin=1.0, contact_cost=5.0)).best == NOBODY


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0.1, 0.2, 0.5, 0.7])), min_size=1, max_size=40))
def test_every_point_of_the_curve_is_what_its_rule_earns(rows: list[tuple[int, float]]):
    y, p = np.array([y for y, _ in rows], np.int8), np.array([p for _, p in rows])
    curve = profit_curve(y, p, ECONOMICS)

    for threshold, profit in zip(curve.threshold, curve.profit, strict=True):
        contacted = p >= threshold
        assert profit == pytest.approx((10.0 * y[contacted].sum() - 2.0 * contacted.sum()) / len(y))


def test_a_share_of_caused_purchases_scales_the_margin():
    half = Economics(margin=10.0, contact_cost=2.0, caused_share=0.5)
    assert half.gain == 5.0
    assert half.break_even == pytest.approx(0.4)


def test_on_calibrated_probabilities_the_chosen_threshold_is_near_break_even_and_earns_no_more():
    report = judge_profit(calibrated(40_000, 1), calibrated(40_000, 2), ECONOMICS)

    assert report.threshold_interval[0] <= 0.2 <= report.threshold_interval[1]
    assert report.chosen.threshold == pytest.approx(0.2, abs=0.05)
    assert report.over_break_even[0] <= 0.0
    assert report.break_even.profit > max(0.0, report.everybody.profit)


def test_the_interval_of_the_profit_holds_what_the_rule_earns_in_the_long_run():
    rule = judge_profit(calibrated(2_000, 3), calibrated(5_000, 4), ECONOMICS).break_even
    everyone = calibrated(400_000, 5)
    contacted = everyone.p >= 0.2
    truth = float(np.where(contacted, 10.0 * everyone.p - 2.0, 0.0).mean())

    assert rule.interval[0] < truth < rule.interval[1]
    assert rule.interval[0] < rule.profit < rule.interval[1]


def test_rows_of_one_user_widen_the_interval():
    rows = calibrated(4_000, 6)
    few = Outcomes(rows.y, rows.p, np.argsort(np.argsort(-rows.p)) // 200)  # users who are all alike within
    many = Outcomes(rows.y, rows.p, np.arange(4_000))

    wide, narrow = (judge_profit(one, one, ECONOMICS).everybody.interval for one in (few, many))
    assert wide[1] - wide[0] > 2.0 * (narrow[1] - narrow[0])


def test_a_rule_that_contacts_nobody_earns_nothing_and_has_no_buyers():
    rows = calibrated(500, 7)
    report = judge_profit(rows, rows, Economics(margin=1.0, contact_cost=3.0))

    assert report.break_even.threshold == NOBODY
    assert report.break_even.profit == 0.0
    assert report.break_even.bought_when_contacted is None


@pytest.mark.parametrize(
    ("margin", "cost", "share"), [(0.0, 1.0, 1.0), (5.0, -1.0, 1.0), (5.0, 1.0, 0.0), (5.0, 1.0, 1.1)]
)
def test_economics_that_no_shop_has_are_refused(margin: float, cost: float, share: float):
    with pytest.raises(ConfigError):
        Economics(margin, cost, share)
