"""What is reported of candidates in each slice of the points."""

import numpy as np
import pytest

from common.quality import quality
from training.evaluation import BASE_RATE, ENSEMBLE, SLICES, Points, base_rates, draws_for, evaluate


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


def test_other_candidates_have_a_balanced_f1_where_they_have_a_threshold():
    points, p = a_shop()
    cuts = dict.fromkeys(SLICES, 0.2)
    found = evaluate(
        points, {ENSEMBLE: p, "one": 0.5 * p, "two": p}, threshold=0.3, balanced_thresholds=cuts,
        of_candidates={"one": dict.fromkeys(SLICES, 0.1)},
    )["cart"]  # fmt: skip
    assert found["balanced_f1_of"]["one"] == found["balanced_f1_of"][ENSEMBLE] == found["balanced_f1"]
    assert found["differences"]["one"]["balanced_f1"] == [0.0, 0.0]
    assert "balanced_f1" not in found["differences"]["two"]
    assert "two" not in found["balanced_f1_of"]


def test_every_figure_of_a_candidate_comes_with_its_paired_difference():
    points, p = a_shop()
    found = figures(points, p, other=np.sqrt(p))
    for of_slice in found.values():
        assert set(of_slice["differences"]["other"]) == {"roc_auc", "pr_auc", "log_loss", "ece"}


def test_the_calibration_error_of_the_truth_is_what_chance_explains():
    points, p = a_shop()
    for of_slice in figures(points, p).values():
        expected, hardly_exceeded = of_slice["ece_by_chance"]
        assert 0.4 * expected < of_slice["quality"][ENSEMBLE]["ece"] < hardly_exceeded


@pytest.mark.parametrize(("rows", "draws"), [(0, 1_000), (50_000, 1_000), (100_000, 500), (10_000_000, 200)])
def test_many_points_are_drawn_less_often(rows, draws):
    assert draws_for(rows) == draws
