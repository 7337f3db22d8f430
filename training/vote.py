"""How members become one probability, learned from opinions that they gave without knowing the outcome."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Calibration, Vector, combine
from training.backtest import OutOfTime
from training.calibrate import HALF_LIFE_DAYS, fit_calibration
from training.recency import recency_weights
from training.threshold import best_f1_threshold
from training.weights import learn_weights


@dataclass(frozen=True)
class Vote:
    """The calibration and weight of each member, and the probability from which a purchase is expected."""

    calibrations: Mapping[str, Calibration]
    weights: Mapping[str, float]
    threshold: float

    def members(self, margins: Mapping[str, Vector]) -> dict[str, Vector]:
        """The calibrated probabilities (n,) of each member, of its margins (n,)."""
        return {name: self.calibrations[name].probability(margins[name]) for name in self.weights}

    def probability(self, margins: Mapping[str, Vector]) -> Vector:
        """The vote (n,) of margins (n,)."""
        return combine(self.members(margins), self.weights)


def learn_vote(opinions: OutOfTime, y: NDArray[np.int8], as_of_us: NDArray[np.int64], user: NDArray[np.int32]) -> Vote:
    """The vote that these opinions ask for, as seen when the newest of them was said.

    Args:
        opinions: of m rows.
        y: the labels of all examples (n,).
        as_of_us: the times of all examples (n,).
        user: the users of all examples (n,).
    """
    rows = opinions.rows
    outcome, times_us = y[rows], as_of_us[rows]
    recent = recency_weights(times_us, now_us=int(times_us[-1]), half_life_days=HALF_LIFE_DAYS)
    calibrations = {name: fit_calibration(margin, outcome, recent) for name, margin in opinions.margins.items()}
    probabilities = {name: calibrations[name].probability(margin) for name, margin in opinions.margins.items()}
    weights = learn_weights(probabilities, outcome, user[rows])
    return Vote(calibrations, weights, best_f1_threshold(outcome, combine(probabilities, weights)))
