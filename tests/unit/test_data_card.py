"""What a bundle says of its data: rates over time, and a request that fits the shop."""

from typing import Any

import numpy as np
import pyarrow as pa

from common.clock import DAY_US
from training.data_card import base_rates_over_time, sample_request
from training.example_store import Rows
from training.examples import Examples


class Some(Examples):
    """Examples whose texts are in memory."""

    def __init__(self, as_of_us: np.ndarray, kind: np.ndarray, y: np.ndarray, texts: list[dict[str, Any]]) -> None:
        for name, value in {"as_of_us": as_of_us, "kind": kind, "y": y, "texts": texts}.items():
            object.__setattr__(self, name, value)

    def table(self, columns: list[str], rows: Rows) -> pa.Table:
        return pa.Table.from_pylist(self.texts[rows]).select(columns)


def spread(days: int, a_day: int = 4) -> Some:
    """Views and carts in turn, every other view bought."""
    n = days * a_day
    rows = np.arange(n)
    return Some(
        17_014 * DAY_US + rows * (DAY_US // a_day), (rows % 2).astype(np.int8), (rows % 4 == 0).astype(np.int8), []
    )


def test_rates_are_told_by_the_day():
    rates = base_rates_over_time(spread(3))

    assert rates == {
        "period_days": 1,
        "from": ["2016-08-01", "2016-08-02", "2016-08-03"],
        "view": {"points": [2, 2, 2], "bought": [1, 1, 1]},
        "cart": {"points": [2, 2, 2], "bought": [0, 0, 0]},
    }


def test_rates_of_a_long_log_are_told_by_the_week():
    rates = base_rates_over_time(spread(72))

    assert rates["period_days"] == 7
    assert rates["from"][:2] == ["2016-08-01", "2016-08-08"]
    assert rates["view"]["points"] == [14] * 10 + [4]
    assert sum(rates["view"]["bought"]) == 72


def test_the_sample_request_is_the_newest_with_a_category_and_a_brand():
    named = {"category": "kitchen", "brand": "acme"}
    common = {"user": "ann", "session": "s-1", "price": 9.5, "kind": 0}
    texts = [
        common | named | {"product": "mug", "as_of_us": 17_014 * DAY_US},
        common | named | {"product": "cup", "as_of_us": 17_019 * DAY_US + DAY_US // 2},
        common | {"category": "", "brand": "acme", "product": "pan", "as_of_us": 17_020 * DAY_US},
    ]
    request = sample_request(Some(np.arange(3), np.zeros(3), np.zeros(3, np.int8), texts))

    assert request == {
        "user_id": "ann",
        "session_id": "s-1",
        "product_id": "cup",
        "category_code": "kitchen",
        "brand": "acme",
        "price": 9.5,
        "hour": 12,
        "day_of_week": 5,
        "is_weekend": 1,
    }


def test_a_log_that_never_names_both_still_has_a_sample_request():
    texts = [
        {
            "user": "ann",
            "session": "s",
            "price": 1.0,
            "kind": 0,
            "category": "",
            "brand": "",
            "product": "a",
            "as_of_us": 5,
        }
    ]

    assert sample_request(Some(np.arange(1), np.zeros(1), np.zeros(1, np.int8), texts))["product_id"] == "a"
