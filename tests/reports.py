"""A training run in miniature for tests of its report: a simulated shop, real fits of all four members, no Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, from_datetime, to_iso
from common.counting import day_counts_of
from common.ensemble import DEFAULT_WEIGHTS, Calibration, combine
from common.events import KIND_BY_NAME
from common.explanation import ShapExplainer
from common.feature_specs import NAMES
from common.members import Fitted, Fold, adapter
from common.replay import example_table, x_matrix
from training.calibrate import fit_calibration
from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE, Points, base_rates, evaluate
from training.explanation import background, trees_of
from training.found import TrialRecord
from training.gates import own, recorded
from training.judgement import balanced_thresholds
from training.leakage import Check, Part, known_users_check, silence_check, single_feature_check
from training.profit import Economics
from training.reporting import CHAMPION, Explained, HeldOut, ReportData
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.split import PARTS, Split, split_by_time
from training.threshold import best_f1_threshold
from training.weights import learn_weights

EXPLAINED_ROWS = 300


def simulated_log(directory: Path, *, events: int, days: int = 40, seed: int = 3) -> pa.Table:
    """A simulated shop's log as a canonical table."""
    path = directory / "events.parquet"
    simulate(Plan(events=events, seed=seed, start_us=from_datetime(DEFAULT_START), days=days), path)
    log = pq.read_table(path)
    return pa.table(
        {
            "time_us": log["event_time"].cast(pa.int64()),
            "kind": pa.array([int(KIND_BY_NAME[name]) for name in log["event_type"].to_pylist()], pa.int8()),
            "product": log["product_id"].cast(pa.string()),
            "session": log["user_session"],
            "price": log["price"],
            "category": pc.fill_null(log["category_code"], ""),
            "brand": pc.fill_null(log["brand"], ""),
            "user": log["user_id"].cast(pa.string()),
        }
    )


def examples_of(log: pa.Table) -> pa.Table:
    """The labelled points of a log, in order of time."""
    history = CatalogHistory(Catalog.empty(), day_counts_of(log))
    end_us = pc.max(log["time_us"]).as_py()
    table = example_table(log, history, horizon_us=DAY_US, log_end_us=end_us)
    return table.filter(pc.invert(table["censored"])).sort_by("as_of_us")


class _Draw:
    """An Optuna-like trial that draws at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if log:
            return float(np.exp(self._rng.uniform(np.log(low), np.log(high))))
        return float(self._rng.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return round(self.suggest_float(name, low, high, log=log))


def search(fold: Fold, trials: int, seed: int) -> tuple[dict[str, Fitted], list[TrialRecord]]:
    """The best of some random parameters for each kind, and the record of every trial."""
    rng, best, records = np.random.default_rng(seed), {}, []
    for kind in DEFAULT_WEIGHTS:
        module, lowest = adapter(kind), np.inf
        for number in range(trials):
            params = dict(module.DEFAULTS) if number == 0 else module.search_space(_Draw(rng))
            curve: list[tuple[int, float]] = []
            fitted = module.fit(fold, params, seed=1, threads=1, on_round=lambda n, loss, c=curve: _keep(c, n, loss))
            loss = min(loss for _, loss in curve)
            took_ms = 0.02 + 2e-4 * fitted.rounds
            status = "pruned" if number % 5 == 4 and loss > lowest else "done"
            records.append(
                TrialRecord(kind, number, params, loss, fitted.rounds, 0.7, status, curve, took_ms, 9.0 * took_ms)
            )
            if loss < lowest:
                lowest, best[kind] = loss, fitted
    return best, records


def _keep(curve: list[tuple[int, float]], rounds: int, loss: float) -> bool:
    curve.append((rounds, loss))
    return False


def small_report(directory: Path, *, events: int = 9_000, trials: int = 3, champion: bool = True) -> ReportData:
    """A report's data from a run on a small simulated shop."""
    log = simulated_log(directory, events=events)
    table = examples_of(log)
    X, y, kind = x_matrix(table), table["label"].to_numpy(), table["kind"].to_numpy()
    as_of_us, user = table["as_of_us"].to_numpy(), np.unique(table["user"].to_numpy(), return_inverse=True)[1]
    split = split_by_time(as_of_us, y, embargo_us=DAY_US)
    rows = split.rows
    fold = Fold(X[rows["fit"]], y[rows["fit"]], X[rows["tune"]], y[rows["tune"]])
    fitted, records = search(fold, trials, seed=5)
    calibrate = rows["calibrate"]
    margins = {name: model.margin(X) for name, model in fitted.items()}
    calibrations = {name: fit_calibration(margin[calibrate], y[calibrate]) for name, margin in margins.items()}
    p = {name: calibrations[name].probability(margin) for name, margin in margins.items()}
    said = {name: of_member[calibrate] for name, of_member in p.items()}
    weights = learn_weights(said, y[calibrate], user[calibrate])
    vote = combine(p, weights)
    rates = base_rates(kind[: calibrate.stop], y[: calibrate.stop])
    everyone = {
        **p,
        ENSEMBLE: vote,
        DEFAULT_VOTE: combine(p, DEFAULT_WEIGHTS),
        BASE_RATE: np.array([rates["view"], rates["cart"]])[kind],
        **({CHAMPION: 0.75 * p["random_forest"] + 0.25 * rates["view"]} if champion else {}),
    }
    threshold = best_f1_threshold(y[calibrate], vote[calibrate])

    def part(name: str) -> HeldOut:
        at = rows[name]
        return HeldOut(y[at], kind[at], user[at], {who: of_who[at] for who, of_who in everyone.items()})

    test = part("test")
    points = Points(test.y, test.kind, test.user)
    chosen = Points(y[calibrate], kind[calibrate], user[calibrate])
    slices = evaluate(
        points,
        test.probabilities,
        threshold=threshold,
        balanced_thresholds=balanced_thresholds(chosen, vote[calibrate]),
    )
    metrics = {"part": "test", "slices": slices, "base_rates": rates}
    of_test = Part(X[rows["test"]], test.y, test.kind, test.user)
    return ReportData(
        version="20260215T120000-c0ffee12",
        created="2026-02-15T12:00:00Z",
        label_horizon_s=86_400,
        metrics=metrics | recorded(own(metrics)),
        held_out=test,
        chosen_on=part("calibrate"),
        threshold=threshold,
        served_threshold=1.01 * threshold,
        economics=Economics(margin=10.0, contact_cost=0.5),
        weights=weights,
        baseline_weights=DEFAULT_WEIGHTS,
        params=_params(records),
        trials=records,
        explained=_explained(fitted, calibrations, X, vote, weights, rows),
        data=_card(log, table, split),
        checks=[
            silence_check(as_of_us, rows, horizon_us=DAY_US),
            single_feature_check(of_test, NAMES),
            known_users_check(user[: calibrate.stop], of_test, vote[rows["test"]]),
            Check("a check that is failed", False, "So that its colour is seen.", 1.0),
        ],
        seconds={"read events": 2.1, "make examples": 9.4, "search": 183.0, "final fits": 12.2, "report": 4.0},
        gates=own(metrics),
        champion_version="20260201T120000-0ddba11a" if champion else None,
    )


def _params(records: list[TrialRecord]) -> dict[str, dict[str, Any]]:
    best = sorted(records, key=lambda trial: -trial.log_loss)
    return {trial.kind: trial.params for trial in best}


def _explained(
    fitted: Mapping[str, Fitted],
    calibrations: Mapping[str, Any],
    X: np.ndarray,
    vote: np.ndarray,
    weights: Mapping[str, float],
    rows: Mapping[str, slice],
) -> Explained:
    tables, base_margins = {}, {}
    for name, model in fitted.items():
        tables[name], base_margins[name] = trees_of(name, model.model)
    typical = background(X[rows["fit"]], vote[rows["fit"]], size=16, seed=1)
    sample = X[np.linspace(0, len(X) - 1, EXPLAINED_ROWS).astype(int)]
    found = ShapExplainer(tables, base_margins, calibrations, typical).explain(sample, weights, per_member=True)
    importance = {
        name: dict(zip(NAMES, np.abs(of_member.contributions).mean(axis=0).tolist(), strict=True))
        for name, of_member in found.members.items()
    }
    return Explained(sample, found.contributions, found.base_value, importance)


def _card(log: pa.Table, table: pa.Table, split: Split) -> dict[str, Any]:
    times_us, y = log["time_us"].to_numpy(), table["label"].to_numpy()
    counts = np.bincount(log["kind"].to_numpy(), minlength=4)
    kinds = {name: int(counts[int(kind)]) for name, kind in KIND_BY_NAME.items()}
    return {
        "rows": {"read": log.num_rows + 3, "kept": log.num_rows, "kinds": kinds},
        "quarantine": {"bad_price": 2, "unknown_event_type": 1},
        "time_range": [to_iso(int(times_us.min())), to_iso(int(times_us.max()))],
        "points": table.num_rows,
        "censored": 41,
        "unlabelled": 12,
        "outages": [{"from": "2026-01-20T00:00:00Z", "to": "2026-01-20T18:00:00Z", "expected_orders": 31.0}],
        "base_rates_over_time": _rates(table),
        "parts": {
            part: {
                "from": to_iso(split.span_us[part][0]),
                "to": to_iso(split.span_us[part][1]),
                "points": len(y[split.rows[part]]),
                "bought": int(y[split.rows[part]].sum()),
            }
            for part in PARTS
        },
        "sample_request": {"user_id": "a-user-of-the-log"},
    }


def _rates(table: pa.Table) -> dict[str, Any]:
    days, at = np.unique(table["as_of_us"].to_numpy() // DAY_US, return_inverse=True)
    kind, y = table["kind"].to_numpy(), table["label"].to_numpy()
    return {
        "period_days": 1,
        "from": [to_iso(int(day) * DAY_US)[:10] for day in days],
        **{
            name: {
                "points": np.bincount(at[kind == value], minlength=len(days)).tolist(),
                "bought": np.bincount(at[kind == value], y[kind == value], len(days)).astype(int).tolist(),
            }
            for name, value in (("view", 0), ("cart", 1))
        },
    }


def fitted_probability(X: np.ndarray, y: np.ndarray, X_asked: np.ndarray) -> np.ndarray:
    """What a small booster that learned from X and y says of other rows."""
    module = adapter("lightgbm")
    fitted = module.fit(Fold(X, y, X[:0], y[:0]), dict(module.DEFAULTS), seed=1, threads=1, rounds=40)
    return Calibration(slope=1.0, intercept=0.0).probability(fitted.margin(X_asked))
