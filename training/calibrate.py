"""From a member's raw margin to a probability that means what it says: two parameters, by maximum likelihood."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from common.ensemble import Calibration, Vector

MIN_SLOPE = 1e-3
"""A calibration never turns the order around: a member without information becomes a base rate instead."""


HALF_LIFE_DAYS = 7.0
"""The age at which a point counts half. The level of a shop wanders (carts that were bought: 33 % in August, 28 % in
September), so the last weeks say most about the next one."""

PRIOR_SD = 0.2
"""How far slope and intercept are expected from 1 and 0: boosters fit the loss itself, and a shop's level rarely moves
further in a month. Some hundred purchases outweigh it; a handful, which could say anything, does not."""

_FLAT = 1e-9


def fit_calibration(
    margin: Vector, y: NDArray[np.int8], weight: Vector | None = None, *, prior_sd: float = PRIOR_SD
) -> Calibration:
    """The most probable slope (positive) and intercept on margins (n,) in log-odds, given labels (n,).

    The labels are softened to (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keeps the slope finite where the
    margins separate the labels and is out of sight otherwise. Margins that are all the same become the base rate.

    Args:
        margin: of points that the member had not learned.
        y: whether they were bought.
        weight: how much each point counts (n,), 1 for as much as one point; all the same without.
        prior_sd: of the normal priors around slope 1 and intercept 0; infinite for the maximum of the likelihood.

    References: Platt (1999), Probabilistic outputs for support vector machines; Lin, Lin & Weng (2007), A note on
    Platt's probabilistic outputs for support vector machines.
    """
    counts = np.ones(len(y)) if weight is None else weight
    total = float(counts.sum())
    share = counts / total
    positives = float(counts[y > 0].sum())
    target = np.where(y > 0, (positives + 1.0) / (positives + 2.0), 1.0 / (total - positives + 2.0))
    rate = float(share @ target)
    # standardised margins make one step length right for every member
    centre = float(share @ margin)
    spread = float(np.sqrt(share @ (margin - centre) ** 2))
    if spread < _FLAT * max(1.0, abs(centre)):
        return Calibration(slope=1.0, intercept=float(np.log(rate / (1.0 - rate))) - centre)
    z = (margin - centre) / spread
    strength = 1.0 / (prior_sd**2 * total)

    def loss_and_gradient(theta: Vector) -> tuple[float, Vector]:
        logit = theta[0] * z + theta[1]
        residual = 0.5 * (1.0 + np.tanh(0.5 * logit)) - target
        loss = float(share @ (np.logaddexp(0.0, logit) - target * logit))
        slope = theta[0] / spread
        off_slope, off_intercept = slope - 1.0, theta[1] - slope * centre
        loss += 0.5 * strength * (off_slope**2 + off_intercept**2)
        by_slope = float(share @ (residual * z)) + strength * (off_slope - off_intercept * centre) / spread
        return loss, np.array([by_slope, float(share @ residual) + strength * off_intercept])

    start = np.array([spread, np.log(rate / (1.0 - rate))])
    bounds = [(MIN_SLOPE * spread, None), (None, None)]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    best = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    slope = float(best.x[0]) / spread
    return Calibration(slope=slope, intercept=float(best.x[1]) - slope * centre)


def calibrated_loss(margin: Vector, y: NDArray[np.int8]) -> float:
    """The log loss of margins (n,) once they are calibrated on these very labels (n,), in nats.

    What is left of a loss when level and spread, which calibration sets, are taken out of it: on a shop whose level
    changes from week to week the plain loss mostly measures that change, and stops boosting long before it is done.
    """
    p = fit_calibration(margin, y, prior_sd=math.inf).probability(margin)
    return float(-np.mean(np.log(np.where(y > 0, p, 1.0 - p))))
