"""What becomes of a prediction when its label is known."""

import math

import pytest

from deployments.monitor import Confusion, Prediction

RECORD = {
    "request_id": "r1",
    "user_id": "ann",
    "product_id": "mug",
    "as_of_us": 1,
    "purchase_probability": 0.3,
    "threshold": 0.3,
    "bundle_version": "v1",
    "anything": "else",
}


def test_reads_a_prediction_from_the_journal():
    assert Prediction.of(RECORD) == Prediction("r1", "ann", "mug", 1, 0.3, 0.3, "v1")


@pytest.mark.parametrize(
    "record",
    [*({key: RECORD[key] for key in RECORD if key != gone} for gone in list(RECORD)[:-1]), RECORD | {"as_of_us": None}],
)
def test_a_record_that_is_no_prediction_is_none(record):
    assert Prediction.of(record) is None


@pytest.mark.parametrize(
    ("probability", "bought", "outcome"),
    [(0.3, True, "tp"), (0.3, False, "fp"), (0.299, False, "tn"), (0.299, True, "fn")],
)
def test_the_answer_is_yes_from_the_threshold_on(probability, bought, outcome):
    assert Prediction.of(RECORD | {"purchase_probability": probability}).outcome(bought=bought) == outcome


def test_accuracy_is_the_share_of_right_answers():
    assert Confusion(tp=1, fp=2, tn=4, fn=3).accuracy == 0.5
    assert Confusion(tp=1) + Confusion(tp=1, fn=2) == Confusion(tp=2, fn=2)
    assert math.isnan(Confusion().accuracy)
