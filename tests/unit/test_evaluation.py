"""What is reported of candidates in each slice, and the gates that hang on it."""

import numpy as np
import pytest

from common.quality import quality
from training.evaluation import BASE_RATE, ENSEMBLE, SLICES, Points, base_rates, evaluate
from training.gates import MAX_ECE, champion_gate, own_gates


def a_shop(rows: int = 3_000, seed: int = 0) -> tuple[Points, np.ndarray]:
    """Points of 800 users with their true probability: carts are bought more often than views."""
    rng = np.random.default_rng(seed)
    kind = (rng.random(rows) < 0.3).astype(np.int8)
    p = np.clip(rng.beta(1, 9, rows) + 0.3 * kind, 0.001, 0.999)
    y = (rng.random(rows) < p).astype(np.int8)
    return Points(y, kind, rng.integers(0, 800, rows)), p


def figures(points: Points, p: np.ndarray, **others: np.ndarray) -> dict:
    rates = base_rates(points.kind, points.y)
    of_kind = np.array([rates["view"], rates["cart"]])[points.kind]
    return evaluate(
        points,
        {ENSEMBLE: p, BASE_RATE: of_kind, **others},
        threshold=0.3,
        balanced_thresholds=dict.fromkeys(SLICES, 0.2),
    )


def test_slices_are_views_carts_and_both():
    points, p = a_shop()
    found = figures(points, p)
    assert found["view"]["rows"] + found["cart"]["rows"] == found["all"]["rows"] == 3_000
    carts = points.kind == 1
    assert found["cart"]["quality"][ENSEMBLE] == quality(points.y[carts], p[carts]).as_dict()
    assert found["view"]["quality"][BASE_RATE]["roc_auc"] == 0.5


def test_the_ensemble_has_intervals_that_hold_its_figures():
    points, p = a_shop()
    found = figures(points, p)
    for of_slice in found.values():
        for metric, (low, high) in of_slice["intervals"].items():
            assert low < of_slice["quality"][ENSEMBLE][metric] < high


def test_differences_are_the_ensemble_minus_the_candidate():
    points, p = a_shop()
    noise = np.random.default_rng(1).normal(size=len(p))
    worse = 1.0 / (1.0 + np.exp(-(np.log(p / (1.0 - p)) + noise)))
    difference = figures(points, p, worse=worse)["all"]["differences"]["worse"]
    assert difference["log_loss"][1] < 0.0  # the truth's loss is lower, beyond chance
    assert difference["roc_auc"][0] > 0.0


def test_a_slice_without_rows_reports_nothing_instead_of_failing():
    points, p = a_shop()
    views = points.kind == 0
    found = figures(Points(points.y[views], points.kind[views], points.user[views]), p[views])
    assert found["cart"]["rows"] == 0
    assert set(found["cart"]["quality"][ENSEMBLE].values()) == {None}
    assert found["cart"]["balanced_f1"] is None


def test_base_rates_are_those_of_each_kind():
    kind, y = np.array([0, 0, 0, 0, 1, 1], np.int8), np.array([0, 0, 0, 1, 1, 0], np.int8)
    assert base_rates(kind, y) == {"view": 0.25, "cart": 0.5}
    assert base_rates(kind[:4], y[:4]) == {"view": 0.25, "cart": 0.25}


def test_a_good_bundle_passes_its_own_gates():
    points, p = a_shop()
    assert own_gates(figures(points, p)) == []


def test_a_bundle_that_knows_less_than_the_base_rate_misses_a_gate_and_says_by_how_much():
    points, p = a_shop()
    shuffled = np.random.default_rng(2).permutation(p)
    found = figures(points, shuffled)
    (missed,) = [reason for reason in own_gates(found) if reason.startswith("log loss")]
    excess = found["all"]["quality"][ENSEMBLE]["log_loss"] - found["all"]["quality"][BASE_RATE]["log_loss"]
    assert f"is {excess:.4f} above that of the base rate per kind" in missed


def test_a_bundle_that_is_badly_calibrated_misses_a_gate():
    points, p = a_shop()
    found = figures(points, np.clip(p + 0.06, 0.0, 0.999))
    (missed,) = [reason for reason in own_gates(found) if reason.startswith("calibration error")]
    assert f"above {MAX_ECE}" in missed


@pytest.mark.parametrize(("challenger", "champion", "passes"), [(1.0, 0.6, True), (0.6, 1.0, False), (1.0, 1.0, True)])
def test_only_a_champion_that_is_better_beyond_chance_stops_a_challenger(challenger, champion, passes):
    points, p = a_shop()
    logit = np.log(p / (1.0 - p))
    noise = np.random.default_rng(3).normal(size=len(p))

    def seen(sharpness: float) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-(logit + 2.0 * (1.0 - sharpness) * noise)))

    missed = champion_gate(points, seen(challenger), seen(champion))

    assert (missed == []) is passes


def test_a_difference_within_chance_does_not_stop_a_challenger():
    points, p = a_shop(rows=300)
    slightly_worse = np.clip(p * 1.05, 0.001, 0.999)
    assert champion_gate(points, slightly_worse, p) == []
