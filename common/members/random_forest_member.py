"""A random forest whose leaves hold log-odds: fitted by scikit-learn, served by ONNX Runtime.

The trees are fitted on labels 0 and 1, which splits by Gini impurity. Then every leaf's mean is replaced by
the logit of its smoothed mean, (positives + m * prior) / (rows + m), and the forest averages log-odds instead
of probabilities. That makes it what the boosters are, a sum of trees under one logistic link, so that it is
calibrated and explained as they are. Averaging in log-odds is the logarithmic opinion pool of the trees.

Serving needs neither scikit-learn nor skl2onnx: both are imported where a forest is fitted or saved.

References: Breiman (2001), Random forests. Genest & Zidek (1986), Combining probability distributions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.members import Fitted, Fold, Margin, Matrix, OnRound, Trial, Vector

TREES = 100
"""A forest only gains from more trees; this is where the gain ends and the cost of explaining goes on."""

STEP_TREES = 10
"""Trees that are grown between two reports of the validation loss."""

DEFAULTS: Mapping[str, float] = {
    "max_depth": 9,
    "min_samples_leaf": 30,
    "max_features": 0.2,
    "max_samples": 0.3,
    "smoothing": 2.0,
}

CHEAPEST: Mapping[str, float] = {**DEFAULTS, "max_depth": 6, "min_samples_leaf": 200}

_INPUT = "x"
_NEWTON_STEPS = 6


def search_space(trial: Trial) -> dict[str, Any]:
    """What a search may try: `DEFAULTS` lies inside."""
    return {
        "max_depth": trial.suggest_int("max_depth", 6, 10),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 10, 200, log=True),
        "max_features": trial.suggest_float("max_features", 0.08, 0.4, log=True),
        "max_samples": trial.suggest_float("max_samples", 0.1, 0.5),
        "smoothing": trial.suggest_float("smoothing", 0.5, 15.0, log=True),
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
    """Grown in steps of `STEP_TREES`; the validation loss of the trees so far is told after each step.

    There is nothing to stop early, so that `rounds` only says that the valid part is none of its business.
    """
    from sklearn.ensemble import RandomForestRegressor

    shape = {name: value for name, value in params.items() if name != "smoothing"}
    forest = RandomForestRegressor(**shape, n_estimators=0, warm_start=True, random_state=seed, n_jobs=threads)
    weight = fold.relative_weight
    prior = float(np.average(fold.y, weights=weight))
    watched = on_round if rounds is None else None
    total = np.zeros(len(fold.y_valid))
    while forest.n_estimators < TREES:
        grown = forest.n_estimators
        forest.set_params(n_estimators=grown + STEP_TREES).fit(fold.X, fold.y, sample_weight=weight)
        for tree in forest.estimators_[grown:]:
            _to_log_odds(tree.tree_, prior, params["smoothing"])
            if watched is not None:
                total += tree.tree_.predict(fold.X_valid).reshape(-1)
        if watched is not None:
            loss = _calibrated_loss(total / forest.n_estimators, fold.y_valid)
            if watched(forest.n_estimators, loss):
                break
    return Fitted(forest, lambda X: np.asarray(forest.predict(X), dtype=np.float64), forest.n_estimators)


def staged(model: Any, X: Matrix, rounds: int, *, threads: int) -> Vector:  # noqa: ARG001
    """The margins of the whole forest: more trees never make it worse, so there is nothing to choose."""
    return np.asarray(model.predict(X), dtype=np.float64)


def save(model: Any, path: Path) -> None:
    """Write the forest as an ONNX graph of one float32 TreeEnsembleRegressor."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph = to_onnx(model, initial_types=[(_INPUT, FloatTensorType([None, model.n_features_in_]))])
    path.write_bytes(graph.SerializeToString())


def load(path: Path, *, threads: int) -> Margin:
    """The margin of a saved forest; its sums are float32, within 1e-5 of scikit-learn's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def margin(X: Matrix) -> Vector:
        (raw,) = session.run(None, {_INPUT: X})
        return np.asarray(raw, dtype=np.float64).reshape(-1)

    return margin


def _to_log_odds(tree: Any, prior: float, smoothing: float) -> None:
    """Turn every node's mean label into the logit of its smoothed mean, in place.

    Thresholds are rounded down to float32: for float32 x, `x <= t` and `x <= floor32(t)` are the same
    question, and ONNX can only ask the second one.
    """
    rows = tree.weighted_n_node_samples
    mean = (tree.value[:, 0, 0] * rows + smoothing * prior) / (rows + smoothing)
    tree.value[:, 0, 0] = np.log(mean) - np.log1p(-mean)
    rounded = tree.threshold.astype(np.float32)
    below = np.nextafter(rounded, np.float32(-np.inf))
    tree.threshold[:] = np.where(rounded > tree.threshold, below, rounded)


def _calibrated_loss(margin: Vector, y: Any) -> float:
    """Mean log loss of margins after the best slope and intercept for these labels.

    A mean of trees says too little, the more so the more they differ; calibration undoes that, so forests are
    compared as if calibrated. Boosters need no such thing: they fit the loss itself.
    """
    design = np.column_stack([margin, np.ones_like(margin)])
    theta = np.array([1.0, 0.0])
    losses = []
    for _ in range(_NEWTON_STEPS):
        logit = design @ theta
        losses.append(float(np.mean(np.logaddexp(0.0, logit) - logit * y)))
        p = 0.5 * (1.0 + np.tanh(0.5 * logit))
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design
        theta = theta + np.linalg.solve(curvature + 1e-6 * np.eye(2), design.T @ (y - p))
    return min(losses)
