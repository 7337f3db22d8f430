"""The weight of each member's vote: what the default weights become where the rows tell them otherwise.

Members agree so much that the log loss is nearly flat in the weights, and its lowest point on some thousand rows is
partly chance: on the real shop's log, which drifts, the default was better on the following week in 7 of 8 windows; on
a simulated one the optimum was, in 6 of 8. So the weights move from the default towards the optimum only as far as
the difference shows. Points of one user are no independent witnesses: on the real log that makes the error of the
difference about twice as large as if they were.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from common.ensemble import DEFAULT_WEIGHTS, Vector

NEGLIGIBLE = 1e-4
"""Weights below this become 0: they cost a fan-out and change no answer."""

STEPS = 20
"""Places that are tried between the default and the optimum."""

TIE = 1e-5
"""Losses that differ by less are equal to anyone who uses them, and fewer members are faster and simpler to serve."""

LEAST = 1e-12
"""No outcome was given less: the logarithm of nothing would decide alone."""

_TOLERANCE = 1e-12


def learn_weights(
    probabilities: Mapping[str, Vector], y: NDArray[np.int8], user: NDArray[np.int32]
) -> dict[str, float]:
    """Weights on the simplex for calibrated probabilities (n,) of labels (n,) of users (n,).

    They lie between `DEFAULT_WEIGHTS` and the optimum, as near to the default as their loss is within one standard
    error of the optimum's; then members that nobody would miss are left out (see `TIE`). On these rows they are never
    worse than the default or any single member, but for `TIE`.

    References: Wolpert (1992), Stacked generalization; Breiman (1996), Stacked regressions (weights >= 0); Breiman,
    Friedman, Olshen & Stone (1984), Classification and regression trees (the one standard error rule).
    """
    names = list(probabilities)
    given = [np.where(y > 0, probabilities[name], 1.0 - probabilities[name]) for name in names]
    of_outcome = np.clip(np.column_stack(given), LEAST, 1.0)
    start = _normalised(np.array([DEFAULT_WEIGHTS.get(name, 0.1) for name in names]))
    members = np.eye(len(names))
    best = min([start, *members, *_descend(of_outcome, start)], key=lambda weights: _loss(weights, of_outcome))
    bound = min(_loss(weights, of_outcome) for weights in [start, *members])
    between = (start + step / STEPS * (best - start) for step in range(STEPS))
    chosen = next(
        (w for w in between if _loss(w, of_outcome) <= bound and _as_good(w, best, of_outcome, user)),
        best,
    )
    return dict(zip(names, map(float, _without_idle(chosen, of_outcome)), strict=True))


def _without_idle(weights: Vector, of_outcome: Vector) -> Vector:
    """The weights without members that change the loss by less than `TIE`, all of them together."""
    loss = _loss(weights, of_outcome)
    for member in np.argsort(weights, kind="stable")[:-1]:
        fewer = weights.copy()
        fewer[member] = 0.0
        fewer = _normalised(fewer)
        if abs(_loss(fewer, of_outcome) - loss) < TIE:
            weights = fewer
    return weights


def _as_good(weights: Vector, best: Vector, of_outcome: Vector, user: NDArray[np.int32]) -> bool:
    """Whether the mean loss is within one standard error, users being drawn, of its paired difference to the best."""
    excess = np.log(of_outcome @ best) - np.log(of_outcome @ weights)
    mean = float(excess.mean())
    _, of_user = np.unique(user, return_inverse=True)
    per_user = np.bincount(of_user, excess - mean)
    return bool(mean <= np.sqrt(np.sum(per_user**2)) / len(excess))


def _loss(weights: Vector, of_outcome: Vector) -> float:
    """The mean log loss: weights sum to 1, so the mix of what was given to the outcomes is what the mix gave."""
    return float(-np.mean(np.log(of_outcome @ weights)))


def _gradient(weights: Vector, of_outcome: Vector) -> Vector:
    result: Vector = -(of_outcome / (of_outcome @ weights)[:, None]).mean(axis=0)
    return result


def _descend(of_outcome: Vector, start: Vector) -> list[Vector]:
    """Where the descent from `start` ends; nothing where it loses its way."""
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
    if not np.isfinite(found.x).all() or not np.any(found.x > 0.0):
        return []
    weights = _normalised(np.clip(found.x, 0.0, None))
    return [_normalised(np.where(weights < NEGLIGIBLE, 0.0, weights))]


def _normalised(weights: Vector) -> Vector:
    result: Vector = weights / weights.sum()
    return result
