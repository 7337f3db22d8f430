"""How good each member, the ensemble and what they are measured against are, per slice of the decision points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.quality import (
    HIGHER_IS_BETTER,
    Judged,
    UserResamples,
    distribution,
    interval,
    interval_around,
    paired_difference,
)

ENSEMBLE = "ensemble"
DEFAULT_VOTE = "default_weights"
BASE_RATE = "base_rate"
TRUTH = "truth"

SLICES: dict[str, int | None] = {"view": 0, "cart": 1, "all": None}
"""The first view of a product in a session, its first addition to the cart, and both."""

DRAWS = 200


@dataclass(frozen=True)
class Points:
    """Outcomes of decision points and what groups them: `y`, `kind` int8 (n,), `user` (n,)."""

    y: NDArray[np.int8]
    kind: NDArray[np.int8]
    user: NDArray[Any]

    def rows(self, name: str) -> NDArray[np.bool_]:
        """The rows of a slice, a mask (n,)."""
        wanted = SLICES[name]
        return np.ones(len(self.y), dtype=bool) if wanted is None else self.kind == wanted


def evaluate(
    points: Points, probabilities: Mapping[str, Vector], *, threshold: float, balanced_thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """Figures of every candidate in every slice; those of the ensemble with 95 % intervals.

    Intervals and differences resample users. `differences` are the ensemble's figure minus the candidate's, paired.
    A figure that a slice cannot give is None.

    Args:
        points: what the candidates are judged by.
        probabilities: of each candidate (n,), among them `ENSEMBLE`.
        threshold: the ensemble's, for accuracy.
        balanced_thresholds: for each slice, the ensemble's for F1 at 1:1.
    """
    resamples = UserResamples(points.user, draws=DRAWS)
    result: dict[str, Any] = {}
    for name in SLICES:
        rows = points.rows(name)
        y = points.y[rows]
        judged = {candidate: Judged(y, p[rows]) for candidate, p in probabilities.items()}
        weights = resamples.weights(rows)
        drawn = {candidate: distribution(of_candidate, weights) for candidate, of_candidate in judged.items()}
        ensemble = judged[ENSEMBLE]
        cut = balanced_thresholds[name]
        result[name] = {
            "rows": len(y),
            "positives": int(y.sum()),
            "quality": {candidate: _clean(j.quality().as_dict()) for candidate, j in judged.items()},
            "intervals": _intervals(ensemble, drawn[ENSEMBLE]),
            "differences": {
                candidate: {
                    metric: _pair(paired_difference(drawn[ENSEMBLE], of_candidate, metric))
                    for metric in HIGHER_IS_BETTER
                }
                for candidate, of_candidate in drawn.items()
                if candidate != ENSEMBLE
            },
            "accuracy": _number(ensemble.accuracy(threshold)),
            "balanced_f1": _number(ensemble.balanced_f1(cut)),
            "balanced_f1_interval": _pair(interval(np.array([ensemble.balanced_f1(cut, w) for w in weights]))),
        }
    return result


def base_rates(kind: NDArray[np.int8], y: NDArray[np.int8]) -> dict[str, float]:
    """The share of purchases after views and after carts; over both, where one does not occur."""
    return {
        name: float((y[kind == value] if np.any(kind == value) else y).mean())
        for name, value in SLICES.items()
        if value is not None
    }


def _intervals(judged: Judged, drawn: Mapping[str, Vector]) -> dict[str, list[float | None]]:
    bounds = {metric: interval(values) for metric, values in drawn.items()}
    bounds["ece"] = interval_around(judged.quality().ece, drawn["ece"])
    return {metric: _pair(pair) for metric, pair in bounds.items()}


def _clean(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in figures.items()}


def _pair(bounds: tuple[float, float]) -> list[float | None]:
    return [_number(bound) for bound in bounds]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
