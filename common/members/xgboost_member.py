"""XGBoost: depth-wise trees on histograms, boosted on the log loss.

References: Chen & Guestrin (2016), XGBoost: a scalable tree boosting system.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from common.members import MAX_ROUNDS, PATIENCE_ROUNDS, Fitted, Fold, Margin, Matrix, OnRound, Trial, Vector

DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.05,
    "max_depth": 5,
    "min_child_weight": 20.0,
    "subsample": 0.8,
    "colsample_bytree": 0.3,
    "reg_lambda": 10.0,
}

CHEAPEST: Mapping[str, float] = {**DEFAULTS, "learning_rate": 0.15, "max_depth": 3}

_FIXED = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "max_bin": 128}


def search_space(trial: Trial) -> dict[str, Any]:
    """What a search may try: `DEFAULTS` lies inside."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 6),
        "min_child_weight": trial.suggest_float("min_child_weight", 2.0, 100.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.4, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.15, 0.8),
        "reg_lambda": trial.suggest_float("reg_lambda", 1.0, 50.0, log=True),
    }


def fit(
    fold: Fold,
    params: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    rounds: int | None = None,
    on_round: OnRound | None = None,
) -> Fitted:
    """Boosted until the validation log loss stops falling and cut back to its best round, or for just `rounds`."""
    settings = {**_FIXED, **params, "seed": seed, "nthread": threads}
    train = xgb.QuantileDMatrix(
        fold.X, label=fold.y, weight=fold.relative_weight, nthread=threads, max_bin=_FIXED["max_bin"]
    )
    if rounds is not None:
        exact = xgb.train(settings, train, num_boost_round=rounds)
        return Fitted(exact, _margin_of(exact, threads), rounds)
    valid = xgb.QuantileDMatrix(fold.X_valid, label=fold.y_valid, nthread=threads, max_bin=_FIXED["max_bin"], ref=train)
    stopping = xgb.callback.EarlyStopping(rounds=PATIENCE_ROUNDS, save_best=True)
    model = xgb.train(
        settings,
        train,
        num_boost_round=MAX_ROUNDS,
        evals=[(valid, "valid")],
        callbacks=[stopping] if on_round is None else [_Report(on_round), stopping],
        verbose_eval=False,
    )
    return Fitted(model, _margin_of(model, threads), rounds=model.num_boosted_rounds())


def staged(model: xgb.Booster, X: Matrix, rounds: int, *, threads: int) -> Vector:
    """The margins of the first `rounds` rounds."""
    model.set_param({"nthread": threads})
    raw = model.inplace_predict(X, iteration_range=(0, rounds), predict_type="margin")
    return np.asarray(raw, dtype=np.float64)


def save(model: xgb.Booster, path: Path) -> None:
    """Write XGBoost's own binary format (UBJSON)."""
    model.save_model(path)


def load(path: Path, *, threads: int) -> Margin:
    """The margin of a saved model."""
    return _margin_of(xgb.Booster(model_file=path), threads)


def _margin_of(model: xgb.Booster, threads: int) -> Margin:
    model.set_param({"nthread": threads})

    def margin(X: Matrix) -> Vector:
        return np.asarray(model.inplace_predict(X, predict_type="margin"), dtype=np.float64)

    return margin


class _Report(xgb.callback.TrainingCallback):  # type: ignore[misc]  # XGBoost is untyped here
    """Tells every round's validation loss to `on_round`; XGBoost stops where this answers True."""

    def __init__(self, on_round: OnRound) -> None:
        self._on_round = on_round

    def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:
        return self._on_round(epoch + 1, float(evals_log["valid"]["logloss"][-1]))
