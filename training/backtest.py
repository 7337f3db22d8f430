"""What the recipe would have said of each part of the log at the time: fits on everything before it.

    fit |  tune      rounds are found here, by early stopping
    fit    tune |  calibrate
    fit    tune    calibrate |  test
    fit    tune    calibrate    test |       the members that are served; nothing known can judge them

Every opinion is out of time: no fit has seen the part it speaks about, or a label that reaches into it. So the first
two parts can calibrate what is judged by the last one, and all three can calibrate what is served.

References: Tashman (2000), Out-of-sample tests of forecasting accuracy (rolling origins).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from training.examples import Examples
from training.fits import Fit, FittedMember, members_of, opinions_of
from training.folds import FoldSource
from training.recency import recency_weights
from training.split import PARTS, Split

SAMPLE_ROWS = 4_096
"""Rows, evenly spread over the log, from which a bundle's background, reference, probe and importance are taken."""


@dataclass(frozen=True)
class Recipe:
    """How each member is made: its parameters, its rounds, and how fast examples lose weight with age."""

    params: Mapping[str, Mapping[str, Any]]
    half_life_days: float | None
    seed: int


@dataclass(frozen=True)
class OutOfTime:
    """Margins of each member for rows that it had not learned.

    `rows` (m,) of the examples, ascending, the parts tune, calibrate and test · `margins` float64 (m,) by member.
    """

    rows: NDArray[np.int64]
    margins: dict[str, Vector]

    def between(self, first: int, past: int) -> "OutOfTime":
        """The rows of the examples from `first` up to and without `past`."""
        low, high = np.searchsorted(self.rows, [first, past])
        return OutOfTime(self.rows[low:high], {name: margin[low:high] for name, margin in self.margins.items()})


def search_rows(examples: Examples, split: Split, *, half_life_days: float | None) -> FoldSource:
    """What a search learns from and compares by."""
    return _rows_of(examples, split, "tune", half_life_days)


def backtest(
    examples: Examples, split: Split, recipe: Recipe, *, on_done: Callable[[int], None]
) -> tuple[OutOfTime, dict[str, int]]:
    """The opinions of all members on the parts after the first, and the rounds of each.

    Args:
        examples: of the whole log.
        split: its parts.
        recipe: how members are made.
        on_done: told how many of `len(recipe.params) * 3` fits are done.
    """
    kinds = list(recipe.params)
    first = opinions_of(_fits(examples, split, recipe, "tune"), on_done=on_done)
    rounds = {kind: opinion.rounds for kind, opinion in zip(kinds, first, strict=True)}
    later = [fit for part in PARTS[2:] for fit in _fits(examples, split, recipe, part, rounds)]
    rest = opinions_of(later, on_done=lambda done: on_done(len(first) + done))
    by_part = [first, *(rest[at : at + len(kinds)] for at in range(0, len(rest), len(kinds)))]
    rows = np.concatenate([np.arange(len(examples))[split.rows[part]] for part in PARTS[1:]])
    margins = {
        kind: np.concatenate([opinions[number].margins for opinions in by_part]) for number, kind in enumerate(kinds)
    }
    return OutOfTime(rows, margins), rounds


def final_members(
    examples: Examples, recipe: Recipe, rounds: Mapping[str, int], *, on_done: Callable[[int], None]
) -> tuple[dict[str, FittedMember], NDArray[np.int64]]:
    """The members that are served, fitted on every example; and the sample of rows that their margins are of."""
    n = len(examples)
    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE_ROWS)).astype(np.int64))
    now_us = int(examples.as_of_us[-1])
    weight = recency_weights(examples.as_of_us, now_us=now_us, half_life_days=recipe.half_life_days)
    rows = examples.fold(slice(0, n), sample, weight)
    fits = [Fit(kind, params, rows, recipe.seed, rounds[kind]) for kind, params in recipe.params.items()]
    return {member.kind: member for member in members_of(fits, on_done=on_done)}, sample


def _fits(
    examples: Examples, split: Split, recipe: Recipe, part: str, rounds: Mapping[str, int] | None = None
) -> list[Fit]:
    rows = _rows_of(examples, split, part, recipe.half_life_days)
    return [
        Fit(kind, params, rows, recipe.seed, None if rounds is None else rounds[kind])
        for kind, params in recipe.params.items()
    ]


def _rows_of(examples: Examples, split: Split, part: str, half_life_days: float | None) -> FoldSource:
    before = split.before(part)
    now_us = split.span_us[part][0]
    weight = recency_weights(examples.as_of_us[before], now_us=now_us, half_life_days=half_life_days)
    return examples.fold(before, split.rows[part], weight)
