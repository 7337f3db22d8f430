"""The rows that explanations are measured against stand for all rows; importance ranks what moves the probability."""

import numpy as np
import pytest
from numpy.typing import NDArray

from common.ensemble import Calibration, sigmoid
from common.errors import InputError
from common.explanation import ShapExplainer
from common.trees import stack
from training.explanation import BACKGROUND_ROWS, background, importance


def skewed_rows(n: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Rows and their probabilities: few are likely, as in a shop."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    return X, sigmoid(2.0 * X[:, 0].astype(np.float64) + X[:, 1] - 4.0)


def index_of(rows: NDArray[np.float32], X: NDArray[np.float32]) -> list[int]:
    return [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in rows]


def test_the_backgrounds_mean_probability_is_the_mean_prediction():
    X, p = skewed_rows(5_000)

    rows = background(X, p, seed=0)

    assert rows.shape == (BACKGROUND_ROWS, 6)
    assert rows.dtype == np.float32
    assert abs(p[index_of(rows, X)].mean() - p.mean()) < 0.002


def test_every_feature_stays_where_it_is_on_average_better_than_by_chance():
    X, p = skewed_rows(5_000)
    rng = np.random.default_rng(1)

    def off(rows: NDArray[np.float32]) -> float:
        return float(np.abs(rows.mean(axis=0) - X.mean(axis=0)).mean())

    by_chance = np.mean([off(X[rng.choice(5_000, BACKGROUND_ROWS, replace=False)]) for _ in range(50)])
    assert off(background(X, p, seed=0)) < 0.5 * by_chance


def test_rows_are_real_different_and_ordered_by_probability():
    X, p = skewed_rows(2_000)

    at = index_of(background(X, p, size=16, seed=3), X)

    assert len(set(at)) == 16
    assert (np.diff(p[at]) > 0).all()


def test_a_seed_gives_the_same_rows_again_also_from_a_sample_of_many():
    for n in (300, 25_000):
        X, p = skewed_rows(n)

        assert background(X, p, size=8, seed=5).tobytes() == background(X, p, size=8, seed=5).tobytes()
        assert background(X, p, size=8, seed=5).tobytes() != background(X, p, size=8, seed=6).tobytes()


def test_few_rows_are_all_taken_and_none_is_an_error():
    X, p = skewed_rows(5)

    assert sorted(index_of(background(X, p, seed=0), X)) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="at least one row"):
        background(X[:0], p[:0], seed=0)


def test_importance_is_the_mean_size_of_the_contributions_largest_first():
    stump = {"left": [1, -1, -1], "right": [2, -1, -1], "threshold": [0.0] * 3, "cover": [1.0] * 3}
    table = stack(
        [
            {**stump, "feature": [0, -1, -1], "value": [0.0, 0.0, 0.1]},
            {**stump, "feature": [2, -1, -1], "value": [0.0, 0.0, -1.0]},
        ]
    )
    identity = Calibration(slope=1.0, intercept=0.0)
    explainer = ShapExplainer({"m": table}, {"m": 0.0}, {"m": identity}, np.zeros((1, 3), np.float32))
    X = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=np.float32)

    found = importance(explainer, X, {"m": 1.0}, ["little", "unused", "much"])

    assert list(found) == ["much", "little", "unused"]
    assert found["much"] == pytest.approx((0.5 - sigmoid(np.array(-1.0))) / 4)
    assert found["little"] == pytest.approx((sigmoid(np.array(0.1)) - 0.5) / 4)
    assert found["unused"] == 0.0
