"""Random trees on a small grid of values, and Shapley values by their definition: for tests of explanations."""

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from common.trees import TreeTable, stack

GRID = 5  # few values, so that rows tie with thresholds and features repeat along a path


def random_table(rng: np.random.Generator, *, trees: int = 4, depth: int = 5, features: int = 6) -> TreeTable:
    """Trees that split at random: unbalanced, with features that repeat and conditions that contradict."""
    return stack([_random_tree(rng, depth, features) for _ in range(trees)])


def random_rows(rng: np.random.Generator, rows: int, features: int = 6) -> NDArray[np.float32]:
    """Rows on the grid that the thresholds of `random_table` lie on."""
    return rng.integers(0, GRID, (rows, features)).astype(np.float32)


def _random_tree(rng: np.random.Generator, depth: int, features: int) -> dict[str, list[float]]:
    tree: dict[str, list[float]] = {name: [] for name in ("left", "right", "feature", "threshold", "value", "cover")}

    def grow(level: int) -> int:
        at = len(tree["feature"])
        is_leaf = level == depth or (level > 0 and rng.random() < 0.2)
        tree["left"].append(-1)
        tree["right"].append(-1)
        tree["feature"].append(-1 if is_leaf else int(rng.integers(features)))
        tree["threshold"].append(0.0 if is_leaf else float(rng.integers(GRID)))
        tree["value"].append(rng.normal() if is_leaf else 0.0)
        tree["cover"].append(1.0)
        if not is_leaf:
            tree["left"][at] = grow(level + 1)
            tree["right"][at] = grow(level + 1)
        return at

    grow(0)
    return tree


def leaf_sum(table: TreeTable, x: NDArray[np.float32]) -> float:
    """The margin of one row, one node after the other."""
    total = 0.0
    for root in table.offsets[:-1]:
        at = root
        while table.feature[at] >= 0:
            at = table.left[at] if x[table.feature[at]] <= table.threshold[at] else table.right[at]
        total += table.value[at]
    return total


def brute_force(
    value: Callable[[NDArray[np.float32]], NDArray[np.float64]], x: NDArray[np.float32], b: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Shapley values of the game whose coalitions take their features from x and the others from b.

    References: Shapley (1953), A value for n-person games.
    """
    f = len(x)
    coalitions = [set(members) for size in range(f + 1) for members in combinations(range(f), size)]
    rows = np.array([[x[i] if i in members else b[i] for i in range(f)] for members in coalitions], dtype=np.float32)
    worth = {frozenset(members): own for members, own in zip(coalitions, value(rows), strict=True)}
    result = np.zeros(f)
    for members in coalitions:
        for i in members:
            rest = frozenset(members - {i})
            result[i] += (worth[frozenset(members)] - worth[rest]) / (f * comb(f - 1, len(rest)))
    return result
