"""What a bundle says of the data that it was learned from, for whoever meets it later."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.clock import DAY_US, to_iso
from common.events import Event
from common.replay import decision_of
from training.evaluation import SLICES
from training.examples import Examples
from training.log import Log
from training.split import PARTS, Split

NEWEST_ROWS = 10_000
"""Among so many of the newest examples a sample request is looked for."""

MAX_DAILY = 62
"""A log of more days has its rates told by the week."""


def data_card(log: Log, split: Split, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Files, rows, times, what has no label and why, rates over time, parts, and a request that fits the shop."""
    examples, report = log.examples, log.report
    return {
        "sources": [dict(source) for source in sources],
        "rows": {"read": report.rows_read, "kept": report.rows_kept, "kinds": report.kinds},
        "quarantine": report.reasons,
        "time_range": [to_iso(report.first_us or 0), to_iso(report.last_us or 0)],
        "counts": examples.counts,
        "points": len(examples),
        "censored": examples.censored,
        "unlabelled": examples.unlabelled,
        "outages": [
            {"from": to_iso(start), "to": to_iso(end), "expected_orders": round(expected, 1)}
            for start, end, expected in examples.outages
        ],
        "base_rates_over_time": base_rates_over_time(examples),
        "parts": {
            part: {
                "from": to_iso(split.span_us[part][0]),
                "to": to_iso(split.span_us[part][1]),
                "points": len(examples.y[split.rows[part]]),
                "bought": int(examples.y[split.rows[part]].sum()),
            }
            for part in PARTS
        },
        "sample_request": sample_request(examples),
    }


def base_rates_over_time(examples: Examples) -> dict[str, Any]:
    """Points and purchases of each day, or of each week of a long log: what drifts shows here.

    `period_days` 1 or 7; `from` the day that each period begins on; and of view and cart, `points` and `bought` of
    each period. Days without any point are left out.
    """
    day = examples.as_of_us // DAY_US
    period_days = 1 if not len(day) or int(day[-1] - day[0]) < MAX_DAILY else 7
    first = int(day[0]) if len(day) else 0
    starts, at = np.unique((day - first) // period_days * period_days + first, return_inverse=True)
    figures: dict[str, Any] = {
        "period_days": period_days,
        "from": [to_iso(int(start) * DAY_US)[:10] for start in starts],
    }
    for name, kind in SLICES.items():
        if kind is not None:
            rows = examples.kind == kind
            figures[name] = {
                "points": np.bincount(at[rows], minlength=len(starts)).tolist(),
                "bought": np.bincount(at[rows], examples.y[rows], len(starts)).astype(int).tolist(),
            }
    return figures


def sample_request(examples: Examples) -> dict[str, Any]:
    """The newest decision point with a category and a brand, as the body of a request."""
    newest = slice(max(0, len(examples) - NEWEST_ROWS), len(examples))
    rows = examples.table(
        ["user", "session", "product", "category", "brand", "price", "as_of_us", "kind"], newest
    ).to_pylist()
    row = next((row for row in reversed(rows) if row["category"] and row["brand"]), rows[-1])
    user, as_of_us = row.pop("user"), row.pop("as_of_us")
    decision = decision_of(user, Event(time_us=as_of_us, **row), as_of_us)
    return {
        "user_id": decision.user,
        "session_id": decision.session,
        "product_id": decision.product,
        "category_code": decision.category,
        "brand": decision.brand,
        "price": decision.price,
        "hour": decision.hour,
        "day_of_week": decision.day_of_week,
        "is_weekend": decision.is_weekend,
    }
