"""What a bundle needs to explain itself: its members' trees, the background rows, the features' importance.

A fitted model's trees are read from its own public dump and held to the comparison x <= threshold on float32 x:
CatBoost, LightGBM and scikit-learn compare that way; XGBoost's x < t becomes x <= the next float32 below t.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from common.errors import BundleError, InputError
from common.explanation import ShapExplainer
from common.trees import Matrix, TreeTable, Vector, stack

Tree = dict[str, NDArray[Any]]

BACKGROUND_ROWS = 32
"""Rows that explanations are measured against. 64 come a quarter nearer to a large background's contributions and
cost 1.4 times as much per explained row."""

_POOL_ROWS = 20_000  # more rows do not change which are typical
_CANDIDATES = 64  # per stratum: rows of nearly its mean probability, among which the features choose
_LIGHTGBM_ZERO = float(np.float32(1e-35))


def trees_of(kind: str, model: Any) -> tuple[TreeTable, float]:
    """The trees of a fitted model and the base margin they start from, in log-odds.

    The model is taken as its adapter's `save` writes it: cut back to the rounds it keeps.

    Args:
        kind: which of the member kinds it is.
        model: catboost.CatBoost, xgboost.Booster, lightgbm.Booster, or a scikit-learn forest with log-odds as leaves.

    Raises:
        BundleError: the model splits in a way that `common.trees` cannot say (categories, missing values, …).
    """
    return _READERS[kind](model)


def background(X: Matrix, probability: Vector, *, size: int = BACKGROUND_ROWS, seed: int) -> Matrix:
    """A few real rows that stand for all: float32 (size, f), from the least to the most probable.

    Rows are cut into `size` equal strata by the ensemble's probability, and each gives one row of about its mean, so
    that the background's mean probability, the base value of every explanation, is the mean prediction (within 0.001
    on the shop's log, where random rows are off by 0.04). Among those the row is taken that keeps the mean rank of
    every feature where it is in X (herding). On the shop's log the contributions are then within 15 % (L1) of those
    against 2,048 rows; 32 random rows are within 26 %, the rows nearest to k-means centres within 26 to 43 %.

    Args:
        X: float32 (n, f), rows like those that will be explained.
        probability: (n,), the ensemble's for each row.
        size: how many rows; all of X where it has no more.
        seed: of the order in which strata choose, and of the sample of 20,000 rows where X has more.

    Raises:
        InputError: X has no rows.

    References: Chen, Welling & Smola (2010), Super-samples from kernel herding.
    """
    if len(X) == 0:
        raise InputError("a background needs at least one row")
    rng = np.random.default_rng(seed)
    if len(X) > _POOL_ROWS:
        pool = np.sort(rng.choice(len(X), _POOL_ROWS, replace=False))
        X, probability = X[pool], probability[pool]
    ranks = rankdata(X, axis=0) / len(X)
    ranks -= ranks.mean(axis=0)
    strata = np.array_split(np.argsort(probability, kind="stable"), min(size, len(X)))
    chosen, excess = {}, np.zeros(X.shape[1])
    for i in rng.permutation(len(strata)):
        distance = np.abs(probability[strata[i]] - probability[strata[i]].mean())
        typical = strata[i][np.argsort(distance, kind="stable")[:_CANDIDATES]]
        chosen[i] = typical[((excess + ranks[typical]) ** 2).sum(axis=1).argmin()]
        excess += ranks[chosen[i]]
    return X[[chosen[i] for i in range(len(strata))]]


def importance(
    explainer: ShapExplainer, X: Matrix, weights: Mapping[str, float], names: Sequence[str]
) -> dict[str, float]:
    """Mean |contribution| of each feature to the ensemble's probability over the rows of X, largest first."""
    means = np.abs(explainer.explain(X, weights).contributions).mean(axis=0)
    return {names[i]: float(means[i]) for i in np.argsort(-means, kind="stable")}


def _catboost(model: Any) -> tuple[TreeTable, float]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.json"
        model.save_model(str(path), format="json")
        dump = json.loads(path.read_text(encoding="utf-8"))
    _demand("oblivious_trees" in dump and not dump["features_info"].get("categorical_features"), "catboost")
    scale, (bias, *_) = dump["scale_and_bias"]
    return stack([_oblivious(tree, scale) for tree in dump["oblivious_trees"]]), float(bias)


def _oblivious(tree: Mapping[str, Any], scale: float) -> Tree:
    """A tree that asks one question per level, as a heap: node i has the children 2i + 1 and 2i + 2.

    CatBoost lists the questions from the leaves' lowest bit up and sets a bit where x > border.
    """
    splits = (tree["splits"] or [])[::-1]
    _demand(all(split["split_type"] == "FloatFeature" for split in splits), "catboost")
    depth = len(splits)
    inner, leaves = 2**depth - 1, 2**depth
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    features = np.array([split["float_feature_index"] for split in splits], dtype=np.int32)
    borders = np.array([split["border"] for split in splits], dtype=np.float32).astype(np.float64)
    at = np.arange(inner)
    weights = [np.array(tree.get("leaf_weights") or np.zeros(leaves), dtype=np.float64)]
    while len(weights[0]) > 1:
        weights.insert(0, weights[0].reshape(-1, 2).sum(axis=1))
    return {
        "left": np.concatenate([2 * at + 1, np.full(leaves, -1)]),
        "right": np.concatenate([2 * at + 2, np.full(leaves, -1)]),
        "feature": np.concatenate([features[level], np.full(leaves, -1)]),
        "threshold": np.concatenate([borders[level], np.zeros(leaves)]),
        "value": np.concatenate([np.zeros(inner), scale * np.array(tree["leaf_values"], dtype=np.float64)]),
        "cover": np.concatenate(weights),
    }


def _xgboost(model: Any) -> tuple[TreeTable, float]:
    learner = json.loads(bytes(model.save_raw(raw_format="json")))["learner"]
    booster = learner["gradient_booster"]
    _demand(booster["name"] == "gbtree" and learner["objective"]["name"] == "binary:logistic", "xgboost")
    trees = [_xgboost_tree(tree) for tree in booster["model"]["trees"]]
    # a list of one since XGBoost 3, a number before
    prior = float(np.ravel(json.loads(learner["learner_model_param"]["base_score"]))[0])
    return stack(trees), float(np.log(prior) - np.log1p(-prior))


def _xgboost_tree(tree: Mapping[str, Any]) -> Tree:
    _demand(not any(tree["split_type"]), "xgboost")
    left = np.array(tree["left_children"])
    condition = np.array(tree["split_conditions"], dtype=np.float32)  # the threshold, or the leaf's value
    return {
        "left": left,
        "right": np.array(tree["right_children"]),
        "feature": np.where(left < 0, -1, tree["split_indices"]),
        "threshold": np.nextafter(condition, np.float32(-np.inf)).astype(np.float64),
        "value": condition.astype(np.float64),
        "cover": np.array(tree["sum_hessian"], dtype=np.float64),
    }


def _lightgbm(model: Any) -> tuple[TreeTable, float]:
    dump = model.dump_model()
    _demand(dump["objective"].startswith("binary") and not dump["average_output"], "lightgbm")
    return stack([_lightgbm_tree(info["tree_structure"]) for info in dump["tree_info"]]), 0.0


def _lightgbm_tree(root: Mapping[str, Any]) -> Tree:
    nodes = list(_preorder(root, 0))
    columns = zip(*nodes, strict=True)
    names = ("left", "right", "feature", "threshold", "value", "cover")
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


def _preorder(node: Mapping[str, Any], at: int) -> Iterator[tuple[float, ...]]:
    """A node and all below it as rows (left, right, feature, threshold, value, cover), itself at position `at`."""
    if "split_feature" not in node:
        yield -1, -1, -1, 0.0, node["leaf_value"], node.get("leaf_count", 0)
        return
    _demand(node["decision_type"] == "<=" and node["missing_type"] != "Zero", "lightgbm")
    left = list(_preorder(node["left_child"], at + 1))
    right = at + 1 + len(left)
    yield at + 1, right, node["split_feature"], _around_zero(node["threshold"]), 0.0, node["internal_count"]
    yield from left
    yield from _preorder(node["right_child"], right)


def _around_zero(threshold: float) -> float:
    """LightGBM reads |x| <= 1e-35 as 0 before it compares; the same answers without reading x differently."""
    if abs(threshold) > _LIGHTGBM_ZERO:
        return threshold
    return _LIGHTGBM_ZERO if threshold >= 0.0 else float(np.nextafter(np.float32(-_LIGHTGBM_ZERO), np.float32(-1.0)))


def _random_forest(model: Any) -> tuple[TreeTable, float]:
    trees = [estimator.tree_ for estimator in model.estimators_]
    return stack([_forest_tree(tree, len(trees)) for tree in trees]), 0.0


def _forest_tree(tree: Any, trees: int) -> Tree:
    return {
        "left": tree.children_left,
        "right": tree.children_right,
        "feature": np.where(tree.children_left < 0, -1, tree.feature),
        "threshold": tree.threshold,
        "value": tree.value[:, 0, 0] / trees,
        "cover": tree.weighted_n_node_samples,
    }


_READERS: Mapping[str, Callable[[Any], tuple[TreeTable, float]]] = {
    "catboost": _catboost,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "random_forest": _random_forest,
}


def _demand(condition: bool, kind: str) -> None:
    if not condition:
        raise BundleError(
            f"the {kind} model is not a binary sum of trees with numeric splits alone, so it cannot be explained",
            remedy="Fit it with the parameters of its adapter",
        )
