"""Curves of a report keep what the rows say although a screen shows few of their points."""

import numpy as np
import pytest

from common.quality import quality
from training.reporting.curves import POINTS, Curve, Ranking, reliability, thinned, wilson
from training.reporting.interaction import strongest_partner


def calibrated(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 6, rows)
    return (rng.random(rows) < p).astype(np.int8), p


def test_the_area_below_a_thinned_roc_curve_is_still_the_auc():
    y, p = calibrated(50_000)
    roc = Ranking(y, p).roc()

    assert len(roc.x) <= 2 * POINTS + 2
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(quality(y, p).roc_auc, abs=1e-3)
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0.0, 0.0, 1.0, 1.0)


def test_equal_probabilities_are_one_step():
    roc = Ranking(np.array([1, 0, 1, 0], np.int8), np.array([0.7, 0.7, 0.2, 0.2])).roc()
    assert list(zip(roc.x, roc.y, strict=True)) == [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]


def test_precision_ends_at_the_base_rate_and_lift_at_one():
    y, p = calibrated(5_000)
    ranking = Ranking(y, p)

    assert ranking.precision_recall().y[-1] == pytest.approx(y.mean())
    assert ranking.lift().y[-1] == pytest.approx(1.0)
    assert ranking.lift().y[0] > 3.0


def test_a_curve_with_few_points_is_left_as_it_is():
    curve = Curve(np.arange(5.0), np.arange(5.0), np.arange(5.0))
    assert thinned(curve) is curve


def test_bins_are_of_equal_mass_and_hold_the_frequency_of_true_probabilities():
    y, p = calibrated(30_000)
    found = reliability(y, p, np.arange(30_000))

    assert found.rows.tolist() == [2_000] * 15
    assert ((found.low <= found.forecast) & (found.forecast <= found.high)).sum() >= 13
    assert (found.low <= found.observed).all()


def test_equal_probabilities_share_a_bin():
    found = reliability(np.array([0, 1, 0, 1], np.int8), np.array([0.1, 0.5, 0.5, 0.5]), np.arange(4))
    assert found.rows.tolist() == [1, 3]


def test_intervals_are_wider_where_users_repeat_themselves():
    rng = np.random.default_rng(2)
    of_user = (rng.random(300) < 0.3).astype(np.int8)
    user = np.repeat(np.arange(300), 10)
    p = np.full(3_000, 0.3)

    def width(codes: np.ndarray) -> float:
        bins = reliability(of_user[user], p, codes)
        return float((bins.high - bins.low)[0])

    # ten equal rows of a user are one observation: sqrt(10) times the width
    assert width(user) == pytest.approx(np.sqrt(10.0) * width(np.arange(3_000)), rel=0.05)


def test_wilsons_interval_is_that_of_the_literature():
    low, high = wilson(np.array([0.0, 0.5]), np.array([10.0, 10.0]))
    np.testing.assert_allclose(low, [0.0, 0.2366], atol=5e-5)
    np.testing.assert_allclose(high, [0.2775, 0.7634], atol=5e-5)


def test_the_partner_of_a_feature_is_the_one_that_changes_its_effect():
    X = np.random.default_rng(3).normal(size=(800, 4)).astype(np.float32)
    contribution = (X[:, 1] * (1.0 + np.sign(X[:, 3]))).astype(np.float64)

    assert strongest_partner(X, contribution, 1) == 3
