"""LightGBM: leaf-wise trees on histograms, boosted on the log loss.

References: Ke et al. (2017), LightGBM: a highly efficient gradient boosting decision tree.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from common.members import MAX_ROUNDS, PATIENCE_ROUNDS, Fitted, Fold, Margin, Matrix, OnRound, Trial, Vector

DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_child_samples": 100,
    "subsample": 0.8,
    "colsample_bytree": 0.3,
    "reg_lambda": 10.0,
    "path_smooth": 20.0,
}

CHEAPEST: Mapping[str, float] = {**DEFAULTS, "learning_rate": 0.15, "num_leaves": 8}

_FIXED = {
    "objective": "binary",
    "metric": "binary_logloss",
    "max_depth": 7,
    "max_bin": 127,
    "subsample_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def search_space(trial: Trial) -> dict[str, Any]:
    """What a search may try: `DEFAULTS` lies inside."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 8, 40, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 20, 400, log=True),
        "subsample": trial.suggest_float("subsample", 0.4, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.15, 0.8),
        "reg_lambda": trial.suggest_float("reg_lambda", 1.0, 50.0, log=True),
        "path_smooth": trial.suggest_float("path_smooth", 1.0, 100.0, log=True),
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
    settings = {**_FIXED, **params, "seed": seed, "num_threads": threads}
    train = lgb.Dataset(fold.X, label=fold.y, weight=fold.relative_weight, params=settings)
    if rounds is not None:
        exact = lgb.train(settings, train, num_boost_round=rounds)
        return Fitted(exact, _margin_of(exact, threads), exact.current_iteration())
    valid = lgb.Dataset(fold.X_valid, label=fold.y_valid, reference=train, params=settings)
    stopping = lgb.early_stopping(PATIENCE_ROUNDS, verbose=False)
    trained = lgb.train(
        settings,
        train,
        num_boost_round=MAX_ROUNDS,
        valid_sets=[valid],
        callbacks=[stopping] if on_round is None else [_Report(on_round), stopping],
    )
    best = trained.best_iteration or trained.current_iteration()
    model = lgb.Booster(model_str=trained.model_to_string(num_iteration=best))
    return Fitted(model, _margin_of(model, threads), best)


def staged(model: lgb.Booster, X: Matrix, rounds: int, *, threads: int) -> Vector:
    """The margins of the first `rounds` rounds."""
    raw = model.predict(X, raw_score=True, num_iteration=rounds, num_threads=threads, validate_features=False)
    return np.asarray(raw, dtype=np.float64)


def save(model: lgb.Booster, path: Path) -> None:
    """Write LightGBM's own text format."""
    model.save_model(path)


def load(path: Path, *, threads: int) -> Margin:
    """The margin of a saved model."""
    return _margin_of(lgb.Booster(model_file=path), threads)


def _margin_of(model: lgb.Booster, threads: int) -> Margin:
    def margin(X: Matrix) -> Vector:
        raw = model.predict(X, raw_score=True, num_threads=threads, validate_features=False)
        return np.asarray(raw, dtype=np.float64)

    return margin


class _Report:
    """Tells every round's validation loss to `on_round`; LightGBM is stopped by an exception."""

    order = 10  # before early stopping, which runs at 30 and may end the round

    def __init__(self, on_round: OnRound) -> None:
        self._on_round = on_round
        self._best: tuple[float, int] = (math.inf, 0)

    def __call__(self, env: Any) -> None:
        loss = env.evaluation_result_list[0].metric_value
        self._best = min(self._best, (loss, env.iteration))
        if self._on_round(env.iteration + 1, loss):
            raise lgb.callback.EarlyStopException(self._best[1], env.evaluation_result_list)
