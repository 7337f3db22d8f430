"""CatBoost: symmetric trees, boosted on the log loss.

References: Prokhorenkova et al. (2018), CatBoost: unbiased boosting with categorical features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoost, Pool

from common.members import MAX_ROUNDS, PATIENCE_ROUNDS, Fitted, Fold, Margin, Matrix, OnRound, Trial, Vector

DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.05,
    "depth": 6,
    "l2_leaf_reg": 5.0,
    "random_strength": 1.0,
    "subsample": 0.6,
    "rsm": 0.6,
}

CHEAPEST: Mapping[str, float] = {**DEFAULTS, "learning_rate": 0.15, "depth": 4}

_FIXED = {
    "loss_function": "Logloss",
    "bootstrap_type": "Bernoulli",
    "boosting_type": "Plain",
    "boost_from_average": True,
    "border_count": 128,
    "leaf_estimation_iterations": 1,
    "allow_writing_files": False,
    "verbose": False,
}

_OF_THE_RUN = ("model_guid", "train_finish_time")
"""Blanked, so that the same fit is the same file."""


def search_space(trial: Trial) -> dict[str, Any]:
    """What a search may try: `DEFAULTS` lies inside."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
        "depth": trial.suggest_int("depth", 4, 7),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 1.0, 30.0, log=True),
        "random_strength": trial.suggest_float("random_strength", 0.1, 3.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "rsm": trial.suggest_float("rsm", 0.2, 1.0),
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
    iterations = MAX_ROUNDS if rounds is None else rounds
    model = CatBoost({**_FIXED, **params, "iterations": iterations, "random_seed": seed, "thread_count": threads})
    train = Pool(fold.X, label=fold.y, weight=fold.relative_weight, thread_count=threads)
    if rounds is not None:
        model.fit(train)
    else:
        model.fit(
            train,
            eval_set=Pool(fold.X_valid, label=fold.y_valid, thread_count=threads),
            early_stopping_rounds=PATIENCE_ROUNDS,
            use_best_model=True,
            callbacks=None if on_round is None else [_Report(on_round)],
        )
    metadata = model.get_metadata()
    for name in _OF_THE_RUN:
        metadata[name] = ""
    return Fitted(model, _margin_of(model, threads), rounds=model.tree_count_)


def staged(model: CatBoost, X: Matrix, rounds: int, *, threads: int) -> Vector:
    """The margins of the first `rounds` rounds."""
    raw = model.predict(X, prediction_type="RawFormulaVal", ntree_end=rounds, thread_count=threads)
    return np.asarray(raw, dtype=np.float64)


def save(model: CatBoost, path: Path) -> None:
    """Write CatBoost's own binary format."""
    model.save_model(str(path), format="cbm")


def load(path: Path, *, threads: int) -> Margin:
    """The margin of a saved model."""
    return _margin_of(CatBoost().load_model(str(path), format="cbm"), threads)


def _margin_of(model: CatBoost, threads: int) -> Margin:
    def margin(X: Matrix) -> Vector:
        raw = model.predict(X, prediction_type="RawFormulaVal", thread_count=threads)
        return np.asarray(raw, dtype=np.float64)

    return margin


class _Report:
    """Tells every round's validation loss to `on_round`; CatBoost stops where this answers False."""

    def __init__(self, on_round: OnRound) -> None:
        self._on_round = on_round

    def after_iteration(self, info: Any) -> bool:
        return not self._on_round(info.iteration, info.metrics["validation"]["Logloss"][-1])
