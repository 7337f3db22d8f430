"""How members become one probability: calibrate each, then a weighted soft vote."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Vector = NDArray[np.float64]

DEFAULT_WEIGHTS = {"catboost": 0.4, "xgboost": 0.3, "lightgbm": 0.2, "random_forest": 0.1}
"""Where the learned weights start, and the baseline that they are measured against."""


class Calibration(BaseModel):
    """A logistic map from a member's raw margin to a probability.

    Two parameters on the margin keep the calibrated member a sum of trees under one logistic link,
    which is what lets its probability be split into Shapley values.

    References: Platt (1999), Probabilistic outputs for support vector machines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float
    intercept: float

    def probability(self, margin: Vector) -> Vector:
        """Calibrated probabilities in (0, 1), float64 (n,), of margins (log-odds) of the same shape."""
        return sigmoid(self.slope * np.asarray(margin, dtype=np.float64) + self.intercept)


def sigmoid(z: Vector) -> Vector:
    """1 / (1 + exp(-z)), without overflow for |z| up to 700 and beyond."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def renormalised(weights: Mapping[str, float], answered: Iterable[str]) -> dict[str, float]:
    """The weights of the members that answered, scaled to sum to 1.

    Members that answered but weigh nothing share equally where no weighted member is left, so that
    one living member is always enough for an answer. Empty when nobody answered.
    """
    present = [name for name in weights if name in set(answered)]
    total = sum(weights[name] for name in present)
    if total <= 0.0:
        return {name: 1.0 / len(present) for name in present}
    return {name: weights[name] / total for name in present}


def combine(probabilities: Mapping[str, Vector], weights: Mapping[str, float]) -> Vector:
    """The soft vote: the weighted mean of the members' probabilities, (n,).

    Always summed in the order of `weights`, so that every path gets the same bits.
    """
    shares = renormalised(weights, probabilities)
    if not shares:
        raise ValueError("combine needs the probabilities of at least one member")
    total = np.zeros_like(next(iter(probabilities.values())), dtype=np.float64)
    for name, share in shares.items():
        total += share * probabilities[name]
    return total


def confidence(probabilities: Mapping[str, Vector], weights: Mapping[str, float]) -> Vector:
    """How far the members agree: 1 minus twice their weighted standard deviation, in [0, 1], (n,).

    Two halves of the vote that say 0 and 1 have a standard deviation of 0.5, the largest there is, and a
    confidence of 0; members that all say the same have 1, whatever they say.
    """
    shares = renormalised(weights, probabilities)
    mean = combine(probabilities, weights)
    variance = sum(
        (share * (probabilities[name] - mean) ** 2 for name, share in shares.items()), start=np.zeros_like(mean)
    )
    result: Vector = np.clip(1.0 - 2.0 * np.sqrt(variance), 0.0, 1.0)
    return result


def vote(probabilities: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """`combine` for one row and shares that sum to 1: the same bits without the cost of arrays."""
    total = 0.0
    for name, share in shares.items():
        total += share * probabilities[name]
    return total


def agreement(probabilities: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """`confidence` for one row and shares that sum to 1."""
    mean = vote(probabilities, shares)
    variance = sum(share * (probabilities[name] - mean) ** 2 for name, share in shares.items())
    return min(1.0, max(0.0, 1.0 - 2.0 * math.sqrt(variance)))
