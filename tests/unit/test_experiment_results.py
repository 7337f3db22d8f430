"""What running sums say about an experiment, and that they do not decide."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from deployments.experiment_results import ArmSums, compare, results, sample_ratio
from deployments.experiments import Experiment, StoredExperiment

EXPERIMENT = Experiment(
    experiment_id="checkout",
    variants=("control", "treatment"),
    traffic_split={"control": 0.5, "treatment": 0.5},
    primary_metric="revenue_per_user",
)


def of(metric):
    return EXPERIMENT.model_copy(update={"primary_metric": metric})


def sums(revenue_cents, probability):
    return ArmSums(
        users=len(revenue_cents),
        conversions=int(np.sum(revenue_cents > 0)),
        orders=int(np.sum(revenue_cents > 0)),
        cents=int(np.sum(revenue_cents)),
        cents_squared=float(np.sum(revenue_cents.astype(float) ** 2)),
        probability=float(np.sum(probability)),
        probability_squared=float(np.sum(probability**2)),
    )


def arm(seed, users=5_000, rate=0.05):
    rng = np.random.default_rng(seed)
    cents = np.where(rng.random(users) < rate, rng.integers(100, 20_000, users), 0)
    return cents, rng.beta(1, 20, users)


@pytest.mark.parametrize("metric", ["conversion", "revenue_per_user", "purchase_probability"])
def test_the_interval_and_p_value_are_those_of_welch_for_many_users(metric):
    (cents, probability), (other_cents, other_probability) = arm(1), arm(2, rate=0.06)
    values = {
        "conversion": (cents > 0, other_cents > 0),
        "revenue_per_user": (cents / 100, other_cents / 100),
        "purchase_probability": (probability, other_probability),
    }[metric]

    comparison = compare(of(metric), sums(cents, probability), sums(other_cents, other_probability))

    welch = stats.ttest_ind(values[1].astype(float), values[0].astype(float), equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert comparison["lift"] == pytest.approx(np.mean(values[1]) - np.mean(values[0]), abs=1e-9)
    assert comparison["interval"] == pytest.approx([interval.low, interval.high], rel=1e-2)
    assert comparison["p_value"] == pytest.approx(welch.pvalue, rel=1e-2)
    assert "one look" in comparison["method"]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(2_000):
        control, treatment = (ArmSums(users=2_000, conversions=int(rng.binomial(2_000, rate))) for rate in (0.05, 0.06))
        low, high = compare(of("conversion"), control, treatment)["interval"]
        hits += low <= 0.01 <= high

    assert 0.935 < hits / 2_000 < 0.965


def test_says_nothing_where_there_is_nothing_to_say():
    for few in (ArmSums(), ArmSums(users=1, probability=0.5, probability_squared=0.25)):
        comparison = compare(EXPERIMENT, few, few)
        assert comparison["interval"] is None
        assert comparison["p_value"] is None


def test_a_share_of_0_users_or_no_users_is_no_mismatch():
    assert sample_ratio(EXPERIMENT, {"control": ArmSums(), "treatment": ArmSums()}) == {"p_value": None, "ok": True}
    all_in_one = EXPERIMENT.model_copy(update={"traffic_split": {"control": 1.0, "treatment": 0.0}})
    assert sample_ratio(all_in_one, {"control": ArmSums(users=9), "treatment": ArmSums()})["ok"]
    assert not sample_ratio(all_in_one, {"control": ArmSums(users=9), "treatment": ArmSums(users=1)})["ok"]


def test_finds_users_that_did_not_arrive():
    def check(control, treatment):
        return sample_ratio(EXPERIMENT, {"control": ArmSums(users=control), "treatment": ArmSums(users=treatment)})

    assert check(26_000, 24_000)["p_value"] == pytest.approx(stats.chisquare([26_000, 24_000]).pvalue)
    assert not check(26_000, 24_000)["ok"]
    assert check(25_100, 24_900)["ok"]


def test_always_waits_and_says_why():
    (cents, probability), (other_cents, other_probability) = arm(1), arm(2, rate=0.5)
    stored = StoredExperiment(experiment=EXPERIMENT, created_us=0)
    arms = {"control": sums(cents, probability), "treatment": sums(other_cents, other_probability)}

    decided = results(stored, arms)["verdict"]
    lost = results(stored, {"control": arms["control"]})["verdict"]

    assert decided["decision"] == lost["decision"] == "wait"
    assert len(decided["reasons"]) == 1
    assert any("0 users" in reason for reason in lost["reasons"])
    assert any("shares" in reason for reason in lost["reasons"])


def test_results_are_json_of_the_agreed_shape():
    stored = StoredExperiment(experiment=EXPERIMENT, created_us=0, stopped_us=5)

    body = json.loads(json.dumps(results(stored, {}), allow_nan=False))

    assert body.keys() == {
        *("experiment_id", "status", "phase", "variants", "comparisons", "srm", "guardrails", "verdict")
    }
    assert body["status"] == "stopped"
    assert body["variants"]["control"].keys() >= {"users", "conversions", "rate", "revenue", "mean_probability"}
    assert body["comparisons"].keys() == {"treatment"}
    assert body["comparisons"]["treatment"].keys() >= {"metric", "control", "lift", "interval", "p_value"}
    assert body["verdict"].keys() == {"decision", "variant", "reasons"}


def test_variance_survives_rounding():
    constant = ArmSums(users=3, probability=0.1 * 3, probability_squared=0.1**2 * 3)

    assert constant.moments("purchase_probability").variance >= 0.0
    assert math.isnan(ArmSums(users=1).moments("conversion").variance)
