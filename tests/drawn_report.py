"""A report's data drawn at random, for tests of the page that need no fits."""

from typing import Any

import numpy as np

from common.ensemble import DEFAULT_WEIGHTS
from common.feature_specs import NAMES
from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE, SLICES, Points, base_rates, evaluate
from training.found import TrialRecord
from training.gates import own
from training.leakage import Check
from training.profit import Economics
from training.reporting import CHAMPION, Explained, HeldOut, ReportData

SECRET_USER = "shopper-4711"


def drawn_report(rows: int = 3_000, seed: int = 0, *, carts: bool = True, **changes: Any) -> ReportData:
    """Points of 600 users, a good ensemble, noisier members and champion; `changes` replace fields."""
    test = drawn_points(rows, seed, carts=carts)
    points = Points(test.y, test.kind, test.user)
    cuts = dict.fromkeys(SLICES, 0.2)
    metrics: dict[str, Any] = {
        "part": "test",
        "slices": evaluate(points, test.probabilities, threshold=0.3, balanced_thresholds=cuts),
        "balanced_thresholds": cuts,
    }
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, len(NAMES))).astype(np.float32)
    contributions = 0.02 * X * np.linspace(1.0, 0.0, len(NAMES))
    importance = dict(zip(NAMES, np.abs(contributions).mean(axis=0).tolist(), strict=True))
    fields: dict[str, Any] = {
        "version": "20260215T120000-c0ffee12",
        "created": "2026-02-15T12:00:00Z",
        "label_horizon_s": 86_400,
        "metrics": metrics,
        "held_out": test,
        "chosen_on": drawn_points(rows, seed + 1, carts=carts),
        "threshold": 0.3,
        "served_threshold": 0.31,
        "economics": Economics(margin=10.0, contact_cost=1.0),
        "weights": {"catboost": 0.5, "xgboost": 0.2, "lightgbm": 0.2, "random_forest": 0.1},
        "baseline_weights": DEFAULT_WEIGHTS,
        "params": {kind: {"depth": 3, "rate": 0.1} for kind in DEFAULT_WEIGHTS},
        "trials": [a_trial(kind, number, rng) for kind in DEFAULT_WEIGHTS for number in range(4)],
        "explained": Explained(X, contributions, 0.12, dict.fromkeys(DEFAULT_WEIGHTS, importance)),
        "data": data_of(rows),
        "checks": [Check("nothing leaks", True, "All is well.", 0.5)],
        "seconds": {"search": 100.0, "fit": 20.0},
        "gates": own(metrics),
        "champion_version": "20260201T120000-0ddba11a",
    }
    return ReportData(**(fields | changes))


def drawn_points(rows: int, seed: int, *, carts: bool = True) -> HeldOut:
    """Points whose ensemble says the truth."""
    rng = np.random.default_rng(seed)
    kind = (rng.random(rows) < 0.3).astype(np.int8) * carts
    truth = np.clip(rng.beta(1, 9, rows) + 0.3 * kind, 0.001, 0.999)
    y = (rng.random(rows) < truth).astype(np.int8)
    user = np.array([f"{SECRET_USER}-{number}" for number in rng.integers(0, 600, rows)], dtype=object)
    logit = np.log(truth / (1.0 - truth))

    def noisy(noise: float) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-(logit + noise * rng.normal(size=rows))))

    rates = base_rates(kind, y)
    return HeldOut(
        y,
        kind,
        user,
        {
            **{name: noisy(0.25) for name in DEFAULT_WEIGHTS},
            ENSEMBLE: truth,
            DEFAULT_VOTE: noisy(0.05),
            BASE_RATE: np.array([rates["view"], rates["cart"]])[kind],
            CHAMPION: noisy(0.35),
        },
    )


def a_trial(kind: str, number: int, rng: np.random.Generator) -> TrialRecord:
    loss = 0.3 + 0.02 * rng.random()
    params = {"depth": int(rng.integers(3, 8)), "rate": float(rng.uniform(0.01, 0.3))}
    curve = [(10, loss + 0.05), (20, loss)]
    return TrialRecord(kind, number, params, loss, 20, 3.0, "pruned" if number == 3 else "done", curve, 0.03, 0.3)


def data_of(rows: int) -> dict[str, Any]:
    """A data card, with a sample request that names a shopper."""
    part = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-19T00:00:00Z", "points": rows, "bought": rows // 7}
    return {
        "sources": [{"path": "/home/somebody/logs/events.parquet", "bytes": 1}],
        "rows": {"read": 10_003, "kept": 10_000, "kinds": {"view": 8_000, "cart": 2_000}},
        "quarantine": {"bad_price": 3},
        "time_range": ["2026-01-05T00:00:00Z", "2026-02-14T00:00:00Z"],
        "points": 2 * rows,
        "censored": 7,
        "unlabelled": 0,
        "outages": [],
        "base_rates_over_time": {
            "period_days": 7,
            "from": ["2026-01-05", "2026-01-12"],
            "view": {"points": [100, 120], "bought": [10, 11]},
            "cart": {"points": [0, 40], "bought": [0, 12]},
        },
        "parts": {"fit": part, "test": part | {"from": "2026-01-20T00:00:00Z", "to": "2026-02-13T00:00:00Z"}},
        "learned": {"from": "2026-01-05T00:00:00Z", "to": "2026-02-13T00:00:00Z"},
        "sample_request": {"user_id": SECRET_USER},
    }
