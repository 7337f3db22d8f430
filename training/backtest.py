"""What the recipe would have said of each part of the log at the time: fits on everything before it.

    fit |  tune
    fit    tune |  calibrate
    fit    tune    calibrate |  test
    fit    tune    calibrate    test |       the members that are served; nothing known can judge them

Every opinion is out of time: no fit has seen the part it speaks about, or a label that reaches into it. So the first
two parts can choose parameters and rounds and calibrate what is judged by the last one, and all three what is served.

References: Tashman (2000), Out-of-sample tests of forecasting accuracy (rolling origins).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.members import MAX_ROUNDS, adapter
from common.members.random_forest_member import TREES
from training.examples import Examples
from training.fits import FOREST, Fit, FittedMember, Opinion, members_of, opinions_of
from training.folds import FoldSource
from training.found import DONE, Found
from training.recency import recency_weights
from training.split import PARTS, Split

SAMPLE_ROWS = 4_096
"""Rows, evenly spread over the log, from which a bundle's background, reference, probe and importance are taken."""

MORE_ROUNDS = 3

CHOSEN_BY, UNSEEN, LAST = PARTS[1:-1], PARTS[-2], PARTS[-1]
"""Rounds and the vote that are judged are chosen by the parts before the last; candidates by the one of these that
their search did not compare by."""

FLAT = 1e-4
"""Mean log losses that differ by less are as good as each other; of such, the fewest rounds are the fastest."""


@dataclass(frozen=True)
class Candidate:
    """Parameters that a member may be made by, and the most rounds it may have with them."""

    params: Mapping[str, Any]
    max_rounds: int


@dataclass(frozen=True)
class Recipe:
    """How members are made: the candidates of each kind, and how fast examples lose weight with age.

    A search compares by one stretch of time, and its best of many is partly luck. So what it found must win again, on
    a second stretch that it has not seen: of two candidates that are about as good there the first one is taken.
    """

    candidates: Mapping[str, Sequence[Candidate]]
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
    """The opinions of each member on each part after the first, after any of the rounds that were tried.

    `chosen` is the candidate of each kind that these are of.
    """

    rows: Mapping[str, slice]
    opinions: Mapping[str, Mapping[str, Opinion]]
    chosen: Mapping[str, Candidate]

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
        return _mean_losses([self.opinions[part][kind] for part in parts])


def candidates_of(found: Found, *, latency_budget_ms: float | None) -> dict[str, list[Candidate]]:
    """The candidates of each kind: its defaults, and what a search found.

    The most rounds are three times those at which the trial stopped: it stopped by one stretch of time, and more
    examples than it had carry more rounds. A trial that did not come to its end says nothing about them. Within a
    latency budget there is only what was measured, and no more of it.
    """
    candidates = {}
    for kind, params in found.params.items():
        defaults = dict(adapter(kind).DEFAULTS)
        wanted = [defaults, params] if _may_be_served(found, kind, defaults, latency_budget_ms) else [params]
        unlike = [one for number, one in enumerate(wanted) if one not in wanted[:number]]
        grown = latency_budget_ms is None
        candidates[kind] = [Candidate(one, _most_rounds(found, kind, one, grown=grown)) for one in unlike]
    return candidates


def _may_be_served(found: Found, kind: str, params: Mapping[str, Any], latency_budget_ms: float | None) -> bool:
    """Whether a member of these parameters keeps within the budget, as far as one was measured."""
    if latency_budget_ms is None:
        return True
    measured = [trial.slowest_ms for trial in found.trials if (trial.kind, trial.params) == (kind, params)]
    return any(slowest is not None and slowest <= latency_budget_ms for slowest in measured)


def _most_rounds(found: Found, kind: str, params: Mapping[str, Any], *, grown: bool) -> int:
    if kind == FOREST:
        return TREES
    peers = [trial for trial in found.trials if (trial.kind, trial.params, trial.status) == (kind, params, DONE)]
    if not peers:
        return MAX_ROUNDS
    rounds = min(peers, key=lambda trial: (trial.log_loss, trial.number)).rounds
    return min(MAX_ROUNDS, MORE_ROUNDS * rounds) if grown else rounds


def search_rows(examples: Examples, split: Split, *, half_life_days: float | None) -> FoldSource:
    """What a search learns from and compares by."""
    return _rows_of(examples, split, "tune", half_life_days)


def fits_of(recipe: Recipe) -> int:
    """How many fits a backtest makes."""
    return len(CHOSEN_BY) * sum(map(len, recipe.candidates.values())) + len(recipe.candidates)


def backtest(examples: Examples, split: Split, recipe: Recipe, *, on_done: Callable[[int], None]) -> Backtest:
    """The opinions of all members on the parts after the first.

    Args:
        examples: of the whole log.
        split: its parts.
        recipe: how members are made; its candidates are compared on the part before the last.
        on_done: told how many of `fits_of(recipe)` are done.
    """
    rivals = [(kind, candidate) for kind, of_kind in recipe.candidates.items() for candidate in of_kind]
    # the longest fits first, so that no CPU is left with one at the end
    fits = [fit for part in reversed(CHOSEN_BY) for fit in _fits(examples, split, recipe, part, rivals)]
    said = iter(opinions_of(fits, on_done=on_done))
    by_part = {part: [next(said) for _ in rivals] for part in reversed(CHOSEN_BY)}
    best: dict[str, tuple[float, int]] = {}
    for number, (kind, _) in enumerate(rivals):
        rounds = _fewest(_mean_losses([by_part[part][number] for part in CHOSEN_BY]))
        loss = by_part[UNSEEN][number].losses[rounds]
        if kind not in best or loss < best[kind][0] - FLAT:
            best[kind] = (loss, number)
    chosen = {kind: rivals[number][1] for kind, (_, number) in best.items()}
    opinions = {part: {kind: by_part[part][number] for kind, (_, number) in best.items()} for part in CHOSEN_BY}
    last = _fits(examples, split, recipe, LAST, list(chosen.items()))
    told = opinions_of(last, on_done=lambda done: on_done(len(fits) + done))
    opinions[LAST] = dict(zip(chosen, told, strict=True))
    return Backtest({part: split.rows[part] for part in opinions}, opinions, chosen)


def final_members(
    examples: Examples, recipe: Recipe, tested: Backtest, *, on_done: Callable[[int], None]
) -> tuple[dict[str, FittedMember], NDArray[np.int64]]:
    """The members that are served, fitted on every example; and the sample of rows that their margins are of."""
    n = len(examples)
    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE_ROWS)).astype(np.int64))
    now_us = int(examples.as_of_us[-1])
    weight = recency_weights(examples.as_of_us, now_us=now_us, half_life_days=recipe.half_life_days)
    rows = examples.fold(slice(0, n), sample, weight)
    rounds = tested.best_rounds(PARTS[1:])
    fits = [Fit(kind, tested.chosen[kind].params, rows, recipe.seed, count) for kind, count in rounds.items()]
    return {member.kind: member for member in members_of(fits, on_done=on_done)}, sample


def _mean_losses(opinions: Sequence[Opinion]) -> dict[int, float]:
    """The mean loss over some parts, by rounds."""
    return {rounds: float(np.mean([said.losses[rounds] for said in opinions])) for rounds in opinions[0].losses}


def _fewest(losses: Mapping[int, float]) -> int:
    best = min(losses.values())
    return min(rounds for rounds, loss in losses.items() if loss <= best + FLAT)


def _fits(
    examples: Examples, split: Split, recipe: Recipe, part: str, members: Sequence[tuple[str, Candidate]]
) -> list[Fit]:
    rows = _rows_of(examples, split, part, recipe.half_life_days)
    return [Fit(kind, candidate.params, rows, recipe.seed, candidate.max_rounds) for kind, candidate in members]


def _rows_of(examples: Examples, split: Split, part: str, half_life_days: float | None) -> FoldSource:
    before = split.before(part)
    now_us = split.span_us[part][0]
    weight = recency_weights(examples.as_of_us[before], now_us=now_us, half_life_days=half_life_days)
    return examples.fold(before, split.rows[part], weight)
