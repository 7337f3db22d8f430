"""The weight of each member's vote: the convex combination with the smallest log loss."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from common.ensemble import DEFAULT_WEIGHTS, Vector

NEGLIGIBLE = 1e-4
"""Weights below this become 0: they cost a fan-out and change no answer."""

_TOLERANCE = 1e-12


def learn_weights(probabilities: Mapping[str, Vector], y: NDArray[np.int8]) -> dict[str, float]:
    """Weights on the simplex for calibrated probabilities (n,) of labels (n,).

    The loss is convex in the weights. The search starts at `DEFAULT_WEIGHTS` and its result is held against that
    start and every single member, so that it is never worse on these rows than any of them.

    References: Wolpert (1992), Stacked generalization; Breiman (1996), Stacked regressions (weights >= 0).
    """
    names = list(probabilities)
    of_outcome = np.column_stack([np.where(y > 0, probabilities[name], 1.0 - probabilities[name]) for name in names])
    start = _normalised(np.array([DEFAULT_WEIGHTS.get(name, 0.1) for name in names]))
    candidates = [_descend(of_outcome, start), start, *np.eye(len(names))]
    best = min(candidates, key=lambda weights: _loss(weights, of_outcome))
    return dict(zip(names, map(float, best), strict=True))


def _loss(weights: Vector, of_outcome: Vector) -> float:
    """The mean log loss: weights sum to 1, so the mix of what was given to the outcomes is what the mix gave."""
    return float(-np.mean(np.log(of_outcome @ weights)))


def _gradient(weights: Vector, of_outcome: Vector) -> Vector:
    result: Vector = -(of_outcome / (of_outcome @ weights)[:, None]).mean(axis=0)
    return result


def _descend(of_outcome: Vector, start: Vector) -> Vector:
    found = minimize(
        _loss,
        start,
        args=(of_outcome,),
        jac=_gradient,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(start),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": _TOLERANCE, "maxiter": 200},
    )
    weights = _normalised(np.clip(found.x, 0.0, None))
    return _normalised(np.where(weights < NEGLIGIBLE, 0.0, weights))


def _normalised(weights: Vector) -> Vector:
    result: Vector = weights / weights.sum()
    return result
