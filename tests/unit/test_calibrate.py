"""Calibration by two parameters: the most likely ones, never turned around, never without bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from training.calibrate import MIN_SLOPE, fit_calibration


def drawn(seed: int, *, slope: float, intercept: float, rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2.0, 1.5, rows)
    p = 1.0 / (1.0 + np.exp(-(slope * margin + intercept)))
    return margin, (rng.random(rows) < p).astype(np.int8)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.3, 3.0), st.floats(-1.0, 1.0))
def test_finds_what_an_unpenalised_logistic_regression_finds(seed, slope, intercept):
    margin, y = drawn(seed, slope=slope, intercept=intercept)

    found = fit_calibration(margin, y, prior_sd=np.inf)

    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(margin[:, None], y)
    expected = reference.predict_proba(margin[:, None])[:, 1]
    np.testing.assert_allclose(found.probability(margin), expected, atol=0.01)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.05, 20.0), st.floats(-30.0, 30.0))
def test_probabilities_do_not_depend_on_the_scale_of_margins(seed, scale, shift):
    margin, y = drawn(seed, slope=1.0, intercept=0.0, rows=1_000)

    of_margin = fit_calibration(margin, y, prior_sd=np.inf).probability(margin)
    of_scaled = fit_calibration(scale * margin + shift, y, prior_sd=np.inf).probability(scale * margin + shift)

    np.testing.assert_allclose(of_scaled, of_margin, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_the_mean_probability_is_the_share_of_purchases(seed):
    margin, y = drawn(seed, slope=0.7, intercept=0.5)
    p = fit_calibration(margin, y, prior_sd=np.inf).probability(margin)
    assert p.mean() == pytest.approx(y.mean(), abs=1e-3)


def test_margins_that_point_the_wrong_way_become_the_base_rate():
    margin, y = drawn(1, slope=-1.0, intercept=-2.0)

    found = fit_calibration(margin, y, prior_sd=np.inf)

    assert found.slope == pytest.approx(MIN_SLOPE, rel=0.01)
    np.testing.assert_allclose(found.probability(margin), y.mean(), atol=0.005)


def test_margins_that_separate_the_labels_keep_a_finite_slope():
    margin = np.concatenate([np.full(50, -3.0), np.full(50, 3.0)])
    y = (margin > 0).astype(np.int8)

    p = fit_calibration(margin, y, prior_sd=np.inf).probability(margin)

    assert p.max() == pytest.approx(51 / 52, abs=1e-3)


@pytest.mark.parametrize("value", [-2.0, -1.2, 0.0, 0.1])
def test_a_constant_margin_becomes_the_base_rate_and_its_neighbours_stay_near(value):
    y = np.array([1, 0, 0, 0] * 125, np.int8)

    found = fit_calibration(np.full(500, value), y)

    assert found.probability(np.array([value])) == pytest.approx([0.25], abs=0.005)
    assert found.probability(np.array([value - 0.01, value + 0.01])) == pytest.approx([0.25, 0.25], abs=0.01)


def test_a_handful_of_points_moves_a_margin_little_and_thousands_settle_it():
    for rows, least, most in ((12, 0.7, 1.3), (40_000, 2.7, 3.1)):
        margin, y = drawn(6, slope=3.0, intercept=0.0, rows=rows)
        assert least < fit_calibration(margin, y).slope < most


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(20, 400))
def test_no_small_sample_makes_a_sound_margin_much_worse(seed, rows):
    margin, y = drawn(seed, slope=1.0, intercept=0.0, rows=rows)
    fresh, truth = drawn(seed + 1, slope=1.0, intercept=0.0, rows=20_000)

    calibrated = fit_calibration(margin, y).probability(fresh)

    def loss(p: np.ndarray) -> float:
        return float(-np.log(np.where(truth > 0, p, 1.0 - p)).mean())

    assert (
        loss(calibrated) < loss(1.0 / (1.0 + np.exp(-fresh))) * 1.15
    )  # without the prior some of these are twice as bad


def test_a_weight_of_two_is_the_point_twice():
    margin, y = drawn(2, slope=0.8, intercept=-0.4, rows=500)
    twice = np.arange(500) % 3 == 0

    weighted = fit_calibration(margin, y, np.where(twice, 2.0, 1.0))

    repeated = fit_calibration(np.concatenate([margin, margin[twice]]), np.concatenate([y, y[twice]]))
    np.testing.assert_allclose(weighted.probability(margin), repeated.probability(margin), atol=1e-6)


def test_recent_points_set_the_level_of_a_shop_that_changed():
    margin, y = drawn(3, slope=1.0, intercept=0.0, rows=20_000)
    _, later = drawn(3, slope=1.0, intercept=-1.0, rows=20_000)
    outcome = np.concatenate([y, later])
    age_days = np.repeat([28.0, 0.0], 20_000)

    found = fit_calibration(np.concatenate([margin, margin]), outcome, np.exp2(-age_days / 7.0))

    level = found.probability(margin).mean()
    assert abs(level - later.mean()) < 0.2 * abs(y.mean() - later.mean())
