import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ensemble import DEFAULT_WEIGHTS, Calibration, combine, confidence, renormalised

PROBABILITY = st.floats(0.0, 1.0)


def test_default_weights_are_a_vote() -> None:
    assert sum(DEFAULT_WEIGHTS.values()) == pytest.approx(1.0)


@given(st.dictionaries(st.sampled_from("abcd"), PROBABILITY, min_size=1), st.data())
def test_a_vote_lies_between_its_members(opinions: dict[str, float], data: st.DataObject) -> None:
    weights = {name: data.draw(st.floats(0.0, 1.0)) for name in opinions}
    vote = combine({name: np.array([p]) for name, p in opinions.items()}, weights)[0]

    assert min(opinions.values()) - 1e-12 <= vote <= max(opinions.values()) + 1e-12


def test_weights_of_those_that_answered_sum_to_one() -> None:
    shares = renormalised({"a": 0.4, "b": 0.3, "c": 0.3}, ["a", "c"])

    assert shares == {"a": pytest.approx(4 / 7), "c": pytest.approx(3 / 7)}


def test_a_member_without_weight_answers_when_it_is_the_last() -> None:
    assert renormalised({"a": 1.0, "b": 0.0}, ["b"]) == {"b": 1.0}


def test_a_vote_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        combine({}, {"a": 1.0})


def test_confidence_is_one_in_agreement_and_zero_in_the_widest_split() -> None:
    half = {"a": 0.5, "b": 0.5}
    agree = {"a": np.array([0.3]), "b": np.array([0.3])}
    split = {"a": np.array([0.0]), "b": np.array([1.0])}

    assert confidence(agree, half)[0] == 1.0
    assert confidence(split, half)[0] == 0.0


@given(st.floats(-700, 700))
def test_calibration_gives_probabilities_and_keeps_the_order(margin: float) -> None:
    calibration = Calibration(slope=0.8, intercept=-0.3)
    here, higher = calibration.probability(np.array([margin, margin + 1.0]))

    assert 0.0 <= here <= higher <= 1.0
