"""Rows of a raw log for tests, and what becomes of them."""

import json
from typing import Any

import pyarrow as pa

from common.eventlog import (
    REJECTED,
    check,
    kept,
)

OCTOBER_US = 1_569_888_000_000_000
"""2019-10-01 00:00:00 UTC."""

ROW: dict[str, Any] = {
    "event_time": "2019-10-01 00:00:00 UTC",
    "event_type": "view",
    "product_id": 44600062,
    "category_id": 2103807459595387724,
    "category_code": "appliances.kitchen",
    "brand": "shiseido",
    "price": 35.79,
    "user_id": 541312140,
    "user_session": "72d76fde-8bb3-4e00-8c23-a032dfed738c",
}


def log(*rows: dict[str, Any]) -> pa.Table:
    """Rows like `ROW` with the fields that are given instead."""
    return pa.Table.from_pylist([ROW | row for row in rows])


def column(name: str, values: pa.Array) -> pa.Table:
    """As many rows like `ROW` as there are values, with that column instead."""
    rows = log(*[{}] * len(values))
    return rows.set_column(rows.column_names.index(name), name, values)


def events(table: pa.Table) -> pa.Table:
    """The events of a raw table."""
    return kept(check(table, source="log.csv"))


def rejects(table: pa.Table) -> list[dict[str, str]]:
    """The rows of a raw table that are set aside."""
    return [json.loads(row) for row in check(table, source="log.csv")[REJECTED].drop_null().to_pylist()]


def reasons(table: pa.Table) -> list[str]:
    """Why rows of a raw table are set aside."""
    return [row["reason"] for row in rejects(table)]
