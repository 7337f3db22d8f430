"""Which other feature a feature's contributions depend on: what a dependence plot is coloured by."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from common.ensemble import Vector
from common.members import Matrix

_NEIGHBOURS = 40


def strongest_partner(X: Matrix, contribution: Vector, feature: int) -> int:
    """The other feature that best explains, among rows of about equal value, how contributions differ.

    Rows are sorted by the feature and cut into runs of some forty; within each run the correlation of every other
    feature's rank with the contribution is found, and the partner is the feature with the largest sum of sizes.

    Args:
        X: float32 (m, f).
        contribution: of `feature` in each row (m,).
        feature: the column whose partner is wanted.

    References: Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
    """
    order = np.lexsort((contribution, X[:, feature]))
    ranks = rankdata(X, axis=0)[order]
    runs = np.array_split(np.arange(len(order)), max(1, len(order) // _NEIGHBOURS))
    total = np.sum([np.abs(_correlations(ranks[run], contribution[order][run])) for run in runs], axis=0)
    total[feature] = -1.0
    return int(np.argmax(total))


def _correlations(columns: Vector, target: Vector) -> Vector:
    columns, target = columns - columns.mean(axis=0), target - target.mean()
    size = np.sqrt((columns**2).sum(axis=0) * (target**2).sum())
    result: Vector = np.divide((columns * target[:, None]).sum(axis=0), size, out=np.zeros_like(size), where=size > 0.0)
    return result


def shown_rank(values: NDArray[np.float32]) -> Vector:
    """Each value's place among all, 0 to 1, equal ones alike: colours that outliers do not use up."""
    ranks: Vector = rankdata(values) - 1.0
    return ranks / max(len(values) - 1, 1)
