"""Four interleaved studies: who is asked next, that defaults come first, and that a killed search can go on."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from common.bundle import MEMBER_KINDS
from common.members import adapter
from training.searcher import FIRST_RUNG, OBJECTIVE, OVERRUN, PACE, MemberSearches, PrunedAmongPeers

DEFAULTS = {kind: [dict(adapter(kind).DEFAULTS)] for kind in MEMBER_KINDS}


def searches(
    *, trials: int = 3, per_kind: int = 1, seed: int = 1, starts: Mapping[str, Sequence[Any]] = DEFAULTS
) -> MemberSearches:
    return MemberSearches(PrunedAmongPeers(MEMBER_KINDS), starts, trials=trials, seed=seed, per_kind=per_kind)


def finish(searcher: MemberSearches, trial_id: str, loss: float, **more: float) -> None:
    searcher.on_trial_complete(trial_id, {OBJECTIVE: loss, PACE: 1.0, "training_iteration": 1, **more})


def test_every_kind_starts_with_its_defaults():
    searcher = searches()
    asked = [searcher.suggest(str(number)) for number in range(4)]
    assert [suggestion["kind"] for suggestion in asked] == list(MEMBER_KINDS)
    for suggestion in asked:
        assert suggestion["params"] == dict(adapter(suggestion["kind"]).DEFAULTS)


def test_a_busy_kind_waits_and_the_one_that_is_behind_goes_first():
    searcher = searches()
    for number in range(4):
        searcher.suggest(str(number))
    assert searcher.suggest("early") is None

    finish(searcher, "2", 0.5)
    assert searcher.suggest("4")["kind"] == MEMBER_KINDS[2]
    finish(searcher, "4", 0.4)
    finish(searcher, "0", 0.4)
    assert searcher.suggest("5")["kind"] == MEMBER_KINDS[0]


def test_a_kind_starts_with_the_points_that_it_is_given_in_their_order():
    points = [{**adapter("xgboost").DEFAULTS, "max_depth": depth} for depth in (4, 6, 3)]
    searcher = searches(trials=4, starts={"xgboost": points})
    for number, point in enumerate(points):
        asked = searcher.suggest(str(number))
        assert (asked["number"], asked["params"]) == (number, point)
        finish(searcher, str(number), 0.5)
    assert searcher.suggest("3")["params"] not in points


def test_of_kinds_with_as_many_trials_left_the_slowest_goes_first():
    searcher = searches(trials=5)
    for number, _ in enumerate(MEMBER_KINDS):
        searcher.suggest(str(number))
    for number, seconds in enumerate((2.0, 1.0, 9.0, 4.0)):
        finish(searcher, str(number), 0.5, time_total_s=seconds)

    asked = []
    for number in range(4, 8):
        asked.append(searcher.suggest(str(number))["kind"])
        finish(searcher, str(number), 0.5, time_total_s=1.0)
    assert asked == [MEMBER_KINDS[kind] for kind in (2, 3, 0, 1)]


def test_a_search_keeps_away_from_parameters_that_are_too_slow():
    def share_of_deep_trees(overrun_of_deep: float) -> float:
        searcher = searches(trials=60, starts={"xgboost": [dict(adapter("xgboost").DEFAULTS)]})
        depths = []
        for number in range(60):
            depth = searcher.suggest(str(number))["params"]["max_depth"]
            depths.append(depth)
            finish(searcher, str(number), 0.5 - depth / 100, **{OVERRUN: overrun_of_deep if depth > 4 else 0.0})
        return sum(depth > 4 for depth in depths[30:]) / 30

    assert share_of_deep_trees(0.0) > 0.8  # deeper is better
    assert share_of_deep_trees(0.5) < 0.5


def test_each_kind_gets_its_trials_and_then_it_is_over():
    searcher = searches(trials=2)
    asked = []
    for number in range(8):
        asked.append(searcher.suggest(str(number))["kind"])
        finish(searcher, str(number), 0.5)
    assert sorted(asked) == sorted(2 * MEMBER_KINDS)
    assert searcher.suggest("9") == Searcher.FINISHED


def test_the_path_of_a_kind_does_not_depend_on_the_speed_of_the_others():
    def losses(kind: str, params: dict[str, Any]) -> float:
        return sum(params.values()) / 100 + len(kind) / 100

    def path(order: int) -> dict[str, list[dict[str, Any]]]:
        searcher = searches(trials=8)
        seen: dict[str, list[dict[str, Any]]] = {kind: [] for kind in MEMBER_KINDS}
        running: list[tuple[str, dict[str, Any]]] = []
        number = 0
        while (suggestion := searcher.suggest(str(number))) != Searcher.FINISHED:
            if suggestion is not None:
                seen[suggestion["kind"]].append(suggestion["params"])
                running.append((str(number), suggestion))
                number += 1
            else:
                trial_id, done = running.pop(order)
                finish(searcher, trial_id, losses(done["kind"], done["params"]))
        return seen

    assert path(0) == path(-1)


def test_a_restored_search_suggests_what_the_killed_one_would_have(tmp_path):
    killed = searches(trials=9)
    for number in range(24):
        killed.suggest(str(number))
        finish(killed, str(number), 0.5 - number / 100)
    killed.save(str(tmp_path / "state"))

    restored = searches(trials=9, seed=99)
    restored.restore(str(tmp_path / "state"))

    for number in range(24, 30):
        assert restored.suggest(str(number)) == killed.suggest(str(number))
        finish(restored, str(number), 0.1)
        finish(killed, str(number), 0.1)


def a_trial(name: str, kind: str) -> Any:
    return SimpleNamespace(trial_id=name, config={"kind": kind})


def test_a_trial_is_pruned_among_its_own_kind_only():
    pruning = PrunedAmongPeers(MEMBER_KINDS)
    good, bad, forest = a_trial("a", "catboost"), a_trial("b", "catboost"), a_trial("c", "random_forest")
    for trial in (good, bad, forest):
        pruning.on_trial_add(None, trial)

    at_the_rung = {PACE: FIRST_RUNG, "training_iteration": 1}
    assert pruning.on_trial_result(None, good, {**at_the_rung, OBJECTIVE: 0.30}) == TrialScheduler.CONTINUE
    assert pruning.on_trial_result(None, forest, {**at_the_rung, OBJECTIVE: 0.40}) == TrialScheduler.CONTINUE
    assert pruning.on_trial_result(None, bad, {**at_the_rung, OBJECTIVE: 0.35}) == TrialScheduler.STOP


def test_nobody_is_pruned_for_losing_against_a_trial_that_is_too_slow_to_win():
    pruning = PrunedAmongPeers(MEMBER_KINDS)
    slow, feasible = a_trial("a", "catboost"), a_trial("b", "catboost")
    for trial in (slow, feasible):
        pruning.on_trial_add(None, trial)
    at_the_rung = {PACE: FIRST_RUNG, "training_iteration": 1}
    pruning.on_trial_result(None, slow, {**at_the_rung, OBJECTIVE: 0.30})
    pruning.on_trial_complete(None, slow, {**at_the_rung, OBJECTIVE: 0.30, OVERRUN: 0.2})

    assert pruning.on_trial_result(None, feasible, {**at_the_rung, OBJECTIVE: 0.35}) == TrialScheduler.CONTINUE


def test_a_slow_learner_is_not_pruned_before_it_has_come_as_far():
    pruning = PrunedAmongPeers(MEMBER_KINDS)
    quick, slow = a_trial("a", "xgboost"), a_trial("b", "xgboost")
    for trial in (quick, slow):
        pruning.on_trial_add(None, trial)
    pruning.on_trial_result(None, quick, {PACE: FIRST_RUNG, OBJECTIVE: 0.30, "training_iteration": 1})

    half_way = {PACE: FIRST_RUNG / 2, OBJECTIVE: 0.40, "training_iteration": 1}

    assert pruning.on_trial_result(None, slow, half_way) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("per_kind", [1, 3])
def test_no_kind_has_more_trials_under_way_than_it_may(per_kind):
    searcher = searches(trials=5, per_kind=per_kind)
    started = []
    while (suggestion := searcher.suggest(str(len(started)))) is not None:
        started.append(suggestion["kind"])
    assert {kind: started.count(kind) for kind in MEMBER_KINDS} == dict.fromkeys(MEMBER_KINDS, per_kind)
