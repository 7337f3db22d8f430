"""The gates: who misses one is told which, what was found, what is allowed, and what to do."""

import json

import numpy as np
import pytest

from common.feature_specs import SCHEMA_HASH
from tests.unit.test_evaluation import a_shop, figures
from training.comparison import Comparison, Verdict
from training.gates import MAX_ECE, Gate, against_champion, missed, of_schema, own, recorded, stored


def gates_of(p: np.ndarray | None = None, rows: int = 3_000, **metrics: object) -> list[Gate]:
    points, truth = a_shop(rows)
    return own({"slices": figures(points, truth if p is None else p), **metrics})


def test_the_truth_passes_every_gate():
    assert missed(gates_of()) == []


def test_a_bundle_that_knows_less_than_the_base_rate_is_told_by_how_much():
    points, p = a_shop()
    shuffled = np.random.default_rng(2).permutation(p)
    found = figures(points, shuffled)["all"]

    (gate,) = [gate for gate in missed(gates_of(shuffled)) if gate.name == "log loss" and "all points" in gate.message]

    ours, base = (found["quality"][name]["log_loss"] for name in ("ensemble", "base_rate"))
    assert f"{ours:.4f} over all points, {ours - base:.4f} above the base rate per kind" in gate.message
    assert gate.value == found["differences"]["base_rate"]["log_loss"][1] > gate.limit
    assert gate.remedy.startswith("Search longer")


def test_a_bundle_that_may_be_no_better_than_the_base_rate_needs_more_data():
    points, p = a_shop(rows=300)
    rates = np.where(points.kind == 1, p[points.kind == 1].mean(), p[points.kind == 0].mean())

    found = missed(own({"slices": figures(points, rates + 0.001)}))

    assert [gate.name for gate in found] == ["log loss"]
    assert found[0].remedy.startswith("Train on a longer log")


def test_a_slice_in_which_the_base_rate_is_better_is_told():
    points, p = a_shop()
    carts_shuffled = p.copy()
    carts = points.kind == 1
    carts_shuffled[carts] = np.random.default_rng(3).permutation(np.clip(p[carts] * 2.0, 0, 0.99))
    messages = [gate.message for gate in missed(gates_of(carts_shuffled)) if gate.name == "log loss"]
    assert any("over carts" in message for message in messages)
    assert not any("over views" in message for message in messages)


def test_a_calibration_error_beyond_chance_is_told_by_how_much():
    _, p = a_shop()
    (gate,) = [
        gate
        for gate in missed(gates_of(np.clip(p + 0.09, 0.0, 0.999)))
        if gate.name == "calibration" and "all points" in gate.message
    ]
    assert f"{MAX_ECE['all']} is allowed, exceeded by {gate.value - gate.limit:.4f}" in gate.message


def test_perfect_probabilities_hardly_ever_miss_the_calibration_gate_however_few_they_are():
    """Chance alone gives 60 carts an error of 0.19: a limit without it would be a coin toss."""
    found = 0
    for seed in range(30):
        points, p = a_shop(rows=200, seed=seed)
        found += sum(gate.name == "calibration" for gate in missed(own({"slices": figures(points, p)})))
    assert found <= 4  # of 90; each with a chance of less than 1 in 40


LATENCY = {"catboost": {"rows_1_ms": 0.1, "rows_32_ms": 0.3}, "random_forest": {"rows_1_ms": 0.03, "rows_32_ms": 3.9}}


@pytest.mark.parametrize(("budget_ms", "over"), [(4.0, None), (3.0, "exceeded by 0.90 ms")])
def test_the_slowest_member_is_held_against_the_latency_budget(budget_ms, over):
    (gate,) = [g for g in gates_of(latency=LATENCY, latency_budget_ms=budget_ms) if g.name == "latency budget"]
    assert gate.passed is (over is None)
    assert "random_forest is the slowest: 32 rows in 3.90 ms" in gate.message
    assert over is None or over in gate.message


def test_without_a_budget_no_latency_is_too_high():
    assert "latency budget" not in {gate.name for gate in gates_of(latency=LATENCY, latency_budget_ms=None)}


def test_another_feature_schema_misses_its_gate():
    assert of_schema(SCHEMA_HASH).passed
    assert missed([of_schema("other")])[0].message == f"feature schema other, this code has {SCHEMA_HASH}"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_who_is_better_or_not_worse_passes_the_champion(verdict):
    gate = against_champion(Comparison("champion-1", verdict, "why", remedy="what to do"))
    assert gate.passed is (verdict in (Verdict.BETTER, Verdict.NOT_WORSE))
    assert (gate.message, gate.remedy) == ("why", "what to do")


def test_gates_survive_the_manifest():
    gates = gates_of(np.full(3_000, 0.5))
    kept = json.loads(json.dumps(recorded(gates)))
    assert stored(kept) == gates
    assert kept["missed_gates"][0].startswith("log loss: ")
    assert len(kept["missed_gates"]) == len(missed(gates)) > 0
