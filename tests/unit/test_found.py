"""Which trial of a kind wins, with and without a latency budget."""

from typing import Any

import pytest

from common.errors import InputError
from common.members import adapter
from training.found import FAILED, PRUNED, SearchSettings, TrialRecord, best_params

SETTINGS = SearchSettings(trials=3, time_budget_s=60.0, seed=1, kinds=("xgboost",))
BUDGET = SearchSettings(trials=3, time_budget_s=60.0, seed=1, kinds=("xgboost",), latency_budget_ms=2.0)


def a_trial(number: int, log_loss: float, *, one: float | None = 0.1, many: float | None = 1.0, **more: Any):
    return TrialRecord(
        "xgboost", number, {"n": number}, log_loss, 10, 1.0, latency_1_ms=one, latency_32_ms=many, **more
    )


def test_the_best_loss_wins_and_of_equals_the_earlier():
    trials = [a_trial(2, 0.3), a_trial(0, 0.4), a_trial(1, 0.3)]
    assert best_params(trials, SETTINGS) == {"xgboost": {"n": 1}}


def test_a_kind_without_trials_has_its_defaults():
    assert best_params([], SETTINGS) == {"xgboost": dict(adapter("xgboost").DEFAULTS)}


def test_a_trial_that_failed_does_not_win():
    assert best_params([a_trial(0, 0.2, status=FAILED), a_trial(1, 0.3)], SETTINGS) == {"xgboost": {"n": 1}}


@pytest.mark.parametrize("slow", [{"one": 2.1, "many": 1.0}, {"one": 0.1, "many": 2.1}, {"one": None, "many": None}])
def test_what_is_over_the_latency_budget_or_was_not_timed_never_wins(slow):
    trials = [a_trial(0, 0.2, **slow), a_trial(1, 0.3, one=2.0, many=2.0), a_trial(2, 0.4)]
    assert best_params(trials, BUDGET) == {"xgboost": {"n": 1}}


def test_a_budget_that_no_trial_meets_is_an_error_that_says_how_near_they_came():
    trials = [a_trial(0, 0.2, many=5.0), a_trial(1, 0.3, many=3.0), a_trial(2, 0.1, one=None, many=None, status=PRUNED)]
    with pytest.raises(InputError, match=r"no xgboost.*budget of 2 ms.*fastest of 2 takes 3 ms.*larger"):
        best_params(trials, BUDGET)


def test_a_budget_that_nothing_was_held_against_is_an_error():
    with pytest.raises(InputError, match=r"no xgboost was fitted and timed.*larger --time-budget-s"):
        best_params([], BUDGET)
