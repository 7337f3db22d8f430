"""How good each member, the ensemble and what they are measured against are, per slice of the decision points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.quality import (
    BALANCED_F1,
    HIGHER_IS_BETTER,
    Judged,
    UserResamples,
    distributions,
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

MOST_DRAWS, FEWEST_DRAWS, DRAWN_ROWS = 1_000, 200, 50_000_000
"""An end of an interval is known to 5 % of its width from 1,000 draws and to 11 % from 200. A draw of a million points
costs 15 ms for each candidate, so that many points, whose intervals are narrow, are drawn less often."""


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
    points: Points,
    probabilities: Mapping[str, Vector],
    *,
    threshold: float,
    balanced_thresholds: Mapping[str, float],
    of_candidates: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Figures of every candidate in every slice; those of the ensemble with 95 % intervals.

    Intervals and differences resample users. `differences` are the ensemble's figure minus the candidate's, paired.
    A figure that a slice cannot give is None. `ece_by_chance` is what perfect probabilities would show: expected, and
    hardly exceeded.

    Args:
        points: what the candidates are judged by.
        probabilities: of each candidate (n,), among them `ENSEMBLE`.
        threshold: the ensemble's, for accuracy.
        balanced_thresholds: for each slice, the ensemble's for F1 at 1:1.
        of_candidates: the same of other candidates, of those whose F1 is wanted.
    """
    resamples = UserResamples(points.user, draws=draws_for(len(points.y)))
    cuts = {**(of_candidates or {}), ENSEMBLE: balanced_thresholds}
    return {
        name: _slice(points, name, probabilities, resamples, threshold, {who: of[name] for who, of in cuts.items()})
        for name in SLICES
    }


def draws_for(rows: int) -> int:
    """How often users are drawn where so many rows are judged."""
    return min(MOST_DRAWS, max(FEWEST_DRAWS, DRAWN_ROWS // max(1, rows)))


def _slice(
    points: Points,
    name: str,
    probabilities: Mapping[str, Vector],
    resamples: UserResamples,
    threshold: float,
    cuts: Mapping[str, float],
) -> dict[str, Any]:
    rows = points.rows(name)
    y = points.y[rows]
    judged = {candidate: Judged(y, p[rows]) for candidate, p in probabilities.items()}
    drawn = distributions(judged, resamples, rows, cuts=cuts)
    f1 = {candidate: of.balanced_f1(cuts[candidate]) for candidate, of in judged.items() if candidate in cuts}
    ensemble, ours = judged[ENSEMBLE], drawn[ENSEMBLE]
    return {
        "rows": len(y),
        "positives": int(y.sum()),
        "quality": {candidate: _clean(of.quality().as_dict()) for candidate, of in judged.items()},
        "intervals": _intervals(ensemble, ours),
        "ece_by_chance": _pair(ensemble.ece_by_chance(points.user[rows])),
        "differences": {
            candidate: {metric: _pair(paired_difference(ours, theirs, metric)) for metric in theirs}
            for candidate, theirs in drawn.items()
            if candidate != ENSEMBLE
        },
        "accuracy": _number(ensemble.accuracy(threshold)),
        "balanced_f1": _number(f1[ENSEMBLE]),
        "balanced_f1_interval": _pair(interval(ours[BALANCED_F1])),
        "balanced_f1_of": _clean(f1),
        "draws": resamples.draws,
    }


def base_rates(kind: NDArray[np.int8], y: NDArray[np.int8]) -> dict[str, float]:
    """The share of purchases after views and after carts; over both, where one does not occur."""
    return {
        name: float((y[kind == value] if np.any(kind == value) else y).mean())
        for name, value in SLICES.items()
        if value is not None
    }


def _intervals(judged: Judged, drawn: Mapping[str, Vector]) -> dict[str, list[float | None]]:
    bounds = {metric: interval(drawn[metric]) for metric in HIGHER_IS_BETTER}
    bounds["ece"] = interval_around(judged.quality().ece, drawn["ece"])
    return {metric: _pair(pair) for metric, pair in bounds.items()}


def _clean(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in figures.items()}


def _pair(bounds: tuple[float, float]) -> list[float | None]:
    return [_number(bound) for bound in bounds]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
