"""The walk over masks gives the Shapley values that the definition gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.shapley import TreeShapley
from common.trees import stack
from tests.forests import brute_force, leaf_sum, random_rows, random_table


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(1, 7), background_rows=st.integers(1, 12))
def test_equals_the_definition_on_random_trees(seed: int, depth: int, background_rows: int):
    rng = np.random.default_rng(seed)
    table, background = random_table(rng, depth=depth), random_rows(rng, background_rows)
    X, scale = random_rows(rng, 2), rng.normal(size=(2, background_rows))

    found = TreeShapley(table, background).contributions(X, scale)

    expected = [
        sum(share * brute_force(table.margin, x, b) for share, b in zip(shares, background, strict=True))
        for x, shares in zip(X, scale, strict=True)
    ]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("background_rows", [8, 9, 63, 64, 65, 130])
def test_any_number_of_background_rows_counts_each_once(background_rows: int):
    rng = np.random.default_rng(background_rows)
    table, background, X = random_table(rng), random_rows(rng, background_rows), random_rows(rng, 3)
    scale = rng.random((3, background_rows))

    whole = TreeShapley(table, background).contributions(X, scale)

    one_by_one = [TreeShapley(table, background[[b]]).contributions(X, scale[:, [b]]) for b in range(background_rows)]
    assert whole == pytest.approx(np.sum(one_by_one, axis=0), abs=1e-12)


def test_contributions_add_up_to_the_difference_of_margins():
    rng = np.random.default_rng(3)
    table, background, X = random_table(rng, trees=50, depth=9), random_rows(rng, 40), random_rows(rng, 20)
    shapley = TreeShapley(table, background)

    found = shapley.contributions(X, np.full((20, 40), 1 / 40)).sum(axis=1)

    assert found == pytest.approx(table.margin(X) - table.margin(background).mean(), abs=1e-10)


def test_rows_are_explained_alone_as_in_a_batch():
    rng = np.random.default_rng(4)
    table, background, X = random_table(rng, trees=20), random_rows(rng, 16), random_rows(rng, 10)
    shapley, scale = TreeShapley(table, background), rng.random((10, 16))

    together = shapley.contributions(X, scale)

    alone = np.concatenate([shapley.contributions(X[[i]], scale[[i]]) for i in range(10)])
    assert alone.tobytes() == together.tobytes()


def test_a_row_of_the_background_owes_itself_nothing():
    rng = np.random.default_rng(5)
    table, X = random_table(rng), random_rows(rng, 1)

    assert TreeShapley(table, X).contributions(X, np.ones((1, 1))).tolist() == [[0.0] * 6]


def test_a_feature_that_no_tree_asks_for_gets_nothing():
    rng = np.random.default_rng(6)
    table = random_table(rng, features=5)

    found = TreeShapley(table, random_rows(rng, 8)).contributions(random_rows(rng, 4), np.ones((4, 8)))

    assert not found[:, 5].any()
    assert found[:, :5].any()


def test_margins_are_those_of_the_table():
    rng = np.random.default_rng(7)
    table, X = random_table(rng, trees=9), random_rows(rng, 50)
    shapley = TreeShapley(table, X[:20])

    assert shapley.margins(X) == pytest.approx([leaf_sum(table, x) for x in X], abs=1e-12)
    assert shapley.background_margins == pytest.approx(table.margin(X[:20]), abs=1e-12)


def test_trees_without_splits_explain_nothing():
    leaf = {"left": [-1], "right": [-1], "feature": [-1], "threshold": [0.0], "value": [0.5], "cover": [1.0]}
    shapley = TreeShapley(stack([leaf, leaf]), np.zeros((3, 2), np.float32))

    assert shapley.margins(np.ones((1, 2), np.float32)).tolist() == [1.0]
    assert shapley.contributions(np.ones((1, 2), np.float32), np.ones((1, 3))).tolist() == [[0.0, 0.0]]


def test_a_background_that_does_not_fit_the_trees_is_refused():
    table = random_table(np.random.default_rng(8), trees=20, features=6)

    with pytest.raises(ValueError, match="trees of 6 features, a background of shape"):
        TreeShapley(table, np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match="a background of shape"):
        TreeShapley(table, np.zeros((0, 6), np.float32))
