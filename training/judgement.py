"""Who is judged beside the ensemble: its members, the default weights, the base rates, and the truth if it is known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.ensemble import DEFAULT_WEIGHTS, Vector, combine
from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE, SLICES, TRUTH, Points
from training.example_store import Rows
from training.examples import Examples
from training.threshold import best_f1_threshold
from training.truth import true_probabilities

EVERYTHING = slice(None)


def points_of(examples: Examples, rows: Rows = EVERYTHING) -> Points:
    """Some examples as what candidates are judged by."""
    return Points(examples.y[rows], examples.kind[rows], examples.user[rows])


def candidates_of(
    examples: Examples,
    rows: slice,
    of_members: Mapping[str, Vector],
    *,
    weights: Mapping[str, float],
    rates: Mapping[str, float],
    truth: Path | None,
) -> dict[str, Vector]:
    """The probabilities (m,) of everything that is judged on some examples, by name.

    Args:
        examples: where the rows are from.
        rows: which examples are judged, m of them.
        of_members: each member's probabilities (m,).
        weights: of the ensemble.
        rates: the base rates by name of kind.
        truth: a file of true probabilities, if there is one.
    """
    candidates: dict[str, Vector] = {name: of_members[name] for name in weights}
    candidates[ENSEMBLE] = combine(of_members, weights)
    candidates[DEFAULT_VOTE] = combine(of_members, {name: DEFAULT_WEIGHTS[name] for name in weights})
    by_kind = np.array([rates[name] for name, value in SLICES.items() if value is not None])
    candidates[BASE_RATE] = by_kind[examples.kind[rows]]
    if truth is not None:
        candidates[TRUTH] = true_probabilities(truth, examples, rows)
    return candidates


def balanced_thresholds(held_out: Points, p: Vector) -> dict[str, float]:
    """The threshold of the best F1 at 1:1 in each slice; 0.5 where a slice has one outcome alone."""
    found = {}
    for name in SLICES:
        rows = held_out.rows(name)
        y = held_out.y[rows]
        one_outcome = not len(y) or y.min() == y.max()
        found[name] = 0.5 if one_outcome else best_f1_threshold(y, p[rows], balanced=True)
    return found
