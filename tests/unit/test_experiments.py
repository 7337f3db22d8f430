"""Who sees which variant, and which definitions are taken."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from common.errors import RequestError
from deployments.experiments import Experiment, StoredExperiment, assign, check_variants, point


def experiment(name="checkout", **split):
    split = split or {"ensemble": 0.5, "xgboost": 0.5}
    return Experiment(
        experiment_id=name, variants=list(split), traffic_split=split, primary_metric="purchase_probability"
    )


@pytest.mark.parametrize(
    ("seed", "user", "expected"),
    [
        ("checkout", "user_123", 0.21693865814119528),  # b2sum -l 64: 37894ab9f45ded31
        ("checkout", "user_124", 0.15889004614807067),
        ("price", "user_123", 0.09466092006255422),
        ("checkout", "u", 0.518493354674259),
    ],
)
def test_a_point_is_the_one_that_anyone_can_recompute(seed, user, expected):
    assert point(seed, user) == expected


def test_the_split_is_cumulative_in_the_order_of_the_variants():
    assert assign(experiment(a=0.2, b=0.02, c=0.78), "user_123") == "b"
    assert assign(experiment(c=0.78, a=0.2, b=0.02), "user_123") == "c"


@given(st.text(max_size=10), st.text(max_size=10))
def test_points_lie_from_0_up_to_but_not_at_1(seed, user):
    assert 0.0 <= point(seed, user) < 1.0


def test_points_are_uniform():
    counts = Counter(int(point("uniform", f"user-{i}") * 100) for i in range(200_000))

    assert stats.chisquare([counts[i] for i in range(100)]).pvalue > 0.001


def test_variants_get_their_shares():
    split = {"a": 0.1, "b": 0.2, "c": 0.7}
    counts = Counter(assign(experiment(**split), f"user-{i}") for i in range(100_000))

    observed = [counts[variant] for variant in split]
    assert stats.chisquare(observed, [share * 100_000 for share in split.values()]).pvalue > 0.001


def test_experiments_are_independent_of_each_other():
    one, other = experiment("one", a=0.3, b=0.7), experiment("two", a=0.5, b=0.5)
    pairs = Counter((assign(one, f"user-{i}"), assign(other, f"user-{i}")) for i in range(100_000))

    table = [[pairs[x, y] for y in "ab"] for x in "ab"]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_nobody_sees_a_variant_without_a_share():
    for split in ({"none": 0.0, "all": 1.0}, {"all": 1.0, "none": 0.0}):
        assert {assign(experiment(**split), f"user-{i}") for i in range(1_000)} == {"all"}


def test_everybody_sees_something_where_rounding_leaves_a_gap(monkeypatch):
    monkeypatch.setattr("deployments.experiments.point", lambda seed, user: 1.0 - 2.0**-53)

    assert assign(experiment(a=0.5, b=0.5 - 9e-10, c=0.0), "ann") == "b"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"traffic_split": {"ensemble": 0.5, "xgboost": 0.49}}, "traffic_split"),
        ({"traffic_split": {"ensemble": 0.5, "xgboost": 0.5 + 2e-9}}, "traffic_split"),
        ({"traffic_split": {"ensemble": 1.0}}, "traffic_split"),
        ({"traffic_split": {"ensemble": 0.5, "xgboost": 0.3, "lightgbm": 0.2}}, "traffic_split"),
        ({"traffic_split": {"ensemble": 1.5, "xgboost": -0.5}}, "traffic_split"),
        ({"traffic_split": {"ensemble": math.nan, "xgboost": 0.5}}, "traffic_split"),
        ({"variants": ["ensemble"], "traffic_split": {"ensemble": 1.0}}, "variants"),
        ({"variants": ["ensemble", "ensemble"], "traffic_split": {"ensemble": 1.0}}, "variants"),
        ({"variants": ["ensemble", "x|y"], "traffic_split": {"ensemble": 0.5, "x|y": 0.5}}, "variants"),
        ({"experiment_id": "has space"}, "experiment_id"),
        ({"experiment_id": "ends\n"}, "experiment_id"),
        ({"primary_metric": "clicks"}, "primary_metric"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_refuses_a_definition_that_makes_no_sense(changes, field):
    body = experiment().model_dump() | changes

    with pytest.raises(ValidationError, match=field):
        Experiment.model_validate(body)


def test_takes_a_split_that_is_1_up_to_rounding():
    assert experiment(a=0.1, b=0.2, c=0.7 + 5e-10).control == "a"
    assert experiment(**{f"v{i}": 0.1 for i in range(10)}).control == "v0"


def test_refuses_variants_that_nothing_serves_and_names_them():
    with pytest.raises(RequestError) as refused:
        check_variants(experiment(ensemble=0.5, gone=0.5), {"ensemble", "xgboost"})

    assert [problem["field"] for problem in refused.value.details["fields"]] == ["variants.1"]
    check_variants(experiment(), {"ensemble", "xgboost"})


def test_an_experiment_runs_until_it_is_stopped():
    stored = StoredExperiment(experiment=experiment(), created_us=1)

    assert stored.status == "running"
    assert stored.model_copy(update={"stopped_us": 0}).status == "stopped"
