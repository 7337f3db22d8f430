"""An earlier champion's parameters as a point of today's space."""

import optuna
import pytest

from common.bundle import MEMBER_KINDS
from common.members import adapter
from training.warm_start import start_within


@pytest.mark.parametrize("kind", MEMBER_KINDS)
def test_a_point_of_the_space_stays_as_it_is(kind):
    point = adapter(kind).search_space(optuna.create_study().ask())
    start = start_within(kind, point)
    assert start.params == point
    assert start.notes == []


def test_a_value_beyond_its_range_becomes_the_end_of_the_range():
    start = start_within("xgboost", {**adapter("xgboost").DEFAULTS, "max_depth": 30, "subsample": 0.01})
    assert start.params["max_depth"] < 30
    assert 0.01 < start.params["subsample"] < 1.0
    assert len(start.notes) == 2
    assert any("max_depth" in note and "instead of 30" in note for note in start.notes)


def test_what_is_missing_or_unknown_is_said():
    defaults = dict(adapter("lightgbm").DEFAULTS)
    given = {name: value for name, value in defaults.items() if name != "num_leaves"}
    start = start_within("lightgbm", {**given, "boosting": "dart"})
    assert start.params == defaults
    assert start.notes == [
        "lightgbm num_leaves: taken from the defaults",
        "lightgbm boosting: not searched any more",
    ]
