"""What the recipe would have said of each part of the log at the time: fits on everything before it.

    fit |  tune
    fit    tune |  calibrate
    fit    tune    calibrate |  test
    fit    tune    calibrate    test |       the members that are served; nothing known can judge them

Every opinion is out of time: no fit has seen the part it speaks about, or a label that reaches into it. So the first
two parts can choose the rounds and calibrate what is judged by the last one, and all three what is served.

References: Tashman (2000), Out-of-sample tests of forecasting accuracy (rolling origins).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.members import MAX_ROUNDS
from training.examples import Examples
from training.fits import FOREST, Fit, FittedMember, Opinion, members_of, opinions_of
from training.folds import FoldSource
from training.found import Found
from training.recency import recency_weights
from training.split import PARTS, Split

SAMPLE_ROWS = 4_096
"""Rows, evenly spread over the log, from which a bundle's background, reference, probe and importance are taken."""

MORE_ROUNDS = 3

FLAT = 1e-4
"""Mean log losses that differ by less are as good as each other; of such, the fewest rounds are the fastest."""


@dataclass(frozen=True)
class Recipe:
    """How each member is made: its parameters, its most rounds, and how fast examples lose weight with age."""

    params: Mapping[str, Mapping[str, Any]]
    max_rounds: Mapping[str, int]
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


@dataclass(frozen=True)
class Backtest:
    """The opinions of each member on each part after the first, after any of the rounds that were tried."""

    rows: Mapping[str, slice]
    opinions: Mapping[str, Mapping[str, Opinion]]

    def best_rounds(self, parts: Sequence[str]) -> dict[str, int]:
        """The rounds of each member with the lowest mean loss on some parts; the fewest that are about as good."""
        return {kind: _fewest(self._losses(kind, parts)) for kind in self.opinions[parts[0]]}

    def after(self, rounds: Mapping[str, int]) -> OutOfTime:
        """All opinions after so many rounds of each member."""
        rows = np.concatenate([np.arange(part.start, part.stop) for part in self.rows.values()])
        margins = {
            kind: np.concatenate([self.opinions[part][kind].after(count) for part in self.rows])
            for kind, count in rounds.items()
        }
        return OutOfTime(rows, margins)

    def _losses(self, kind: str, parts: Sequence[str]) -> dict[int, float]:
        by_part = [self.opinions[part][kind].losses for part in parts]
        return {rounds: float(np.mean([losses[rounds] for losses in by_part])) for rounds in by_part[0]}


def most_rounds(found: Found, *, latency_budget_ms: float | None) -> dict[str, int]:
    """The most rounds that each kind may have: three times those at which its best trial stopped.

    A trial stops early by one stretch of time, and more examples than it had carry more rounds. Within a latency
    budget it is what was measured, and no more.
    """
    most = {}
    for kind, params in found.params.items():
        peers = [trial for trial in found.trials if trial.kind == kind and trial.params == params]
        rounds = min(peers, key=lambda trial: (trial.log_loss, trial.number)).rounds if peers else MAX_ROUNDS
        grown = kind != FOREST and latency_budget_ms is None
        most[kind] = min(MAX_ROUNDS, MORE_ROUNDS * rounds) if grown else rounds
    return most


def search_rows(examples: Examples, split: Split, *, half_life_days: float | None) -> FoldSource:
    """What a search learns from and compares by."""
    return _rows_of(examples, split, "tune", half_life_days)


def backtest(examples: Examples, split: Split, recipe: Recipe, *, on_done: Callable[[int], None]) -> Backtest:
    """The opinions of all members on the parts after the first.

    Args:
        examples: of the whole log.
        split: its parts.
        recipe: how members are made.
        on_done: told how many of `len(recipe.params) * 3` fits are done.
    """
    kinds = list(recipe.params)
    spoken = PARTS[1:]
    rows = {part: _rows_of(examples, split, part, recipe.half_life_days) for part in spoken}
    # the longest fits first, so that no CPU is left with one at the end
    fits = [
        Fit(kind, recipe.params[kind], rows[part], recipe.seed, recipe.max_rounds[kind])
        for part in reversed(spoken)
        for kind in kinds
    ]
    said = iter(opinions_of(fits, on_done=on_done))
    opinions = {part: {kind: next(said) for kind in kinds} for part in reversed(spoken)}
    return Backtest({part: split.rows[part] for part in spoken}, opinions)


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


def _fewest(losses: Mapping[int, float]) -> int:
    best = min(losses.values())
    return min(rounds for rounds, loss in losses.items() if loss <= best + FLAT)


def _rows_of(examples: Examples, split: Split, part: str, half_life_days: float | None) -> FoldSource:
    before = split.before(part)
    now_us = split.span_us[part][0]
    weight = recency_weights(examples.as_of_us[before], now_us=now_us, half_life_days=half_life_days)
    return examples.fold(before, split.rows[part], weight)
