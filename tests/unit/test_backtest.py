"""Opinions out of time: no fit has seen the part that it speaks about, or a label that reaches into it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from common.clock import DAY_US
from training import backtest as module
from training.backtest import OutOfTime, Recipe, backtest, final_members
from training.fits import Fit, Opinion
from training.split import PARTS, split_by_time

RECIPE = Recipe({"catboost": {"depth": 4}, "lightgbm": {"num_leaves": 8}}, half_life_days=30.0, seed=3)


@dataclass(frozen=True)
class Rows:
    """What a fit would load."""

    fit: slice
    valid: Any
    weight: Any


@dataclass(frozen=True)
class Shop:
    """Times and labels of examples, and folds that only say what they hold."""

    as_of_us: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def fold(self, fit: slice, valid: Any, weight: Any = None) -> Rows:
        return Rows(fit, valid, weight)


@pytest.fixture
def shop() -> Shop:
    rng = np.random.default_rng(5)
    return Shop(np.sort(rng.integers(0, 60 * DAY_US, 5_000)), (rng.random(5_000) < 0.2).astype(np.int8))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Fit]:
    """The fits that are asked for; each one's opinion of a row is the row's number."""
    asked: list[Fit] = []

    def opinions_of(wanted: list[Fit], *, on_done: Any) -> list[Opinion]:
        asked.extend(wanted)
        on_done(len(wanted))
        return [Opinion(np.arange(5_000.0)[fit.rows.valid], rounds=70 + len(fit.kind)) for fit in wanted]

    monkeypatch.setattr(module, "opinions_of", opinions_of)
    return asked


def test_every_fit_learns_from_labels_that_are_settled_before_the_part_it_speaks_about(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)

    backtest(shop, split, RECIPE, on_done=lambda _: None)

    assert len(fits) == 6
    for fit in fits:
        learned, spoken = shop.as_of_us[fit.rows.fit], shop.as_of_us[fit.rows.valid]
        assert learned[0] == shop.as_of_us[0]
        assert learned.max() + DAY_US < spoken.min()
        assert len(fit.rows.weight) == len(learned)
        assert fit.rows.weight[-1] == pytest.approx(1.0, abs=0.06)
        assert np.all(np.diff(fit.rows.weight) >= 0.0)


def test_opinions_are_of_the_rows_that_they_are_said_of(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)

    opinions, rounds = backtest(shop, split, RECIPE, on_done=lambda _: None)

    assert opinions.rows.tolist() == [row for part in PARTS[1:] for row in range(5_000)[split.rows[part]]]
    for margins in opinions.margins.values():
        np.testing.assert_array_equal(margins, opinions.rows)
    assert rounds == {"catboost": 78, "lightgbm": 78}


def test_rounds_are_found_once_and_kept(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)

    backtest(shop, split, RECIPE, on_done=lambda _: None)

    assert [fit.rounds for fit in fits] == [None, None, 78, 78, 78, 78]


def test_how_many_fits_are_done_is_told(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)
    told: list[int] = []

    backtest(shop, split, RECIPE, on_done=told.append)

    assert told == [2, 6]


def test_opinions_between_two_rows():
    rows = np.array([4, 5, 9, 12])
    opinions = OutOfTime(rows, {"catboost": rows * 1.0})
    found = opinions.between(5, 12)
    assert found.rows.tolist() == [5, 9]
    assert found.margins["catboost"].tolist() == [5.0, 9.0]


def test_the_members_that_are_served_learn_everything(shop, monkeypatch):
    asked: list[Fit] = []

    def members_of(wanted: list[Fit], *, on_done: Any) -> list[Fit]:
        asked.extend(wanted)
        return wanted

    monkeypatch.setattr(module, "members_of", members_of)

    members, sample = final_members(shop, RECIPE, {"catboost": 50, "lightgbm": 60}, on_done=lambda _: None)

    assert list(members) == ["catboost", "lightgbm"]
    assert [fit.rounds for fit in asked] == [50, 60]
    for fit in asked:
        assert fit.rows.fit == slice(0, 5_000)
        assert fit.rows.weight[-1] == 1.0
        assert fit.rows.valid is sample
    assert (sample[0], sample[-1]) == (0, 4_999)
    assert np.all(np.diff(sample) > 0)
