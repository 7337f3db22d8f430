"""Learned weights: on the simplex, at the optimum, and never worse than where they could have stayed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.bundle import MEMBER_KINDS
from common.ensemble import DEFAULT_WEIGHTS, combine
from training.weights import NEGLIGIBLE, learn_weights


def members(seed: int, noise: list[float], rows: int = 2_000) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Members that see the truth through noise of their own."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2.0, 1.2, rows)
    y = (rng.random(rows) < 1.0 / (1.0 + np.exp(-logit))).astype(np.int8)
    seen = {
        kind: 1.0 / (1.0 + np.exp(-(logit + amount * rng.normal(size=rows))))
        for kind, amount in zip(MEMBER_KINDS, noise, strict=True)
    }
    return seen, y


def loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(np.where(y > 0, p, 1.0 - p)).mean())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.floats(0.0, 3.0), min_size=4, max_size=4))
def test_never_worse_than_the_best_member_the_default_or_any_random_vote(seed, noise):
    probabilities, y = members(seed, noise)

    weights = learn_weights(probabilities, y)

    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(weight == 0.0 or weight >= NEGLIGIBLE for weight in weights.values())
    learned = loss(combine(probabilities, weights), y)
    assert learned <= min(loss(p, y) for p in probabilities.values()) + 1e-12
    assert learned <= loss(combine(probabilities, DEFAULT_WEIGHTS), y) + 1e-12
    for random in np.random.default_rng(seed).dirichlet(np.ones(4), 20):
        vote = combine(probabilities, dict(zip(MEMBER_KINDS, random, strict=True)))
        assert learned <= loss(vote, y) + 1e-6


def test_two_members_with_errors_of_their_own_share_the_vote():
    probabilities, y = members(3, [0.6, 0.6, 3.0, 3.0], rows=20_000)

    weights = learn_weights(probabilities, y)

    assert weights["catboost"] == pytest.approx(weights["xgboost"], abs=0.1)
    assert weights["catboost"] + weights["xgboost"] > 0.9


def test_a_member_that_knows_the_truth_gets_everything():
    probabilities, y = members(4, [0.0, 2.0, 2.0, 2.0], rows=20_000)
    assert learn_weights(probabilities, y)["catboost"] > 0.98


def test_members_that_say_the_same_keep_the_default_order():
    probabilities, y = members(5, [0.5] * 4)
    same = dict.fromkeys(MEMBER_KINDS, probabilities["catboost"])
    assert learn_weights(same, y) == pytest.approx(DEFAULT_WEIGHTS, abs=1e-6)


def test_the_weights_keep_the_order_of_the_members():
    probabilities, y = members(6, [1.0, 1.0, 1.0, 1.0])
    assert list(learn_weights(probabilities, y)) == list(MEMBER_KINDS)
