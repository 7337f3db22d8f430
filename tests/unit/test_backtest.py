"""Opinions out of time: no fit has seen the part that it speaks about, or a label that reaches into it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from common.clock import DAY_US
from common.members import MAX_ROUNDS, adapter
from common.members.random_forest_member import TREES
from training import backtest as module
from training.backtest import Backtest, Candidate, OutOfTime, Recipe, backtest, candidates_of, final_members, fits_of
from training.fits import Fit, Opinion, stages
from training.found import FAILED, PRUNED, UNFINISHED, Found, TrialRecord
from training.split import PARTS, split_by_time

RECIPE = Recipe(
    {"catboost": [Candidate({"depth": 4}, 150)], "lightgbm": [Candidate({"num_leaves": 8}, 100)]},
    half_life_days=30.0,
    seed=3,
)


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


@dataclass(frozen=True)
class Said:
    """An opinion whose margin of a row is the row's number, plus a thousandth of the rounds."""

    rows: np.ndarray
    losses: dict[int, float]

    def after(self, rounds: int) -> np.ndarray:
        return self.rows + rounds / 1_000.0


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Fit]:
    """The fits that are asked for; the loss of more rounds is lower until 100 of them, and that of depth 6 by .01."""
    asked: list[Fit] = []

    def opinions_of(wanted: list[Fit], *, on_done: Any) -> list[Said]:
        asked.extend(wanted)
        on_done(len(wanted))
        base = [0.29 if fit.params.get("depth") == 6 else 0.3 for fit in wanted]
        losses = [
            {rounds: loss + abs(100 - rounds) / 1_000.0 for rounds in stages(fit)}
            for fit, loss in zip(wanted, base, strict=True)
        ]
        return [Said(np.arange(5_000.0)[fit.rows.valid], lost) for fit, lost in zip(wanted, losses, strict=True)]

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

    opinions = backtest(shop, split, RECIPE, on_done=lambda _: None).after({"catboost": 50, "lightgbm": 100})

    assert opinions.rows.tolist() == [row for part in PARTS[1:] for row in range(5_000)[split.rows[part]]]
    np.testing.assert_allclose(opinions.margins["catboost"], opinions.rows + 0.05)
    np.testing.assert_allclose(opinions.margins["lightgbm"], opinions.rows + 0.1)


def opinion(losses: dict[int, float]) -> Opinion:
    return Opinion(losses, {})


def test_the_rounds_are_those_of_the_lowest_mean_loss():
    early, late = {50: 0.30, 100: 0.31, 150: 0.32}, {50: 0.30, 100: 0.26, 150: 0.26}
    opinions = {"tune": {"xgboost": opinion(early)}, "calibrate": {"xgboost": opinion(late)}}
    tested = Backtest({}, opinions, {})
    assert tested.best_rounds(["tune"]) == {"xgboost": 50}
    assert tested.best_rounds(["tune", "calibrate"]) == {"xgboost": 100}


def test_of_rounds_that_are_about_as_good_the_fewest_are_taken():
    tested = Backtest({}, {"tune": {"xgboost": opinion({50: 0.3, 100: 0.29995, 150: 0.29992})}}, {})
    assert tested.best_rounds(["tune"]) == {"xgboost": 50}


def trial(kind: str, number: int, log_loss: float, rounds: int) -> TrialRecord:
    return TrialRecord(kind, number, {"depth": number}, log_loss, rounds, seconds=1.0)


def test_of_two_candidates_the_better_one_on_the_parts_before_the_last_is_taken(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)
    usual, found = Candidate({"depth": 4}, 150), Candidate({"depth": 6}, 150)

    tested = backtest(shop, split, Recipe({"catboost": [usual, found]}, None, 3), on_done=lambda _: None)

    assert tested.chosen == {"catboost": found}
    assert [fit.params["depth"] for fit in fits] == [4, 6, 4, 6, 6]
    assert len(fits) == fits_of(Recipe({"catboost": [usual, found]}, None, 3))


def test_what_a_search_found_is_not_taken_for_being_as_good(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)
    usual, found = Candidate({"depth": 4}, 150), Candidate({"depth": 5}, 150)
    tested = backtest(shop, split, Recipe({"catboost": [usual, found]}, None, 3), on_done=lambda _: None)
    assert tested.chosen == {"catboost": usual}


def test_candidates_are_the_defaults_and_what_was_found_with_three_times_the_rounds():
    trials = [trial("catboost", 1, 0.29, 80), trial("catboost", 2, 0.28, 120)]
    found = Found({"catboost": {"depth": 2}, "lightgbm": dict(adapter("lightgbm").DEFAULTS)}, trials, interrupted=False)

    candidates = candidates_of(found, latency_budget_ms=None)

    assert candidates["catboost"] == [
        Candidate(dict(adapter("catboost").DEFAULTS), MAX_ROUNDS),
        Candidate({"depth": 2}, 360),
    ]
    assert candidates["lightgbm"] == [Candidate(dict(adapter("lightgbm").DEFAULTS), MAX_ROUNDS)]


@pytest.mark.parametrize("status", [UNFINISHED, PRUNED, FAILED])
def test_a_trial_that_was_cut_off_does_not_limit_the_rounds(status):
    cut = TrialRecord("catboost", 0, {"depth": 2}, 0.3, rounds=20, seconds=1.0, status=status)
    found = Found({"catboost": {"depth": 2}}, [cut], interrupted=False)
    assert [candidate.max_rounds for candidate in candidates_of(found, latency_budget_ms=None)["catboost"]] == [
        MAX_ROUNDS,
        MAX_ROUNDS,
    ]


def test_a_forest_has_all_its_trees():
    found = Found({"random_forest": {"max_depth": 7}}, [], interrupted=False)
    assert {one.max_rounds for one in candidates_of(found, latency_budget_ms=None)["random_forest"]} == {TREES}


def test_within_a_latency_budget_there_is_only_what_was_measured():
    found = Found({"catboost": {"depth": 2}}, [trial("catboost", 2, 0.28, 120)], interrupted=False)
    assert candidates_of(found, latency_budget_ms=5.0) == {"catboost": [Candidate({"depth": 2}, 120)]}


def test_how_many_fits_are_done_is_told(shop, fits):
    split = split_by_time(shop.as_of_us, shop.y, embargo_us=DAY_US)
    told: list[int] = []

    backtest(shop, split, RECIPE, on_done=told.append)

    assert told == [4, 6]


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

    chosen = {kind: candidates[0] for kind, candidates in RECIPE.candidates.items()}
    said = {"catboost": opinion({50: 0.3}), "lightgbm": opinion({60: 0.3})}
    tested = Backtest({}, dict.fromkeys(PARTS[1:], said), chosen)

    members, sample = final_members(shop, RECIPE, tested, on_done=lambda _: None)

    assert list(members) == ["catboost", "lightgbm"]
    assert [fit.rounds for fit in asked] == [50, 60]
    for fit in asked:
        assert fit.rows.fit == slice(0, 5_000)
        assert fit.rows.weight[-1] == 1.0
        assert fit.rows.valid is sample
    assert (sample[0], sample[-1]) == (0, 4_999)
    assert np.all(np.diff(sample) > 0)
