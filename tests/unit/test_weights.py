"""Learned weights: on the simplex, at the optimum, and never worse than where they could have stayed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.bundle import MEMBER_KINDS
from common.ensemble import DEFAULT_WEIGHTS, combine
from training.weights import TIE, learn_weights


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
def test_never_worse_than_the_best_member_or_the_default(seed, noise):
    probabilities, y = members(seed, noise)

    weights = learn_weights(probabilities, y, np.arange(len(y)))

    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(weights.values()) >= 0.0
    learned = loss(combine(probabilities, weights), y)
    assert learned <= min(loss(p, y) for p in probabilities.values()) + TIE
    assert learned <= loss(combine(probabilities, DEFAULT_WEIGHTS), y) + TIE


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.floats(0.0, 3.0), min_size=4, max_size=4))
def test_no_other_vote_is_better_beyond_chance(seed, noise):
    probabilities, y = members(seed, noise)
    learned = combine(probabilities, learn_weights(probabilities, y, np.arange(len(y))))

    for random in np.random.default_rng(seed).dirichlet(np.ones(4), 20):
        other = combine(probabilities, dict(zip(MEMBER_KINDS, random, strict=True)))
        gain = np.log(np.where(y > 0, other, 1.0 - other)) - np.log(np.where(y > 0, learned, 1.0 - learned))
        assert gain.mean() <= 2.0 * gain.std() / np.sqrt(len(y)) + TIE


def test_members_that_are_alike_keep_the_default():
    """Their optimum is a matter of chance: in 20 worlds the default is kept, or nearly."""
    for seed in range(20):
        probabilities, y = members(seed, [0.4, 0.4, 0.4, 0.4])
        weights = learn_weights(probabilities, y, np.arange(len(y)))
        assert max(abs(weights[kind] - DEFAULT_WEIGHTS[kind]) for kind in MEMBER_KINDS) < 0.15


def test_points_of_one_user_are_no_independent_witnesses():
    """The same two thousand points ten times over: whoever counts them as twenty thousand leaves the default sooner."""
    nearer = 0
    for seed in range(10):
        probabilities, y = members(seed, [0.8, 0.4, 0.6, 0.8])
        repeated = {kind: np.tile(p, 10) for kind, p in probabilities.items()}
        alone = learn_weights(repeated, np.tile(y, 10), np.arange(10 * len(y)))
        of_users = learn_weights(repeated, np.tile(y, 10), np.tile(np.arange(len(y)), 10))
        far = [sum(abs(w[kind] - DEFAULT_WEIGHTS[kind]) for kind in MEMBER_KINDS) for w in (of_users, alone)]
        nearer += far[0] < far[1]
    assert nearer >= 9


def test_two_good_members_take_the_vote_from_two_bad_ones():
    probabilities, y = members(3, [0.6, 0.6, 3.0, 3.0], rows=20_000)

    weights = learn_weights(probabilities, y, np.arange(len(y)))

    assert weights["catboost"] == pytest.approx(weights["xgboost"], abs=0.1)
    assert weights["catboost"] + weights["xgboost"] > 0.85


def test_a_member_that_knows_the_truth_gets_nearly_everything():
    probabilities, y = members(4, [2.0, 2.0, 2.0, 0.0], rows=20_000)
    assert learn_weights(probabilities, y, np.arange(len(y)))["random_forest"] > 0.9


def test_of_members_that_say_the_same_one_is_left():
    probabilities, y = members(5, [0.5] * 4)
    same = dict.fromkeys(MEMBER_KINDS, probabilities["catboost"])
    assert learn_weights(same, y, np.arange(len(y))) == {
        "catboost": 1.0,
        "xgboost": 0.0,
        "lightgbm": 0.0,
        "random_forest": 0.0,
    }


def test_members_whose_probabilities_cannot_be_told_apart_from_certainty_do_not_break_the_search():
    probabilities, y = members(8, [0.5] * 4)
    probabilities["xgboost"] = np.where(y > 0, 1e-300, 1.0 - 1e-16)

    weights = learn_weights(probabilities, y, np.arange(len(y)))

    assert np.isfinite(list(weights.values())).all()
    assert weights["xgboost"] == 0.0


def test_the_weights_keep_the_order_of_the_members():
    probabilities, y = members(6, [1.0, 1.0, 1.0, 1.0])
    assert list(learn_weights(probabilities, y, np.arange(len(y)))) == list(MEMBER_KINDS)
