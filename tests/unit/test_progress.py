"""What is said of a search's progress, above all how long it will still take."""

import io
import math

import pytest
from rich.console import Console

from training import progress as module
from training.progress import Progress, Standing


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lines_of(clock: Clock, *, budget_s: float = math.inf, before: int = 0) -> list[str]:
    """A search of ten trials of one kind, of which two end, after 10 s each."""
    shown = io.StringIO()
    progress = Progress(Console(file=shown, width=200))
    with progress.searching(["xgboost"], 10, left_s=lambda: budget_s - clock.now_s):
        for ended in (1, 2):
            clock.now_s += 10.0
            progress.trial_ended("xgboost", [Standing("xgboost", before + ended, 0.3 / ended)])
    return shown.getvalue().splitlines()


def test_each_trial_that_is_over_is_a_line_with_the_best_so_far_and_the_time_left(clock):
    first, second = lines_of(clock)
    assert "trial 1/10: xgboost 1/10, best log loss 0.30000, about 90 s left" in first
    assert "trial 2/10: xgboost 2/10, best log loss 0.15000, about 80 s left" in second


def test_a_time_budget_that_ends_earlier_is_what_is_left(clock):
    _, second = lines_of(clock, budget_s=50.0)
    assert "at most 30 s left, when the time budget ends" in second


def test_a_time_budget_that_ends_later_is_not_what_is_left(clock):
    _, second = lines_of(clock, budget_s=500.0)
    assert "about 80 s left" in second


def test_trials_of_an_earlier_sitting_do_not_make_this_one_look_fast(clock):
    _, second = lines_of(clock, before=6)
    assert "trial 8/10" in second
    assert "about 20 s left" in second


def test_a_kind_whose_trials_are_all_too_slow_has_no_best(clock):
    shown = io.StringIO()
    progress = Progress(Console(file=shown, width=200))
    with progress.searching(["xgboost"], 2):
        progress.trial_ended("xgboost", [Standing("xgboost", 1, math.inf)])
    assert "none that may win yet" in shown.getvalue()
