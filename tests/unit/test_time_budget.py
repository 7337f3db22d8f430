"""The time of a search over several sittings."""

from pathlib import Path

import pytest

from training import time_budget
from training.time_budget import OutOfTime, TimeBudget


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time_budget, "time", clock)
    return clock


def spend(directory: Path, budget_s: float, seconds: float, clock: Clock) -> float:
    budget = TimeBudget(directory, budget_s)
    with budget.running():
        clock.now_s += seconds
        return budget.left_s()


def test_what_was_spent_before_counts(tmp_path, clock):
    assert spend(tmp_path, 60.0, 25.0, clock) == pytest.approx(35.0)
    clock.now_s += 1_000.0
    assert spend(tmp_path, 60.0, 5.0, clock) == pytest.approx(30.0)
    assert TimeBudget(tmp_path, 60.0).left_s() == pytest.approx(30.0)


def test_another_budget_begins_anew(tmp_path, clock):
    spend(tmp_path, 60.0, 60.0, clock)
    assert TimeBudget(tmp_path, 60.0).left_s() <= 0.0
    assert spend(tmp_path, 61.0, 1.0, clock) == pytest.approx(60.0)


def test_a_kill_loses_a_second_or_so(tmp_path, clock):
    killed = TimeBudget(tmp_path, 60.0)
    with killed.running():
        for _ in range(20):
            clock.now_s += 1.0
            OutOfTime().stop_all()
        assert TimeBudget(tmp_path, 60.0).left_s() <= 42.0


def test_a_run_ends_when_its_budget_is_used_up(tmp_path, clock):
    with TimeBudget(tmp_path, 60.0).running():
        clock.now_s += 59.0
        assert not OutOfTime().stop_all()
        clock.now_s += 1.0
        assert OutOfTime().stop_all()
