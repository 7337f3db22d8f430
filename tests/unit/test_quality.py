"""Figures of quality: equal to scikit-learn's, independent of order, and with intervals that cover."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from common.quality import (
    ECE_BINS,
    Judged,
    UserResamples,
    distributions,
    interval,
    interval_around,
    paired_difference,
    quality,
)


@st.composite
def judged_rows(draw):
    """Outcomes with both values, probabilities with ties, and integer weights."""
    n = draw(st.integers(4, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = (rng.random(n) < draw(st.floats(0.1, 0.9))).astype(np.int8)
    y[:2] = (0, 1)
    p = np.round(rng.uniform(0.01, 0.99, n), draw(st.integers(1, 6)))
    weight = rng.integers(0, 4, n).astype(np.float64)
    weight[:2] = 1.0
    return y, np.clip(p, 0.01, 0.99), weight


@settings(deadline=None)
@given(judged_rows())
def test_ranking_and_likelihood_are_those_of_scikit_learn_with_and_without_weights(rows):
    y, p, weight = rows
    for w in (None, weight):
        found = Judged(y, p).quality(w)
        assert found.roc_auc == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
        assert found.pr_auc == pytest.approx(average_precision_score(y, p, sample_weight=w), abs=1e-12)
        assert found.log_loss == pytest.approx(log_loss(y, p, sample_weight=w), abs=1e-12)


@settings(deadline=None)
@given(judged_rows())
def test_a_weight_of_k_is_a_row_k_times(rows):
    y, p, weight = rows
    times = weight.astype(int)
    assert Judged(y, p).quality(weight).as_dict() == pytest.approx(
        quality(np.repeat(y, times), np.repeat(p, times)).as_dict(), abs=1e-9
    )


@settings(deadline=None)
@given(judged_rows(), st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order_of_rows(rows, random):
    y, p, _ = rows
    order = list(range(len(y)))
    random.shuffle(order)
    assert quality(y[order], p[order]).as_dict() == pytest.approx(quality(y, p).as_dict(), abs=1e-12)


@settings(deadline=None)
@given(judged_rows(), st.floats(0.05, 0.95))
def test_balanced_f1_is_the_f1_of_classes_weighted_to_one_to_one(rows, threshold):
    y, p, _ = rows
    weight = np.where(y > 0, 1.0 / y.sum(), 1.0 / (len(y) - y.sum()))
    expected = f1_score(y, p >= threshold, sample_weight=weight, zero_division=0.0)
    assert Judged(y, p).balanced_f1(threshold) == pytest.approx(expected, abs=1e-12)


def test_always_answering_yes_has_a_balanced_f1_of_two_thirds():
    assert Judged([0, 0, 0, 1], [0.2, 0.3, 0.4, 0.9]).balanced_f1(0.0) == pytest.approx(2.0 / 3.0)


def test_accuracy_counts_a_probability_at_the_threshold_as_a_yes():
    assert Judged([1, 0, 1, 0], [0.5, 0.5, 0.9, 0.1]).accuracy(0.5) == 0.75


def test_equal_mass_bins_compare_forecast_and_frequency():
    # each bin holds ten rows of a forecast 0.1 below its frequency, except the last, which is right
    p = np.repeat(np.linspace(0.1, 0.8, ECE_BINS), 10) + np.tile(np.linspace(-1e-6, 1e-6, 10), ECE_BINS)
    y = np.concatenate([np.arange(10) < round(10 * v) for v in np.linspace(0.1, 0.8, ECE_BINS)]).astype(float)
    expected = np.abs(y.reshape(ECE_BINS, 10).mean(axis=1) - p.reshape(ECE_BINS, 10).mean(axis=1)).mean()
    assert quality(y, p).ece == pytest.approx(expected, abs=1e-9)


def test_equal_forecasts_share_a_bin_whatever_happened_to_them():
    y = np.array([1] * 30 + [0] * 70)
    assert quality(y, np.full(100, 0.3)).ece == pytest.approx(0.0, abs=1e-12)
    assert quality(y, np.full(100, 0.4)).ece == pytest.approx(0.1, abs=1e-12)


def test_a_figure_that_rows_cannot_give_is_nan():
    no_positives = quality([0, 0], [0.1, 0.2])
    assert math.isnan(no_positives.roc_auc)
    assert math.isnan(no_positives.pr_auc)
    assert no_positives.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert all(math.isnan(value) for value in quality([], []).as_dict().values())


def test_a_certain_forecast_that_fails_costs_much_but_not_everything():
    assert 30.0 < quality([1], [0.0]).log_loss < 40.0


def test_all_rows_of_a_user_are_drawn_together():
    resamples = UserResamples(np.array(["a", "b", "a", "c", "b"], dtype=object), draws=50, seed=1)
    for weight in resamples.weights():
        assert weight[0] == weight[2]
        assert weight[1] == weight[4]
        assert weight[0] + weight[1] + weight[3] == 3


def test_a_slice_sees_the_draws_of_the_whole():
    user = np.array([1, 2, 3, 1, 2, 4])
    rows = np.array([True, False, True, True, False, False])
    resamples = UserResamples(user, draws=20, seed=3)
    for whole, part in zip(resamples.weights(), resamples.weights(rows), strict=True):
        assert np.array_equal(whole[rows], part)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """60 worlds in which each user has 8 rows of one mood: resampling rows would cover far less often."""
    rng = np.random.default_rng(5)
    covered = 0
    for world in range(60):
        mood = np.repeat(rng.normal(size=150), 8)
        y = (rng.random(1_200) < 1.0 / (1.0 + np.exp(1.0 - mood))).astype(np.int8)
        judged = Judged(y, np.full(1_200, 0.3))
        resamples = UserResamples(np.repeat(np.arange(150), 8), draws=100, seed=world)
        low, high = interval(distributions({"flat": judged}, resamples)["flat"]["log_loss"])
        grid = np.linspace(-6.0, 6.0, 2_001)
        density = np.exp(-0.5 * grid**2) / np.exp(-0.5 * grid**2).sum()
        rate = float((density / (1.0 + np.exp(1.0 - grid))).sum())
        covered += low <= -(rate * math.log(0.3) + (1.0 - rate) * math.log(0.7)) <= high
    assert 51 <= covered <= 60  # 57 expected; 51 is 2.3 standard deviations below


def test_a_paired_difference_is_narrower_than_the_figures_themselves():
    rng = np.random.default_rng(0)
    p = rng.beta(2, 8, 3_000)
    y = (rng.random(3_000) < p).astype(np.int8)
    models = {"good": Judged(y, p), "worse": Judged(y, 0.5 * p + 0.25)}
    drawn = distributions(models, UserResamples(rng.integers(0, 800, 3_000), draws=100))

    low, high = paired_difference(drawn["good"], drawn["worse"], "log_loss")

    assert high < 0.0  # the truth is better, surely
    own_low, own_high = interval(drawn["good"]["log_loss"])
    assert high - low < 0.8 * (own_high - own_low)


def test_an_interval_around_a_figure_contains_it():
    low, high = interval_around(0.01, np.array([0.02, 0.03, 0.04, math.nan]))
    assert low <= 0.01 <= high
    assert low >= 0.0
    assert interval(np.array([math.nan])) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_sums_over_draws_are_those_of_the_rows_as_often_as_they_were_drawn():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 50))
    resamples = UserResamples(rng.integers(0, 9, 50), draws=30, seed=4)
    expected = np.array([(values * weight).sum(axis=1) for weight in resamples.weights()]).T
    np.testing.assert_allclose(resamples.sums(values), expected, rtol=1e-12)


def test_coarse_ranks_give_the_draws_of_exact_ones_to_a_fraction_of_their_spread():
    rng = np.random.default_rng(3)
    p = rng.beta(1, 7, 30_000)
    judged = Judged((rng.random(30_000) < p).astype(np.int8), p)
    resamples = UserResamples(rng.integers(0, 9_000, 30_000), draws=20)
    found = distributions({"it": judged}, resamples)["it"]
    exact = [judged.quality(weight).as_dict() for weight in resamples.weights()]
    for metric in ("roc_auc", "pr_auc", "log_loss"):
        expected = np.array([of_draw[metric] for of_draw in exact])
        assert np.abs(found[metric] - expected).max() < 0.1 * expected.std(), metric


def test_balanced_f1_is_drawn_for_those_models_that_have_a_threshold():
    rng = np.random.default_rng(4)
    p = rng.beta(1, 4, 500)
    judged = Judged((rng.random(500) < p).astype(np.int8), p)
    drawn = distributions({"one": judged, "other": judged}, UserResamples(np.arange(500), draws=40), cuts={"one": 0.2})
    low, high = interval(drawn["one"]["balanced_f1"])
    assert low < judged.balanced_f1(0.2) < high
    assert "balanced_f1" not in drawn["other"]


@pytest.mark.parametrize("rows_of_a_user", [1, 6])
def test_perfect_probabilities_show_the_error_that_chance_explains(rows_of_a_user):
    """200 worlds; where a user's rows share one outcome, chance explains more, and the expectation knows it."""
    rng = np.random.default_rng(6)
    users = 200
    found, expected, exceeded = [], [], 0
    for _ in range(200):
        p = np.repeat(rng.beta(1, 5, users), rows_of_a_user)
        y = np.repeat(rng.random(users) < p[::rows_of_a_user], rows_of_a_user).astype(np.int8)
        judged = Judged(y, p)
        by_chance = judged.ece_by_chance(np.repeat(np.arange(users), rows_of_a_user))
        found.append(judged.quality().ece)
        expected.append(by_chance[0])
        exceeded += found[-1] > by_chance[1]
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.06)
    assert exceeded <= 15
