"""What a search's trials say of themselves: in order, the best, and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.found import TrialRecord
from training.reporting.figure import COLOURS
from training.reporting.wording import compact

SYMBOLS = {"done": "circle", "pruned": "circle-open", "over_budget": "x", "unfinished": "circle-open-dot"}
STATUS = {"done": "done", "pruned": "pruned: lost early", "over_budget": "too slow to serve", "unfinished": "stopped"}


def by_kind(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The trials of each kind in the order in which they began."""
    found: dict[str, list[TrialRecord]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if np.isfinite(trial.log_loss):
            found.setdefault(trial.kind, []).append(trial)
    return {kind: found[kind] for kind in COLOURS if kind in found}


def best_trial(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The one whose parameters won: of the trials that were done, the lowest log loss."""
    done = [trial for trial in trials if trial.status == "done"]
    return min(done, key=lambda trial: trial.log_loss) if done else None


def loss_range(losses: Sequence[float]) -> tuple[float, float]:
    """The log losses worth showing: from the best to where bad trials begin."""
    low, middle, high = np.quantile([loss for loss in losses if np.isfinite(loss)], [0.0, 0.5, 0.9])
    top = max(min(high, low + 4.0 * (middle - low)), low + 1e-4)
    return low - 0.06 * (top - low), top + 0.06 * (top - low)


def in_words(trial: TrialRecord) -> str:
    """A trial for whoever points at it."""
    params = "<br>".join(f"{name} = {compact(value)}" for name, value in numeric(trial.params).items())
    status = STATUS.get(trial.status, trial.status)
    return f"trial {trial.number}, {status}<br>log loss {trial.log_loss:.5f}, {trial.rounds} rounds<br>{params}"


def numeric(params: Mapping[str, Any]) -> dict[str, float]:
    """The parameters that have a place on an axis."""
    return {name: value for name, value in params.items() if isinstance(value, int | float)}
